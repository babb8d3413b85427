#!/bin/bash
# Short runs, each with kill -9 of one process of ours at a random point: every run ends the same, and nothing is left behind.
# usage: kill9.t [--kills N] [--seed N] [--from PERCENT]     or ASSAY_KILLS, ASSAY_SEED, ASSAY_KILL_FROM in the environment
# Kills come at any time of a run, or from PERCENT of it on; half of them with the store in a file, half with PostgreSQL (ASSAY_KILL_STORES
# names others). `make check-long` kills 1,000 times.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/kill9.sh
. "$SOURCE_ROOT/tests/scenarios/kill9.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"
# shellcheck source=tests/scenarios/postgres.sh
. "$SOURCE_ROOT/tests/scenarios/postgres.sh"

kills=${ASSAY_KILLS:-40} seed=${ASSAY_SEED:-$(date +%s)} from_percent=${ASSAY_KILL_FROM:-0}
[ "${ASSAY_LONG:-}" ] && kills=${ASSAY_KILLS:-1000}
while [ $# -gt 0 ]; do
	case $1 in
	--kills) kills=$2 ;;
	--seed) seed=$2 ;;
	--from) from_percent=$2 ;;
	esac
	shift 2
done
read -ra STORES <<<"${ASSAY_KILL_STORES:-file postgres}"
RUN_S=180 # a run that has not ended after this is stuck
read -ra VICTIMS <<<"${ASSAY_VICTIMS:-serve gateway vault keeper init agent}"
RANDOM=$((seed % 32768))
echo "# seed $seed, $kills kills"

tiny_repository "$WORK/tiny"

# begin STORE: a server on a state of its own, which keeps what it knows in a file or in PostgreSQL.
begin() {
	unset ASSAY_STORE
	export ASSAY_STATE=$WORK/state-$1
	[ "$1" = file ] || { database_make && export ASSAY_STORE=$STORE_URL; }
	serve_start || { tap_line 'not ok' 'the server starts'; sed 's/^/# /' "$WORK/serve.log"; exit 1; }
	read -r name base <<<"$(api POST /repositories "$(jq -n --arg path "$WORK/tiny" '{$path, revision: "HEAD"}')" | jq -r '"\(.name) \(.commit)"')"
}

# milliseconds: since some fixed point.
milliseconds() { echo $((${EPOCHREALTIME/./} / 1000)); }

environments() { api GET /environments | jq -c '[.items[] | .id]'; }

