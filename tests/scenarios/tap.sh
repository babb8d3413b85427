# TAP for scenarios: sourced by each tests/scenarios/*.t. One story per file; each step is one line of what is now true.
# shellcheck shell=bash disable=SC2034
set -u
: "${ASSAY:?the binary: run through meson or prove with ASSAY set}"
: "${SOURCE_ROOT:?the repository}"

tap_count=0
tap_failed=0
WORK=$(mktemp -d "${TMPDIR:-/tmp}/assay-scenario-XXXXXX") # removed at the end
tap_cleanups=()

# tap_pause SECONDS: without a process, of which there would be thousands.
exec {tap_nothing}<> <(:)
tap_pause() { read -r -t "$1" -u "$tap_nothing" || :; }

# at_end COMMAND…: runs when the story is over, the latest first.
at_end() {
	tap_cleanups=("$*" ${tap_cleanups[@]+"${tap_cleanups[@]}"})
}

tap_finish() {
	local code=$? command
	for command in ${tap_cleanups[@]+"${tap_cleanups[@]}"}; do eval "$command"; done
	# What sandboxes of an ordinary user wrote belongs to other ids of the user's range; the background may still be removing it.
	[ "$(id -u)" = 0 ] || unshare --map-root-user --map-auto rm -rf "$WORK" 2>/dev/null
	rm -rf "$WORK" 2>/dev/null
	[ "$code" -ne 0 ] && [ "$tap_failed" -eq 0 ] && exit "$code"
	[ "$tap_failed" -eq 0 ] || exit 1
}
trap tap_finish EXIT
trap 'exit 130' INT TERM

tap_line() {
	tap_count=$((tap_count + 1))
	echo "$1 $tap_count - $2"
	[ "$1" = ok ] || tap_failed=$((tap_failed + 1))
}

# ok WHAT COMMAND…: the command succeeds.
ok() {
	local what=$1
	shift
	if "$@" >"$WORK/.out" 2>&1; then tap_line ok "$what"; else
		tap_line 'not ok' "$what"
		echo "# $* failed"
		sed 's/^/# /' "$WORK/.out"
		return 1
	fi
}

# is WHAT GOT WANTED
is() {
	if [ "$2" = "$3" ]; then tap_line ok "$1"; else
		tap_line 'not ok' "$1"
		printf '# got:    %s\n# wanted: %s\n' "${2//$'\n'/ | }" "${3//$'\n'/ | }"
		return 1
	fi
}

# like WHAT GOT REGEX
like() {
	if [[ $2 =~ $3 ]]; then tap_line ok "$1"; else
		tap_line 'not ok' "$1"
		printf '# got:    %s\n# wanted: %s\n' "${2//$'\n'/ | }" "$3"
		return 1
	fi
}

# skip WHAT REASON: one step that this machine cannot do.
skip() {
	tap_count=$((tap_count + 1))
	echo "ok $tap_count - $1 # SKIP $2"
}

# skip_all REASON: the whole story.
skip_all() {
	echo "1..0 # SKIP $1"
	exit 0
}

# until_true SECONDS COMMAND…: tries again until it succeeds; fails at the deadline.
until_true() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$deadline" ] || return 1
		tap_pause 0.05
	done
}

# comes WHAT WANTED COMMAND…: what the command prints is WANTED, at once or after a while; what it was last is said otherwise. `is` for what cannot change any more.
COMES_S=60
comes() {
	local what=$1 wanted=$2 got deadline=$((SECONDS + COMES_S))
	shift 2
	until got=$("$@" 2>/dev/null) || :; [ "$got" = "$wanted" ] || [ "$SECONDS" -ge "$deadline" ]; do tap_pause 0.05; done
	is "$what" "$got" "$wanted"
}

# done_testing: the last line of each story.
done_testing() {
	echo "1..$tap_count"
}
