#!/bin/bash
# The real agent programs from npm, each against a model that follows a script in its vendor's API dialect: installed, run, refused by the gate
# once, mended, woken by a reviewer, and told that their key is no good; there the model is a service of the application. Then once more as it is in
# life: the model is outside, behind TLS, the sandbox holds a placeholder of the key, and the key itself is nowhere in it.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"
# shellcheck source=tests/scenarios/npm.sh
. "$SOURCE_ROOT/tests/scenarios/npm.sh"
# shellcheck source=tests/scenarios/agents.sh
. "$SOURCE_ROOT/tests/scenarios/agents.sh"

agents_needed
REAL_KEY=sk-real-$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')

agents_application

vendors_begin "$REAL_KEY"
vendors_application governed anthropic openai gemini
cd "$WORK" || exit 1

ASSAY=$WORK/outside/assay serve_start || { tap_line 'not ok' 'the server starts'; sed 's/^/# /' "$WORK/serve.log"; exit 1; }
name=$(api POST /repositories "$(jq -n --arg path "$WORK/tiny" '{$path, revision: "HEAD"}')" | jq -r .name)

governed=$(api POST /repositories "$(jq -n --arg path "$WORK/governed" '{$path, revision: "HEAD", name: "governed"}')" | jq -r .name)
vendors_keys "$REAL_KEY" anthropic openai gemini
like 'before that, what is missing is said' "$("$ASSAY" agents --json | jq -r '.items[] | select(.name == "codex" or .name == "cursor").missing // "-"' | tr '\n' ' ')" \
	'assay agents install codex .*not on npm' # on a machine that has neither
for agent in claude codex gemini opencode; do
	ok "$agent is installed from npm" "$ASSAY" agents install "$agent" "$registry"
done
is 'all of them are listed' "$("$ASSAY" agents --json | jq -c '[.items[] | select(.installed | length == 1) | .name]')" \
	'["claude","codex","gemini","opencode"]'
is 'and miss nothing' "$("$ASSAY" agents --json | jq -c '[.items[] | select(.name != "cursor" and .missing)]')" '[]'

for agent in claude codex gemini opencode; do
	run=$(run_begin "$name" "$agent" "${ENV[$agent]}" good)
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
	until_true 60 run_is "$run" 'turn verify publish'
	until_true "$RUN_S" run_is "$run" 'review done failed stopped'
	is "$agent: a reviewer wakes the same session" "$(run_field "$run" '"\(.state) \(.verdict)"') $(
		agent_events "$run" 'map(select(.kind == "start").session) | unique | length')" 'review verified 1'
	api POST "/pulls/$pull/close" '{}' >/dev/null

	run=$(run_begin "$name" "$agent" "${ENV[$agent]}" revoked)
	until_true "$RUN_S" run_is "$run" 'review done failed stopped'
	is "$agent: a revoked key fails the run, and says so" "$(run_field "$run" .state) $(run_field "$run" .error | grep -o 'did not succeed: auth')" \
		'failed did not succeed: auth' || api GET "/runs/$run" | jq -c '{state, error}' | sed 's/^/# /'

	run=$(run_begin "$governed" "$agent" '{}')
	until_true "$RUN_S" run_is "$run" 'review done failed stopped'
	is "$agent: the same with a placeholder, and the model outside" "$(run_field "$run" '"\(.state) \(.verdict) \(.attempt)"')" \
		'review verified 2'
	environment=$(run_field "$run" .environment)
	is "$agent: the key is nowhere in its sandbox" "$("$ASSAY" env exec "$environment" -- sh -c \
		'env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null; grep -rsa sk-real- /workspace /home /tmp /run /var /etc' | grep -ac "$REAL_KEY")" 0
	api POST "/pulls/$(run_field "$run" .pull)/close" '{}' >/dev/null
done
is 'the key is in no log, no transcript, no ledger' "$(grep -rsaF --exclude pool.img "$REAL_KEY" "$ASSAY_STATE" "$WORK/serve.log" | wc -l)" 0
like 'the vendors were asked, each in its dialect' "$(cut -d ' ' -f 1 "$WORK/outside/model.log" | sort -u | tr '\n' ' ')" 'anthropic gemini openai'
is 'and never with another key' "$(grep -c 401 "$WORK/outside/model.log")" 0

serve_stop
comes 'nothing is left when the server has ended' '' left_behind
done_testing
