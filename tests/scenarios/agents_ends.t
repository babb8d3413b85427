#!/bin/bash
# How an agent's turn may end, told by a shell script that is the agent: it runs out of memory, goes round in circles, crashes once, changes nothing,
# commits by itself, removes a test, edits the CI; it gets a prompt of a quarter of a megabyte, leaves processes behind, prints its key,
# is written to while it works, and when its environment was frozen long after.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"
# shellcheck source=tests/scenarios/agents.sh
. "$SOURCE_ROOT/tests/scenarios/agents.sh"

cp -r "$SOURCE_ROOT/tests/scenarios/tiny" "$WORK/tiny"
cd "$WORK/tiny" || exit 1
printf '__pycache__\nreport.xml\n' >.gitignore
mkdir -p .github/workflows && echo 'on: push' >.github/workflows/ci.yml
echo 'workspace: {limits: {memory: 256M}}' >>assay.yaml
cat >agent.sh <<'END'
prompt=$(cat)
say() { printf '%s\n' "$1"; }
finish() { say '{"type": "end", "ok": true, "text": "It is done.", "usage": {"input_tokens": 10, "output_tokens": 5, "cost_usd": 0.01}}'; exit; }
good() {
	printf 'def hello():\n    return "hello!"\n' >greeting.py
	printf '\n    def test_it_ends_with_a_mark(self):\n        self.assertEqual(greeting.hello(), "hello!")\n' >>test/test_greeting.py
}
say '{"type": "start", "session": "s1", "model": "script"}'
case $prompt in
*'Eat memory'*) exec python3 -c 'x = bytearray(1 << 30)' ;;
*'Have a child eat memory'*)
	python3 -c 'x = bytearray(1 << 30)'
	good
	;;
*'Go in circles'*)
	while sleep 0.01; do
		for file in a b; do
			say '{"type": "action", "id": "1", "tool": "read", "title": "Read '$file'", "detail": "'$file'"}'
			say '{"type": "observation", "id": "1", "ok": true, "text": "nothing"}'
		done
	done
	;;
*'Crash once'*)
	[ -e /tmp/crashed ] || { : >/tmp/crashed; exit 3; }
	good
	;;
*'Change nothing'*) ;;
*'Commit it'*)
	good
	git -c user.name=agent -c user.email=agent@localhost commit --quiet --all --message 'I did it myself'
	;;
*'Remove the test'*)
	printf 'def hello():\n    return "bye"\n' >greeting.py
	git rm --quiet test/test_greeting.py
	;;
*'Edit the CI'*)
	good
	echo 'on: never' >.github/workflows/ci.yml
	;;
*'Be told at length'*)
	good
	say '{"type": "message", "text": "I was told '$(printf %s "$prompt" | wc -c)' bytes"}'
	;;
*'Leave children'*)
	good
	setsid sh -c 'sleep 54322 & sleep 54322' >/dev/null 2>&1 &
	sh -c '(setsid sleep 54322 &)'
	setsid sh -c 'trap "" TERM HUP INT; sleep 54322; sleep 54322' >/dev/null 2>&1 &
	setsid python3 -c 'import os
while True:
    if os.fork(): os._exit(0)' 54322 >/dev/null 2>&1 &
	;;
*'Print the key'*)
	good
	say '{"type": "message", "text": "my key is '$VENDOR_API_KEY', yes"}'
	echo "and $VENDOR_API_KEY here" >&2
	;;
*'Break a seam'*)
	good
	assay-env fault 503 web >/dev/null
	say '{"type": "message", "text": "answered '"$(assay-env http GET http://web:8080/ 2>/dev/null | head -n 1 | tr -cd '0-9A-Za-z ')"'"}'
	;;
*'Louder'*) good ;;
*'Wait for me'*)
	: >/tmp/began
	until [ -e /tmp/go ]; do sleep 0.1; done
	;;
esac
finish
END
repository "$WORK/tiny"
serve_start || { tap_line 'not ok' 'the server starts'; sed 's/^/# /' "$WORK/serve.log"; exit 1; }
name=$(api POST /repositories "$(jq -n --arg path "$WORK/tiny" '{$path, revision: "HEAD"}')" | jq -r .name)

begin() { run_post "$name" "$1" '{}'; }
ended() { run_over "$1" && run_field "$1" '"\(.state) \(.verdict // "-") \(.error // "")"'; }

# Several at a time: they have nothing to do with each other.
memory=$(begin 'Eat memory') circles=$(begin 'Go in circles') crash=$(begin 'Crash once') child=$(begin 'Have a child eat memory')
like 'out of memory: said as it is, with where the limit is' "$(ended "$memory")" \
	'^failed - the workspace ran out of memory and the agent \(command\) was killed for that: it has 256 MiB \(workspace.limits.memory\)'
like 'round in circles: ended, with what it did last' "$(ended "$circles")" '^failed - the agent goes round in circles: .*the last: Read [ab]'
is 'one that crashed in the middle is started again' "$(ended "$crash")" 'review verified '
is 'a child out of memory does not end the run' "$(ended "$child")" 'review verified '
like 'but is told' "$(run_notes "$child")" 'the workspace ran out of memory: [1-9].*it has 256 MiB'

