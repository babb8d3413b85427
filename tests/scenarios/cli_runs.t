#!/bin/bash
# The command line around a run: a tiny application, an agent that is a shell script, and everything that a person types.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"

cp -r "$SOURCE_ROOT/tests/scenarios/tiny" "$WORK/tiny"
repository "$WORK/tiny"
cd "$WORK/tiny" || exit 1

# said CODE LINE ARGUMENTS…: ends with CODE and exactly LINE on both outputs together.
said() {
	local code=$1 line=$2 out got
	shift 2
	out=$("$ASSAY" "$@" 2>&1 </dev/null)
	got=$?
	is "assay $*" "$got $out" "$code $line"
}

ok 'the server starts in the background and says where' "$ASSAY" serve --background --listen 127.0.0.1:0 --preview 127.0.0.1:0
at_end '"$ASSAY" serve --stop >/dev/null 2>&1'
said 1 "assay serve: a server runs here already ($ASSAY_STATE/run/serve.sock): \`assay status\` says where" serve --background
like 'status says what it does' "$("$ASSAY" status)" 'pages +http://127.0.0.1:[0-9]+'
is 'nothing is there yet' "$("$ASSAY" runs 2>&1; "$ASSAY" issue list 2>&1; "$ASSAY" pull list 2>&1; "$ASSAY" repo list 2>&1)" \
	'no run yet: assay run "what should be different"
no issue yet: assay issue new "what should be different"
no pull request yet: they come from runs
no repository yet: `assay repo put` in a checkout, or `assay run`, puts one here'
said 1 'assay show: no run `rnone`' show rnone
like 'an empty text is refused' "$("$ASSAY" run '  ' 2>&1; echo $?)" '^assay run: there is no text: say what should be different.3$'
like 'an empty file too' "$("$ASSAY" run --file /dev/null 2>&1; echo $?)" '3$'
like 'an issue that is not there' "$("$ASSAY" run --issue 77 2>&1; echo $?)" '3$'

echo changed >>README
out=$("$ASSAY" run $'Say hello louder\n\nWith an exclamation mark.' 2>err.txt)
code=$?
git checkout --quiet README
is 'a run of a good change ends verified' "$code" 0 || sed 's/^/# /' err.txt "$ASSAY_STATE/serve.log"
echo "$out" >out.txt; sed 's/^/# /' out.txt
like 'what was not committed is said to be left out' "$(cat err.txt)" "$WORK/tiny has changes that are not committed; they are left out"
like 'the title is the first line' "$out" '^Say hello louder  tiny · run r'
like 'its steps are told' "$out" $'\n✓ fork +[0-9.]+ m?s'
like 'its thoughts too, made harmless' "$out" '“ A thought in .\[31mred'
is 'no escape sequence reaches the output' "$(printf '%s' "$out" | grep -c $'\033')" 0
like 'the gates' "$out" '✓ deploys and migrates'
like 'the end says where to look' "$out" 'pull request +http://127.0.0.1:[0-9]+/pulls/1'

run=$("$ASSAY" runs --json | jq -r '.items[0].id')
is 'the run waits for a person' "$("$ASSAY" show "$run" --json | jq -r '[.state, .verdict, .pull] | join(" ")')" 'review verified 1'
like 'a run is found by the beginning of its id' "$("$ASSAY" show "${run:0:5}")" "run $run"
like 'its story can be read again' "$("$ASSAY" show "$run")" '✓ Verified'
like 'the pull request says what was checked' "$("$ASSAY" pull show 1)" 'what was checked'
like 'its diff is a diff' "$("$ASSAY" pull diff 1)" '^diff --git a/'
like 'the issue has the text' "$("$ASSAY" issue show 1)" 'With an exclamation mark'
said 1 'assay pull show: no pull request 9' pull show 9
like 'a letter is no number' "$("$ASSAY" pull show x 2>&1)" 'assay pull show: `x` is no number'

