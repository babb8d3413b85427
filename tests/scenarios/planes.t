#!/bin/bash
# Two servers on one PostgreSQL, with repositories that they share: both take runs, and when one dies with its machine the other one goes on
# with what it had, from the last commit.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/kill9.sh
. "$SOURCE_ROOT/tests/scenarios/kill9.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"
# shellcheck source=tests/scenarios/postgres.sh
. "$SOURCE_ROOT/tests/scenarios/postgres.sh"

database_make
tiny_repository "$WORK/tiny"
sed -i 's/sleep 0.3/sleep 2/' "$WORK/tiny/agent.sh"
repository "$WORK/tiny" 'its agent takes its time'
export ASSAY_STORE=$STORE_URL ASSAY_REPOSITORIES=$WORK/shared ASSAY_TAKEOVER=2s ASSAY_RUNS=2

# at PLACE COMMAND…: for the server of that place, a or b.
declare -A pids
at() {
	ASSAY_STATE=$WORK/state-$1 serve_pid=${pids[$1]:-}
	shift
	"$@"
}
place_start() {
	at "$1" serve_start || { tap_line 'not ok' "server $1 starts"; tail -n 5 "$WORK/serve.log" | sed 's/^/# /'; exit 1; }
	pids[$1]=$serve_pid
}
place_stop() {
	at "$1" serve_stop
	pids[$1]=
}
at_end 'place_stop b'
at_end 'place_stop a'

place_start a
place_start b
read -r name base <<<"$(at a api POST /repositories "$(jq -n --arg path "$WORK/tiny" '{$path, revision: "HEAD"}')" | jq -r '"\(.name) \(.commit)"')"
is 'a repository that one was given is known to the other' "$(at b api GET /repositories | jq -r '.items[].name')" tiny
for n in 1 2 3 4; do
	at a api POST /runs "$(jq -n --arg repository "$name" --arg base "$base" --arg title "Shout $n" '{$repository, $base, $title}')" >/dev/null
done

homes() { sql "SELECT count(DISTINCT home) FROM flow WHERE home <> ''"; }
both_work() { [ "$(homes)" = 2 ]; }
ok 'runs that one was given are taken by both' until_true 60 both_work
in_turn() { victim=$(sql "SELECT home FROM flow WHERE step = 'turn' AND home <> '' LIMIT 1") && [ "$victim" ]; }
until_true 60 in_turn

# Which of the two it is, and the end of all of it: as when a machine loses its power.
place=a
at a api GET /environments | jq -e --arg env "$(sql "SELECT environment FROM run JOIN flow USING (id) WHERE home = '$victim' AND environment IS NOT NULL LIMIT 1")" \
	'.items[] | select(.id == $env)' >/dev/null || place=b
had=$(sql "SELECT count(*) FROM flow WHERE home = '$victim' AND status IN ('ready', 'waiting')")
mapfile -t tree < <(below "${pids[$place]}")
kill -KILL "${pids[$place]}" "${tree[@]}" 2>/dev/null
wait "${pids[$place]}" 2>/dev/null
pids[$place]=
echo "# $place died with $had runs"

all_wait() { [ "$(sql "SELECT count(*) FROM run WHERE state = 'review'")" = 4 ]; }
until_true 240 all_wait
is 'the other one brings all of them to a person' "$(sql "SELECT state || ' ' || verdict || ' ' || count(*) FROM run GROUP BY state, verdict")" 'review verified 4'
is 'none of them was published twice' "$(sql 'SELECT count(*), count(DISTINCT branch) FROM pull')" '4|4'
comes 'what was lost is said' t sql "SELECT count(*) > 0 FROM run_event WHERE type = 'note' AND data LIKE '%its machine is gone%'"
comes 'none lives where nobody is' 0 sql "SELECT count(*) FROM flow WHERE home = '$victim'"
is 'the chain of records is whole' "$(sql 'SELECT count(*), count(DISTINCT digest) FROM record')" '4|4'

# The one that died comes back, and finds that its environments are nobody's.
place_start "$place"
none_left() { [ "$(at "$place" api GET /environments | jq '.items | length')" = 0 ]; }
ok 'the one that comes back removes what went on elsewhere' until_true 60 none_left
for pull in 1 2 3 4; do at "$place" api POST "/pulls/$pull/merge" '{"force": true}' >/dev/null 2>&1; done
comes 'a merge there is heard of here' t sql "SELECT count(*) > 0 FROM pull WHERE state = 'merged'"
one_done() { [ "$(sql "SELECT count(*) FROM run WHERE state = 'done'")" -ge 1 ]; }
ok 'and its run is done' until_true 60 one_done
place_stop a
place_stop b
left_of_either() { at a left_behind; at b left_behind; }
comes 'nothing is left of either' '' left_of_either

done_testing
