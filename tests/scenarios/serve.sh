# A server of the scenario's own: its state, its sockets and its ports are nobody else's. Sourced after tap.sh; needs root, or a story that
# is told as a user by tests/as_user.sh.
# shellcheck shell=bash
# shellcheck disable=SC2154

[ "$(id -u)" = 0 ] || [ "${ASSAY_AS_USER:-}" ] || skip_all 'needs root: sandboxes with limits'
PATH=$PATH:/usr/sbin:/sbin
[ "$(id -u)" != 0 ] || command -v mkfs.xfs >/dev/null || skip_all 'needs mkfs.xfs'
for program in redis-server jq curl git; do
	command -v "$program" >/dev/null || skip_all "needs $program"
done
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || skip_all 'needs PostgreSQL'

export ASSAY_STATE=$WORK/state
SERVE_START_S=60
serve_pid=

# api METHOD PATH [JSON]: prints the answer; fails when it is an error.
api() {
	curl --silent --show-error --fail-with-body --unix-socket "$ASSAY_STATE/run/serve.sock" --request "$1" \
		--header 'content-type: application/json' ${3:+--data "$3"} "http://assay/api/v1$2"
}

serve_answers_or_ended() { ! kill -0 "$serve_pid" || api GET /status; }

# serve_start: as a service manager would; returns when it answers.
serve_start() {
	"$ASSAY" serve --listen 127.0.0.1:0 --preview 127.0.0.1:0 >>"$WORK/serve.log" 2>&1 &
	serve_pid=$!
	until_true "$SERVE_START_S" serve_answers_or_ended && api GET /status >/dev/null
}

# serve_stop: an orderly end.
serve_stop() {
	[ "$serve_pid" ] || return 0
	kill -TERM "$serve_pid" 2>/dev/null
	wait "$serve_pid" 2>/dev/null
	serve_pid=
}
at_end serve_stop

# effects KIND [TEXT]: how many effects were put so far, whose data has the text.
effects() { sqlite3 -readonly "$ASSAY_STATE/assay.db" "SELECT count(*) FROM outbox WHERE kind = '$1' AND data LIKE '%${2:-}%'" 2>/dev/null || echo 0; }

# serve_kill_at BEFORE KIND [TEXT]: as soon as there are more of these than before the server is killed, and started again.
serve_kill_at() {
	more_effects() { [ "$(effects "${@:2}")" -gt "$1" ]; }
	until_true 120 more_effects "$@" || return
	kill -KILL "$serve_pid"
	wait "$serve_pid" 2>/dev/null
	serve_start
}

# below PID: every process below it, one pid a line.
below() {
	local child
	for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
		echo "$child"
		below "$child"
	done
}

# left_behind: what a server that has ended must not leave: processes, mounts, cgroups, loop devices; one a line.
left_behind() {
	local process image=$ASSAY_STATE/pool.img prefix
	for process in /proc/[0-9]*; do
		grep -qzx "ASSAY_STATE=$ASSAY_STATE" "$process/environ" 2>/dev/null || grep -qaF "$WORK" "$process/cmdline" 2>/dev/null || continue
		[ "$(readlink "$process/exe")" = "$(readlink -f "$ASSAY")" ] || [ "$(cat "$process/comm")" = assay-init ] || continue
		echo "process ${process#/proc/}: $(tr '\0' ' ' <"$process/cmdline")"
	done
	grep -F "$ASSAY_STATE" /proc/self/mounts
	losetup --list --noheadings --output NAME,BACK-FILE 2>/dev/null | grep -F "$ASSAY_STATE"
	# Whatever path it is known by: a mount that was taken away lazily leaves another.
	[ ! -e "$image" ] || losetup --list --noheadings --output NAME,BACK-MAJ:MIN,BACK-INO 2>/dev/null |
		awk -v device="$(stat --format '%Hd:%Ld' "$image")" -v inode="$(stat --format %i "$image")" '$2 == device && $3 == inode'
	prefix=assay-$(printf %s "$ASSAY_STATE" | sha256sum | cut -c 1-10)
	find /sys/fs/cgroup -type d -name "$prefix" 2>/dev/null
	return 0
}

# repository FOLDER: what is in the folder becomes a commit.
repository() {
	[ -d "$1/.git" ] || git -C "$1" init --quiet --initial-branch main
	git -C "$1" add --all
	git -C "$1" -c user.name=test -c user.email=test@localhost commit --quiet --message "${2:-as it is}"
}

# A story that is told again on a cluster.
# shellcheck source=tests/scenarios/cluster.sh
[ "${ASSAY_TEST_PROVIDER:-}" != kubernetes ] || . "$SOURCE_ROOT/tests/scenarios/cluster.sh"