is 'a review wakes the agent' "$("$ASSAY" pull review 1 --changes 'Louder still')" sent
out=$("$ASSAY" show "$run" --follow --until review 2>&1)
is 'and it is verified again' "$?" 0 || { echo "$out" >out.txt; sed 's/^/# /' out.txt; }
like 'the pull request says how long it was verified' "$("$ASSAY" pull show 1 --json | jq -r .body)" 'Verified in [0-9.]+ (ms|s)'
is 'it merges' "$("$ASSAY" pull merge 1)" merged
ok 'the run ends' "$ASSAY" show "$run" --follow
issue_state() { "$ASSAY" issue show 1 --json | jq -r .state; }
comes 'the issue is done' 'done' issue_state
like 'a run that has ended is not stopped' "$("$ASSAY" stop "$run" 2>&1; echo $?)" '1$'

out=$("$ASSAY" run 'Break it' --json 2>err.txt)
code=$?
is 'a run of a bad change ends failed' "$code" 1 || sed 's/^/# /' err.txt
is 'with --json each line is an object' "$(echo "$out" | jq -r .type | sort -u | grep -c -E '^(run|state|step|gate|verdict|agent)$')" 6
is 'its pull request is a draft' "$("$ASSAY" pull show 2 --json | jq .draft)" true
like 'which does not merge by itself' "$("$ASSAY" pull merge 2 2>&1; echo $?)" 'not verified.*1$'
run=$("$ASSAY" runs --json | jq -r '.items[0].id')
finding=$(echo "$out" | jq -r 'select(.type == "finding" and .severity == "block") | .id' | tail -n 1)
is 'a person says that it is meant' "$("$ASSAY" declare "$run" "$finding" --because 'the issue asks for it')" "declared: $run is verified again"
"$ASSAY" watch "$run" --until review >meant.txt 2>&1
like 'it is verified again, and that is its record' "$("$ASSAY" record show "$run")" "meant .*$finding.*declared by .*: the issue asks for it.*✓ verified"
"$ASSAY" record key >public.pem
"$ASSAY" record show "$run" --bundle >run.intoto.jsonl
said_in() { jq -r '.payload | @base64d | fromjson | "\(.predicateType) \(.predicate.result // .predicate.verificationResult // .predicate.verdict)"' "$1"; }
is 'beside it the verdict is said in standard forms' "$(said_in run.intoto.jsonl | sed 's|.*/\(.*/v[0-9.]* \)|\1|')" 'test-result/v0.1 PASSED
verification_summary/v1 PASSED
verification/v1 verified' || said_in run.intoto.jsonl
like 'all of which are checked with a key alone' "$("$ASSAY" record verify run.intoto.jsonl --key public.pem 2>&1)" 'the signature is good.* is verified'
sed -n '1p;3p' run.intoto.jsonl >fewer.jsonl
like 'and each by itself' "$("$ASSAY" record verify fewer.jsonl --key public.pem 2>&1)" 'the signature is good'
is 'its pull request is a draft no more' "$("$ASSAY" pull show 2 --json | jq .draft)" false
said 1 "assay declare: run $run has no declaration \`GET /\`" declare "$run" 'GET /' --undo
is 'it is closed' "$("$ASSAY" pull close 2)" closed

"$ASSAY" run 'Think for long' >long.txt 2>&1 &
follower=$!
until_true 60 grep -q 'thinking' long.txt
kill -INT "$follower"
wait "$follower"
is 'Ctrl-C detaches' "$?" 3
like 'and says how to go on' "$(cat long.txt)" 'assay run: detached; the run goes on: assay show r[a-z0-9]+ --follow'
long=$("$ASSAY" runs --json | jq -r '.items[0].id')
is 'the run goes on' "$("$ASSAY" show "$long" --json | jq -r .state)" turn
is 'it takes a message' "$("$ASSAY" message "$long" 'Think faster')" sent
is 'it is stopped' "$("$ASSAY" stop "$long")" stopped
"$ASSAY" show "$long" --follow >/dev/null 2>&1
is 'and says so to whoever follows' "$?" 3

ok 'the server ends' "$ASSAY" serve --stop
comes 'nothing is left behind' '' left_behind

done_testing
