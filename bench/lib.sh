# What the benches share: samples, medians, rows of results, facts of the machine. Sourced.
# shellcheck shell=bash disable=SC2154

FETCH_S=30
exec {PAUSE}<> <(:)

# say TEXT…: progress, beside the results.
say() { echo "# $*" >&2; }

# need PROGRAM…: ends with one line unless all are there.
need() {
	local program
	for program; do
		command -v "$program" >/dev/null || { echo "${0##*/}: needs $program" >&2; exit 1; }
	done
}

# passed FROM [TO]: milliseconds since FROM, an $EPOCHREALTIME, until TO or now.
passed() { awk -v from="$1" -v to="${2:-$EPOCHREALTIME}" 'BEGIN { printf "%.2f\n", (to - from) * 1000 }'; }

# fetch URL FILE: GET by this shell, so that no program's start is in the time; what came behind the head is in FILE. Fails unless it is 200.
fetch() {
	local where=${1#http://} host port fd status='' answer=''
	host=${where%%[:/]*}
	port=${where#"$host"}
	port=${port#:}
	port=${port%%/*}
	{ exec {fd}<>"/dev/tcp/127.0.0.1/${port:-80}"; } 2>/dev/null || return 1
	{ printf 'GET /%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "${where#*/}" "${where%%/*}" >&"$fd"; } 2>/dev/null || true
	read -r -t "$FETCH_S" -u "$fd" status || true
	IFS= read -r -d '' -t "$FETCH_S" -u "$fd" answer || true
	exec {fd}>&-
	printf '%s' "${answer#*$'\r\n\r\n'}" >"$2"
	[[ $status = *' 200 '* ]]
}

# pause SECONDS: as sleep does, without a program. Needs a descriptor from which nothing ever comes.
pause() { read -r -t "$1" -u "$PAUSE" || true; }

# median FILE: of one number a line.
median() { sort -n "$1" | awk '{ v[NR] = $1 } END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

# row WHAT UNIT LIMIT FILE [PEER FACTOR FILE]: one result into $results (JSON lines). LIMIT is "<=400", ">=0.85" or "-"; FACTOR is how many
# times less than the peer's it should be.
row() {
	local peer=${5:-} factor=${6:-0} peer_median=null
	[ "$peer" ] && peer_median=$(median "$7")
	jq --null-input --compact-output --arg what "$1" --arg unit "$2" --arg limit "$3" --argjson ours "$(median "$4")" \
		--argjson lowest "$(sort -n "$4" | head -n 1)" --argjson highest "$(sort -n "$4" | tail -n 1)" --argjson rounds "$(wc -l <"$4")" \
		--arg peer "$peer" --argjson peer_median "$peer_median" --argjson factor "$factor" '
		($limit | if startswith("<=") then $ours <= (.[2:] | tonumber) elif startswith(">=") then $ours >= (.[2:] | tonumber)
			else true end) as $within |
		(if $peer_median then $peer_median / $ours else null end) as $ratio |
		{what: $what, unit: $unit, median: $ours, min: $lowest, max: $highest, rounds: $rounds, limit: $limit}
		+ (if $peer != "" then {peer: $peer, peer_median: $peer_median, ratio: $ratio, ratio_wanted: $factor} else {} end)
		+ {met: ($within and ($ratio == null or $ratio >= $factor))}' | tee -a "$results" | jq --raw-output '
		"# \(.what): \(.median) \(.unit)\(if .peer then ", \(.peer) \(.peer_median)" else "" end)"' >&2
}

# machine: the facts that figures depend on, and no names.
machine() {
	local cgroup=v1
	[ -f /sys/fs/cgroup/cgroup.controllers ] && cgroup=v2
	[ -d /sys/fs/cgroup/unified ] && cgroup=hybrid
	jq --null-input --argjson cores "$(nproc)" --argjson memory "$(awk '/^MemTotal/ { printf "%.0f", $2 / 1048576 }' /proc/meminfo)" \
		--arg kernel "$(uname -r | cut -d. -f1,2)" --arg cgroup "$cgroup" --arg load "$(cut -d' ' -f1 /proc/loadavg)" \
		--arg date "$(date +%F)" '{date: $date, cores: $cores, memory_gib: $memory, kernel: $kernel, cgroup: $cgroup, load_before: $load}'
}

# report MACHINE RESULTS: both as one Markdown table.
report() {
	jq --raw-output --slurp --slurpfile machine "$1" '
		($machine[0] | "\(.cores) cores, \(.memory_gib) GiB, kernel \(.kernel), cgroup \(.cgroup), load before \(.load_before)\n"),
		"| what | median | lowest | highest | rounds | limit | beside | its median | times | wanted | met |",
		"|---|---|---|---|---|---|---|---|---|---|---|",
		(.[] | "| \(.what) | \(.median) \(.unit) | \(.min) | \(.max) | \(.rounds) | \(.limit) | \(.peer // "") | \(.peer_median // "") | " +
			"\(if .ratio then .ratio * 10 | round / 10 else "" end) | \(.ratio_wanted // "") | \(if .met then "yes" else "no" end) |")' "$2"
}

# keep MACHINE RESULTS: the rows join those of the same day in results/<date>.json and .md, in place of older ones of the same name.
keep() {
	local name rows
	name=results/$(date +%F)
	rows=$(mktemp)
	mkdir -p results
	if [ -f "$name.json" ]; then
		jq --compact-output --slurpfile fresh "$2" '.results[] | select(.what as $what | all($fresh[]; .what != $what))' "$name.json" >"$rows"
	fi
	cat "$2" >>"$rows"
	jq --slurp --slurpfile machine "$1" '{machine: $machine[0], results: .}' "$rows" >"$name.json"
	report "$1" "$rows" >"$name.md"
	rm "$rows"
}
