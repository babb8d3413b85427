#!/bin/bash
# An ordinary user: a whole run with PostgreSQL and Redis, and nothing left of it when its processes are killed. Run by tests/as_user.sh.
here=${0%/*}
# shellcheck source=tests/scenarios/tap.sh
. "$here/tap.sh"
[ "$(id -u)" != 0 ] || skip_all 'for an ordinary user: see tests/as_user.sh'
# shellcheck source=tests/scenarios/serve.sh
. "$here/serve.sh"

like 'doctor says that a user can' "$("$ASSAY" doctor)" 'privileges +user [^ ]+: rootless'
ok 'and that nothing needed is missing' "$ASSAY" doctor
like 'and what a kill can do here when the gateway hangs' "$("$ASSAY" doctor)" 'kill switch +ends the gateway when it hangs, and no more'

# Where a user's things are without ASSAY_STATE.
unset ASSAY_STATE
export XDG_STATE_HOME=$WORK/xdg
ok 'a server starts in the background' "$ASSAY" serve --background --listen 127.0.0.1:0 --preview 127.0.0.1:0
like 'its state is the user'\''s' "$("$ASSAY" status)" "state +$WORK/xdg/assay"
ok 'its socket too' test -S "${XDG_RUNTIME_DIR:?}/assay/serve.sock"
ok 'it ends' "$ASSAY" serve --stop
export ASSAY_STATE=$WORK/state

cp -r "$here/tiny" "$WORK/visits"
cp "$here"/visits/* "$WORK/visits"
repository "$WORK/visits"
cd "$WORK/visits" || exit 1
echo 'of the user alone' >"$HOME/secret"
ok 'the server starts' serve_start || sed 's/^/# /' "$WORK/serve.log"
out=$("$ASSAY" run 'Say hello louder' 2>&1)
is 'a run of a good change ends verified' "$?" 0 || { printf '%s\n' "$out" | sed 's/^/# /'; tail -n 5 "$WORK/serve.log" | sed 's/^/# /'; }
like 'with its databases' "$out" 'start db.*start cache|start cache.*start db'
env=$("$ASSAY" env list --json | jq -r '.items[0].id')
preview=$("$ASSAY" env url "$env")
like 'the preview answers from both' "$(curl --silent --max-time 20 "$preview")" '^hello! to 1000 guests'
is 'PostgreSQL runs, as the user of its sandbox' "$("$ASSAY" env query "$env" db 'SELECT count(*) FROM guests' | tail -n 1)" 1000
like 'what is not limited here is said' "$("$ASSAY" env show "$env")" 'limits +not kept for a sandbox as a whole here: memory, cpus, pids'
is 'the home of the user is not there' "$("$ASSAY" env exec "$env" -- cat "$HOME/secret" 2>&1 | grep -c 'No such file')" 1
is 'an environment is frozen' "$("$ASSAY" env freeze "$env" >/dev/null 2>&1; "$ASSAY" env list --json | jq -r '.items[0].state')" frozen
like 'a request wakes it' "$(curl --silent --max-time 20 "$preview")" '^hello! to 1000 guests, again'
is 'its changes are merged' "$("$ASSAY" pull merge 1)" merged

# all_gone: none of $rooms runs; one that nobody has waited for does not.
all_gone() {
	local pid
	for pid in $rooms; do
		grep -qs '^State:.[^Z]' "/proc/$pid/status" && return 1
	done
	return 0
}
none_left() { [ -z "$(left_behind)" ]; }

"$ASSAY" env up --json >"$WORK/up.json" 2>"$WORK/up.log" || sed 's/^/# /' "$WORK/up.log"
env=$(jq -r .id "$WORK/up.json")
keeper=$(for pid in $(below "$serve_pid"); do grep -qaz '^keeper$' "/proc/$pid/cmdline" 2>/dev/null && echo "$pid"; done | head -n 1)
rooms=$(below "$keeper")
ok 'there are sandboxes' test "$rooms"
kill -KILL "$keeper"
ok 'kill -9 of the keeper: no process of a sandbox is left' until_true 60 all_gone
ok 'the environment comes back' until_true 60 eval "curl --silent --max-time 5 '$(jq -r .preview "$WORK/up.json")' | grep -q guests"
rooms=$(below "$serve_pid")
kill -KILL "$serve_pid"
wait "$serve_pid" 2>/dev/null
ok 'kill -9 of the server: no process is left' until_true 60 all_gone
ok 'no mount either' none_left
ok 'the server starts again' serve_start
ok 'the environment goes down' "$ASSAY" env down "$env"
is 'none is left' "$(api GET /environments | jq -c '.items')" '[]'
serve_stop
comes 'nothing is left behind' '' left_behind

done_testing