# victim KIND: the pid of a process of that kind, or fails.
victim() {
	local pid pids=() children
	children=$(below "$serve_pid")
	case $1 in
	serve) pids=("$serve_pid") ;;
	gateway | vault | keeper)
		for pid in $children; do
			grep -qaz "^$1\$" "/proc/$pid/cmdline" 2>/dev/null && pids+=("$pid")
		done ;;
	init)
		for pid in $children; do
			[ "$(cat "/proc/$pid/comm" 2>/dev/null)" = assay-init ] && pids+=("$pid")
		done ;;
	agent)
		for pid in $children; do
			grep -qa 'agent\.sh' "/proc/$pid/cmdline" 2>/dev/null && pids+=("$pid")
		done ;;
	esac
	[ ${#pids[@]} -gt 0 ] && echo "${pids[RANDOM % ${#pids[@]}]}"
}

# kill_one: kills a random process that there is; says which.
kill_one() {
	local kind pid first=$((RANDOM % ${#VICTIMS[@]})) i
	for ((i = 0; i < ${#VICTIMS[@]}; i++)); do
		kind=${VICTIMS[(first + i) % ${#VICTIMS[@]}]}
		pid=$(victim "$kind") && kill -KILL "$pid" 2>/dev/null && break
	done
	killed=$kind
	[ "$kind" != serve ] && return
	wait "$serve_pid" 2>/dev/null
	from_ms=$(milliseconds)
	serve_start || echo '# the server did not start again'
	resumed_ms=$(($(milliseconds) - from_ms))
	[ "$resumed_ms" -le "$resumed_most_ms" ] || resumed_most_ms=$resumed_ms
}

# Every run starts from the first commit, so that each has the same to do, whatever was merged before.
# story DELAY_MS: one run from issue to merge; after DELAY_MS, one process is killed (-1: none is). Sets end to how it ended, in one line.
story() {
	local run pull from deadline
	killed=none
	run=$(api POST /runs "$(jq -n --arg repository "$name" --arg base "$base" '{$repository, $base, title: "Shout", body: "Add shout() to words.py."}')" | jq -r .id)
	from=$(milliseconds)
	deadline=$((SECONDS + RUN_S))
	while [ "$SECONDS" -lt "$deadline" ]; do
		if ! kill -0 "$serve_pid" 2>/dev/null; then
			end="the server ended by itself: $(tail -n 1 "$WORK/serve.log")"
			serve_start
			return
		fi
		if [ "$1" -ge 0 ] && [ "$killed" = none ] && [ $(($(milliseconds) - from)) -ge "$1" ]; then
			kill_one
			killed_after=$(($(milliseconds) - from))
		fi
		case $(api GET "/runs/$run" 2>/dev/null | jq -r '"\(.state) \(.pull)"') in
		review*)
			pull=$(api GET "/runs/$run" | jq -r .pull)
			api POST "/pulls/$pull/merge" '{}' >/dev/null 2>&1 ;;
		done* | failed* | stopped*) break ;;
		esac
		tap_pause 0.02
	done
	took_ms=$(($(milliseconds) - from))
	end=$(api GET "/runs/$run" | jq -r '"\(.state), \(.verdict), attempt \(.attempt)"'),
	end+=" $(api GET '/pulls?limit=1000' | jq -r --arg run "$run" '[.items[] | select(.run == $run)] | "\(length) pull \(map(.state) | join(" "))"'),"
	end+=" $(api GET "/runs/$run/events" | jq -r '[.items[] | select(.type == "verdict")] | length') verdict,"
	end+=" $(api GET "/runs/$run/record" 2>/dev/null | jq -r '.signatures | length') signature"
	error=$(api GET "/runs/$run" | jq -r '.error // empty')
}

# with STORE KILLS: a server on that store, its kills, and what it leaves.
with() {
	local i
	begin "$1"
	story -1
	is "$1: the first run is verified, merged and signed, and makes what later ones find" "$end" \
		'done, verified, attempt 1, 1 pull merged, 1 verdict, 1 signature'
	story -1
	wanted=$end
	span_ms=$took_ms
	is "$1: a run that nothing disturbs is verified, merged and signed" "$end" 'done, verified, attempt 1, 1 pull merged, 1 verdict, 1 signature'
	echo "# it took $span_ms ms"
	resumed_most_ms=0

	for ((i = 1; i <= $2 && SECONDS < BUDGET_S; i++)); do
		killed_after=never
		begin_ms=$((span_ms * from_percent / 100))
		story $((begin_ms + RANDOM % (span_ms * 19 / 20 - begin_ms)))
		[ "$took_ms" -ge "$span_ms" ] || span_ms=$took_ms
		is "$1: kill $i of $2: $killed after $killed_after ms: the run ends the same" "$end" "$wanted"
		echo "# it took $took_ms ms${error:+; $error}"
		[ "$end" = "$wanted" ] || { echo "# what the server said last:"; tail -n 25 "$WORK/serve.log" | cut -c1-300 | sed 's/^/#   /'; }
	done
	[ "$i" -gt "$2" ] || echo "# $((i - 1)) of $2 kills fitted into $BUDGET_S s"
	echo "# $1: a server that was killed answered again after $resumed_most_ms ms at most"

	comes "$1: no environment is left when all runs are closed" '[]' environments
	serve_stop
	comes "$1: no process and no mount is left when the server has ended" '' left_behind
	is "$1: no directory of an environment is left" "$(find "$ASSAY_STATE/envs" -mindepth 1 -maxdepth 1 2>/dev/null | grep -v trash)" ''
}

for store in "${STORES[@]}"; do
	BUDGET_S=$((SECONDS + kills * 12 / ${#STORES[@]} + 60)) # no more kills are begun after this
	with "$store" $((kills / ${#STORES[@]}))
done

done_testing