nothing=$(begin 'Change nothing') commits=$(begin 'Commit it') removes=$(begin 'Remove the test') edits=$(begin 'Edit the CI')
like 'nothing changed: told once, then a person' "$(ended "$nothing")" 'failed - the agent changed nothing in two turns; it says: It is done'
is 'what it committed by itself is the work as well' "$(ended "$commits")" 'review verified '
like 'and in the pull request' "$("$ASSAY" pull diff "$(run_field "$commits" .pull)")" 'return "hello!"'
like 'a test that was removed: a draft for a person, after no progress' "$(ended "$removes")" '^review (failed|unverified) '
like 'with the finding' "$(run_events "$removes" '[.items[] | select(.type == "finding").title] | join("|")')" '[Tt]est'
like 'an edit of the CI: not verified as it is' "$(ended "$edits")" '^review (failed|unverified) '
like 'with the file' "$(run_events "$edits" '[.items[] | select(.type == "finding") | tojson] | join("|")')" 'ci.yml'

breaks=$(begin 'Break a seam')
is 'one that broke a seam on purpose is verified' "$(ended "$breaks")" 'review verified '
like 'it met the fault' "$(agent_events "$breaks" 'map(select(.kind == "message").text) | join("|")')" 'answered .*503'
is 'which ended with its turn, before anything was verified' "$(run_events "$breaks" '[.items[] | select((.type == "note" and (.text | test("faults that the agent left on 1 seams are cleared"))) or .type == "gate") | .type] | .[0]')" note
like 'and is not met any more' "$(workspace "$breaks" assay-env fault list) $(workspace "$breaks" assay-env http GET http://web:8080/ | tail -n 1)" 'no faults.*hello!'

jq -n --arg repository "$name" --arg line "$(printf '%0100d' 0)" \
	'{$repository, title: "Be told at length", body: ([range(2500) | $line] | join("\n"))}' >long.json
long=$(curl --silent --unix-socket "$ASSAY_STATE/run/serve.sock" --header 'content-type: application/json' --data @long.json \
	http://assay/api/v1/runs | jq -r .id)
leaves=$(begin 'Leave children')
prints=$(run_post "$name" 'Print the key' '{"env": {"VENDOR_API_KEY": "sk-not-to-be-kept-0123456789"}}')
is 'a prompt of a quarter of a megabyte is told' "$(ended "$long")" 'review verified '
like 'whole' "$(agent_events "$long" 'map(select(.kind == "message").text) | join("|")')" 'I was told 25[0-9][0-9][0-9][0-9] bytes'
is 'what it leaves running' "$(ended "$leaves")" 'review verified '
comes 'does not go on, not even who forks all the time' 0 pgrep -fc '^(sleep|python3) .*54322$'
is 'a key that it prints' "$(ended "$prints")" 'review verified '
like 'is not shown' "$(agent_events "$prints" 'map(select(.kind == "message").text) | join("|")')" 'my key is \[VENDOR_API_KEY\], yes'
is 'and not kept' "$(grep -rla sk-not-to-be-kept "$ASSAY_STATE/runs" | wc -l) $(grep -c 'and \[VENDOR_API_KEY\] here' "$ASSAY_STATE/runs/$prints/turn-1.log")" '0 1'

run=$(begin 'Wait for me')
until_true "$RUN_S" workspace "$run" test -e /tmp/began
ok 'one that cannot be told while it works' "$ASSAY" message "$run" 'Louder, please'
workspace "$run" touch /tmp/go
is 'is told when it has ended, before anything is judged' "$(ended "$run")" 'review verified '
is 'as another turn' "$(agent_events "$run" 'map(select(.kind == "start")) | length') $(run_events "$run" '[.items[] | select(.type == "verdict")] | length')" '2 1'
run=$(begin 'Wait for me')
until_true "$RUN_S" workspace "$run" test -e /tmp/began
began=$(date +%s%3N)
ok 'a stop ends it' "$ASSAY" stop "$run"
until_true 60 run_is "$run" stopped
echo "# stopped $(($(date +%s%3N) - began)) ms after it was asked to"

# Its environment stands still, as it does some time after the work; a message is another turn in it.
run=$(begin 'Be greeted. Louder')
is 'one that waits for its review' "$(ended "$run")" 'review verified '
environment=$(run_field "$run" .environment)
workspace "$run" sh -c 'echo here >/tmp/before'
ok 'its environment is frozen' "$ASSAY" env freeze "$environment"
state_of() { api GET "/environments/$1" | jq -r .state; }
is 'and stands still' "$(state_of "$environment")" frozen
before=$(run_events "$run" '.items[-1].seq')
ok 'a message is taken' "$ASSAY" message "$run" 'Say how: Be told at length'
until_true 60 run_told "$run" '.seq > '"$before"' and .kind == "start"'
like 'the message is there first, then the turn begins, then its program speaks' "$(run_events "$run" '[.items[] | select(.seq > '"$before"') |
	if .type == "agent" then .kind else .type + (.state // "") end] | join(" ")')" 'message.* stateturn .*start'
run_events "$run" '[.items[] | select(.seq > '"$before"')] | "# message to the agent'"'"'s first word, from frozen: \([.[] | select(.type == "agent")][0].time_ms - .[0].time_ms) ms"'
is 'in the same environment, as it was' "$(run_over "$run"; run_field "$run" .environment) $(workspace "$run" cat /tmp/before)" "$environment here"

serve_stop
comes 'nothing is left when the server has ended' '' left_behind
done_testing
