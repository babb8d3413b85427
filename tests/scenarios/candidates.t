#!/bin/bash
# Two agents on one issue at once, one that does it right and one that does not: the evidence chooses, one pull request comes, both branches stay.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"

cp -r "$SOURCE_ROOT/tests/scenarios/tiny" "$WORK/tiny"
sed -i 's/^  timeout: 120s/  timeout: 120s\n  candidates: ["command:bad", "command:good"]/' "$WORK/tiny/assay.yaml"
cat >"$WORK/tiny/agent.sh" <<'END_AGENT'
cat >/dev/null
echo '{"type": "start", "session": "s1", "model": "tiny"}'
if [ "$ASSAY_AGENT_MODEL" = good ]; then
	printf 'def hello():\n    return "hello!"\n' >greeting.py
	printf '\n    def test_mark(self):\n        self.assertEqual(greeting.hello(), "hello!")\n' >>test/test_greeting.py
else
	printf 'def hello():\n    return "bye"\n' >greeting.py
fi
echo '{"type": "end", "ok": true, "text": "", "usage": {"cost_usd": 0.02}}'
END_AGENT
repository "$WORK/tiny"

serve_start || { tap_line 'not ok' 'the server starts'; sed 's/^/# /' "$WORK/serve.log"; exit 1; }
name=$(api POST /repositories "$(jq -n --arg path "$WORK/tiny" '{$path, revision: "HEAD"}')" | jq -r .name)
first=$(api POST /runs "$(jq -n --arg repository "$name" '{$repository, title: "Greet with a mark"}')" | jq -r .id)
all_rest() { api GET /runs | jq -e '[.items[].state] | length == 2 and all(IN("review", "done", "failed", "stopped"))'; }
until_true 240 all_rest
states() { api GET /runs | jq -r '[.items[] | .state] | sort | if . == ["done", "review"] or . == ["review", "stopped"] then "so it is" else . end'; }
comes 'the proven one waits for a person, the other has ended' 'so it is' states || api GET /runs | jq -c '.items[] | {id, state, verdict, error}' | sed 's/^/# /'
is 'there is one pull request' "$(api GET /pulls | jq '.items | length')" 1
is 'it is verified, and of the second agent' "$(api GET /pulls | jq -r '.items[0] | "\(.verdict) \(.run != "'"$first"'")"')" 'verified true'
like 'it lists both' "$(api GET /pulls/1 | jq -r .body)" 'The candidates.*assay/1-greet-with-a-mark` \|.*assay/1-greet-with-a-mark-2` \| chosen'
is 'both branches are there' "$(git -C "$ASSAY_STATE/repos/$name.git" branch --list 'assay/*' | wc -l)" 2
is 'a run names its candidates' "$(api GET "/runs/$first" | jq -c '[.candidates[].chosen]')" '[false,true]'
at_work() { api GET /environments | jq '[.items[] | select(.purpose == "work")] | length'; }
comes 'the environment of the other is gone' 1 at_work
ok 'it can be merged' "$ASSAY" pull merge 1
merged() { api GET /runs | jq -e '[.items[].state] | all(IN("done", "stopped"))'; }
until_true 60 merged
issue_state() { api GET /issues/1 | jq -r .state; }
comes 'the issue is done' 'done' issue_state

serve_stop
comes 'nothing is left when the server has ended' '' left_behind
done_testing
