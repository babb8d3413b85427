#!/bin/bash
# The real agent programs from npm, each against a model that follows a script in its vendor's API dialect: installed, run, refused by the gate
# once, mended, woken by a reviewer, and told that their key is no good. The model is a service of the application, so nothing leaves.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"
# shellcheck source=tests/scenarios/npm.sh
. "$SOURCE_ROOT/tests/scenarios/npm.sh"

npm_needed
[ "$(uname -m)" = x86_64 ] || skip_all 'the versions are pinned for x86_64'
[ "$(node --version | sed 's/^v\([0-9]*\).*/\1/')" -ge 20 ] || skip_all 'needs node 20, for Gemini CLI'
RUN_S=240

# The model's one command breaks what there is, and the next time mends it: the gate's findings are what comes in between.
cp -r "$SOURCE_ROOT/tests/scenarios/tiny" "$WORK/tiny"
cp "$SOURCE_ROOT/tests/scenarios/models/server.mjs" "$WORK/tiny/model.mjs"
cat >>"$WORK/tiny/assay.yaml" <<'END'
workspace: {limits: {memory: 4G}}
END
sed -i 's|^services:|services:\n  model: {run: node model.mjs 8181 "sh work.sh" good, port: 8181}|' "$WORK/tiny/assay.yaml"
cat >"$WORK/tiny/work.sh" <<'END'
if grep -q bye greeting.py; then
	printf 'def hello():\n    return "hello!"\n' >greeting.py
	printf '\n    def test_it_ends_with_a_mark(self):\n        self.assertEqual(greeting.hello(), "hello!")\n' >>test/test_greeting.py
	echo mended
elif grep -q 'hello!' greeting.py; then
	echo 'Greetings.' >>README
	echo explained
else
	printf 'def hello():\n    return "bye"\n' >greeting.py
	echo broken
fi
END
repository "$WORK/tiny"

declare -A ENV MODEL=([claude]='' [codex]=gpt-5.5 [gemini]=gemini-2.5-pro [opencode]=anthropic/claude-sonnet-4-5)
ENV[claude]='{"ANTHROPIC_BASE_URL": "http://model:8181", "ANTHROPIC_API_KEY": $key}'
ENV[codex]='{"OPENAI_BASE_URL": "http://model:8181/v1", "OPENAI_API_KEY": $key}'
ENV[gemini]='{"GOOGLE_GEMINI_BASE_URL": "http://model:8181", "GEMINI_API_KEY": $key}'
ENV[opencode]='{"ANTHROPIC_API_KEY": $key, "OPENCODE_CONFIG_CONTENT": ({provider: {anthropic: {options: {baseURL: "http://model:8181/v1"}}}} | tojson)}'

# run_begin AGENT KEY: starts a run of the agent; prints its id.
run_begin() {
	api POST /runs "$(jq -n --arg agent "$1" --arg model "${MODEL[$1]}" --arg key "$2" --arg repository "$name" \
		'{$repository, title: "Greet louder", body: "With an exclamation mark.",
		  agent: ({use: $agent, env: '"${ENV[$1]}"'} + (if $model == "" then {} else {$model} end))}')" | jq -r .id
}

run_is() { api GET "/runs/$1" | jq -e --arg states "$2" '.state as $s | $states | split(" ") | index($s)' >/dev/null; }
run_field() { api GET "/runs/$1" | jq -r "$2"; }
agent_events() { api GET "/runs/$1/events?limit=1000" | jq -r "[.items[] | select(.type == \"agent\")] | $2"; }

serve_start || { tap_line 'not ok' 'the server starts'; sed 's/^/# /' "$WORK/serve.log"; exit 1; }
name=$(api POST /repositories "$(jq -n --arg path "$WORK/tiny" '{$path, revision: "HEAD"}')" | jq -r .name)

for agent in claude codex gemini opencode; do
	ok "$agent is installed from npm" "$ASSAY" agents install "$agent" "$registry"
done
is 'all of them are listed' "$("$ASSAY" agents --json | jq -c '[.items[] | select(.installed | length == 1) | .name]')" \
	'["claude","codex","gemini","opencode"]'

for agent in claude codex gemini opencode; do
	run=$(run_begin "$agent" good)
	until_true "$RUN_S" run_is "$run" 'review done failed stopped'
	is "$agent: refused once, then verified, in one session" "$(run_field "$run" '"\(.state) \(.verdict) \(.attempt)"')" \
		'review verified 2' || api GET "/runs/$run" | jq -c '{state, error}' | sed 's/^/# /'
	is "$agent: its start, action, words and end are told, twice" \
		"$(agent_events "$run" '[.[].kind] | [index("start"), index("action"), index("message"), index("end")] | all | tostring') $(
			agent_events "$run" 'map(select(.kind == "end" and .ok)) | length') $(
			agent_events "$run" 'map(select(.kind == "start").session) | unique | length')" 'true 2 1'
	like "$agent: what its command said" "$(agent_events "$run" 'map(select(.kind == "observation").text) | join("|")')" 'broken.*mended'
	is "$agent: what it used is counted once" "$(run_field "$run" '.usage | .input_tokens > 2000 and .input_tokens < 20000')" true
	pull=$(run_field "$run" .pull)
	api POST "/pulls/$pull/review" '{"kind": "changes", "text": "Say so in the README."}' >/dev/null
	until_true 20 run_is "$run" 'turn verify publish'
	until_true "$RUN_S" run_is "$run" 'review done failed stopped'
	is "$agent: a reviewer wakes the same session" "$(run_field "$run" '"\(.state) \(.verdict)"') $(
		agent_events "$run" 'map(select(.kind == "start").session) | unique | length')" 'review verified 1'
	api POST "/pulls/$pull/close" '{}' >/dev/null

	run=$(run_begin "$agent" revoked)
	until_true "$RUN_S" run_is "$run" 'review done failed stopped'
	is "$agent: a revoked key fails the run, and says so" "$(run_field "$run" .state) $(run_field "$run" .error | grep -o 'did not succeed: auth')" \
		'failed did not succeed: auth' || api GET "/runs/$run" | jq -c '{state, error}' | sed 's/^/# /'
done

serve_stop
until_true 15 eval '[ -z "$(left_behind)" ]'
is 'nothing is left when the server has ended' "$(left_behind)" ''
done_testing
