#!/bin/bash
# An environment that stands on another one: only what changed is its own, and each request finds its way.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"

cp -r "$SOURCE_ROOT/tests/data/shared" "$WORK/chain"
repository "$WORK/chain"
cd "$WORK/chain" || exit 1
git checkout -q -b change
echo 2 >orders/version.txt
echo 'Nobody runs this.' >README.md
git add -A && git commit -qm 'other orders'
git checkout -q -b front main && echo 3 >front/version.txt && git commit -qam 'another front'
git checkout -q main
ok 'a server starts' serve_start

shown() { "$ASSAY" env show "$1" --json | jq -c "$2"; } # ENV FILTER
declare -A at # where their previews are
visit() { # ENV PATH [CURL…]
	curl -s --max-time 20 "${@:3}" "${at[$1]%/}$2"
}

ok 'the baseline has all services' "$ASSAY" env up --name base
ok 'another one stands on it' "$ASSAY" env up --at change --on base --name mine
is 'what changed is its own' "$(shown mine '[.own, [.sandboxes[].name] | sort]')" '[["orders"],["cache","orders","workspace"]]'
for name in base mine; do at[$name]=$("$ASSAY" env url "$name"); done

for turn in 1 2 3; do
	is "a visit of it goes through both ($turn)" "$(visit mine /)" 'front1>orders2>pricing1'
	is "one of the baseline stays there ($turn)" "$(visit base /)" 'front1>orders1>pricing1'
done
id=$(shown mine .id | tr -d '"')
is 'nobody from outside says whose a request is' "$(visit base / -H "baggage: a=1, env=$id;p=2, b=2")" 'front1>orders1>pricing1'
is 'what else they say is passed on' "$(visit mine /baggage -H 'baggage: a=1, env=other,b = 2;x')" "a=1,b = 2;x,env=$id"
is 'its data is its own' "$(visit mine /count; echo; visit mine /count; echo; visit base /count)" $'1\n2\n1'
is 'nothing was lost so far' "$(shown mine .propagation)" '[]'
like 'what went through the baseline is in its log' "$(api GET "/environments/$id/exchanges" | jq -c '[.items[] | [.from, .to]] | unique')" '\["front","orders"\]'

# ---- a service that drops what it was called with

is 'it is found out by what it has under way' "$(visit mine /lossy)" 'front1>orders2>pricing1'
comes 'and that is told' '[{"from":"front","to":"orders","why":"lost"}]' shown mine .propagation
like 'to people, too' "$("$ASSAY" env show mine)" 'context +front -> orders: the baggage that it was called with is not passed on'
together() { # [CURL…] -- [CURL…]: one of the baseline and one of the other at once
	local first second
	visit base /lossy/together "${@:1:2}" >one.txt &
	first=$!
	visit mine /lossy/together "${@:3}" >two.txt &
	second=$!
	wait "$first" "$second"
}
together
refusal='front1>assay: front calls orders without the `baggage` that it was called with, and has several requests under way: nobody can say whose this one is'
like 'where two are under way nobody can say whose a call is' "$(cat one.txt two.txt)" 'nobody can say whose this one is'
is 'and none gets what is the other one.s' "$(grep -vxF "$refusal" one.txt two.txt | grep -v -e 'one.txt:front1>orders1>pricing1' -e 'two.txt:front1>orders2>pricing1')" ''
comes 'and that is told, too' '["ambiguous","lost"]' shown mine '[.propagation[].why] | sort'
trace() { printf '00-%032d-00000000000000a1-01' "$1"; }
together -H "traceparent: $(trace 1)" -H "traceparent: $(trace 2)"
is 'by their traces one can' "$(cat one.txt) $(cat two.txt)" 'front1>orders1>pricing1 front1>orders2>pricing1'

# ---- two of them, one whose front is its own

ok 'a third one stands on the same' "$ASSAY" env up --at front --on base --name face
at[face]=$("$ASSAY" env url face)
is 'each sees its own' "$(visit face /) $(visit mine /) $(visit base /)" 'front3>orders1>pricing1 front1>orders2>pricing1 front1>orders1>pricing1'
ok 'services can be named' "$ASSAY" env up --at main --on base --services pricing,orders --name two
is 'and are its own' "$(shown two .own)" '["pricing","orders"]'

# ---- what cannot be

said() { "$ASSAY" "$@" 2>&1; }
like 'what others stand on stays' "$(said env down base)" '3 environments stand on base: it cannot be removed'
like 'and stays awake' "$(said env freeze base)" '3 environments stand on base: it cannot be frozen'
like 'nothing stands on one that is not whole' "$(said env up --on mine)" 'mine is no environment with all of its services'
like 'something must differ' "$(said env up --on base)" 'no service of [0-9a-f]* differs from what base has'
like 'a service that is not there' "$(said env up --on base --services till)" 'the blueprint has no service .till.'
like 'what is not its own is not deployed there' "$(said env deploy mine front)" 'mine has no .front. of its own'

# ---- and after

serve_stop
ok 'the server starts again' serve_start
back() { [ "$(visit mine /)" = 'front1>orders2>pricing1' ]; }
for name in base mine; do at[$name]=$("$ASSAY" env url "$name"); done
ok 'all is as it was' until_true 60 back
for name in mine face two; do "$ASSAY" env down "$name" >/dev/null; done
is 'without them the baseline is what it was' "$(visit base /)" 'front1>orders1>pricing1'
ok 'and can go' "$ASSAY" env down base

done_testing
