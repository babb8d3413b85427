#!/bin/bash
# Claude Code itself is the agent of a run: the real program (tests/agents, installed by tools/setup) in the sandbox, talking to a model server that
# plays a script over the real API (model.mjs), a service of the application like any other.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/kill9.sh
. "$SOURCE_ROOT/tests/scenarios/kill9.sh"
claude=$SOURCE_ROOT/tests/agents/node_modules/@anthropic-ai/claude-code-linux-x64/claude
[ -x "$claude" ] || skip_all 'needs Claude Code: npm ci --prefix tests/agents'
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"
RUN_S=300

# A sandbox sees /opt of the host, and not where the sources are.
place=$(mktemp -d /opt/assay-claude-XXXXXX) || skip_all 'needs to write to /opt'
at_end rm -rf "$place"
chmod 755 "$place"
ln "$claude" "$place/claude" 2>/dev/null || cp "$claude" "$place/claude"
chmod 755 "$place/claude"

tiny_repository "$WORK/tiny"
cp "$SOURCE_ROOT/tests/scenarios/model.mjs" "$WORK/tiny/"
rm "$WORK/tiny/agent.sh"
sed -i '/^agent:/,$d' "$WORK/tiny/assay.yaml"
sed -i 's|^databases:|  model:\n    run: [node, model.mjs, "8080"]\n    port: 8080\n    ready: /healthz\ndatabases:|' "$WORK/tiny/assay.yaml"
cat >>"$WORK/tiny/assay.yaml" <<-OF_THE_AGENT
	agent:
	  use: claude
	  run: [$place/claude]
	  env: {ANTHROPIC_BASE_URL: "http://model:8080", ANTHROPIC_API_KEY: sk-ant-test, DISABLE_AUTOUPDATER: "1"}
	  timeout: 4m
OF_THE_AGENT
repository "$WORK/tiny" 'tiny: Claude Code works on it'

serve_start || { tap_line 'not ok' 'the server starts'; sed 's/^/# /' "$WORK/serve.log"; exit 1; }
name=$(api POST /repositories "$(jq -n --arg path "$WORK/tiny" '{$path, revision: "HEAD"}')" | jq -r .name)
run=$(api POST /runs "$(jq -n --arg repository "$name" '{$repository, title: "Shout", body: "Add shout() to words.py."}')" | jq -r .id)

settled() { [[ $(api GET "/runs/$run" | jq -r .state) =~ ^(review|done|failed|stopped)$ ]]; }
of_agent() { api GET "/runs/$run/events" | jq -r "[.items[] | select(.type == \"agent\") | $1] | join(\" \")"; }

until_true "$RUN_S" settled
is 'its work is verified' "$(api GET "/runs/$run" | jq -r '"\(.state) \(.verdict)"')" 'review verified'
[ "$tap_failed" = 0 ] || { api GET "/runs/$run/events" | jq -c '.items[]' | tail -n 30 | cut -c1-300 | sed 's/^/# /'; }
is 'what it did was seen as it did it' "$(of_agent 'select(.kind == "action") | .tool')" 'Read Edit Write Bash'
is 'each action had its result' "$(of_agent 'select(.kind == "observation") | .ok')" 'true true true true'
is 'what it said was heard' "$(of_agent 'select(.kind == "message") | .text' | head -c 26)" 'I look at words.py first. '
like 'what it cost is known' "$(api GET "/runs/$run" | jq -r '.usage | "\(.input_tokens) \(.output_tokens) \(.cost_usd > 0)"')" '^[1-9][0-9]* [1-9][0-9]* true$'
pull=$(api GET "/runs/$run" | jq -r .pull)
like 'the pull request has what it wrote' "$(api GET "/pulls/$pull/diff")" '\+def shout\(word\):'

turns() { api GET "/runs/$run" | jq .usage.turns; }
woken() { [ "$(turns)" = 2 ] && settled; }
api POST "/pulls/$pull/review" '{"kind": "comment", "text": "Are you sure?"}' >/dev/null
until_true "$RUN_S" woken
is 'a review wakes it in the session that it had' "$(of_agent 'select(.kind == "start") | .session' | tr ' ' '\n' | uniq -c | awk '{print $1}')" 2
environment=$(api GET "/runs/$run" | jq -r .environment)
is 'the model server refused nothing that it asked' "$("$ASSAY" env logs "$environment" model | grep -c refused)" 0

done_testing
