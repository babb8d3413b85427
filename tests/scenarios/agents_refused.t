#!/bin/bash
# The model is outside, as in life, and what its host answers is read at the gateway: a revoked key ends the turn of every program, whatever it
# does about it itself; a rate limit is told, and outlived. Then a real program gives a second opinion on the work of another one.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"
# shellcheck source=tests/scenarios/npm.sh
. "$SOURCE_ROOT/tests/scenarios/npm.sh"
# shellcheck source=tests/scenarios/agents.sh
. "$SOURCE_ROOT/tests/scenarios/agents.sh"

agents_needed
agents_application
vendors_begin sk-good-0123456789
vendors_application governed anthropic openai gemini
vendors_application revoked anthropic-old openai-old gemini-old
cd "$WORK" || exit 1
ASSAY=$WORK/outside/assay serve_start || { tap_line 'not ok' 'the server starts'; sed 's/^/# /' "$WORK/serve.log"; exit 1; }
governed=$(api POST /repositories "$(jq -n --arg path "$WORK/governed" '{$path, revision: "HEAD", name: "governed"}')" | jq -r .name)
revoked=$(api POST /repositories "$(jq -n --arg path "$WORK/revoked" '{$path, revision: "HEAD", name: "revoked"}')" | jq -r .name)
vendors_keys sk-good-0123456789 anthropic openai gemini
vendors_keys sk-revoked-0123456789 anthropic-old openai-old gemini-old
for agent in claude codex gemini opencode; do
	ok "$agent is installed from npm" "$ASSAY" agents install "$agent" "$registry"
done

for agent in claude codex gemini opencode; do
	run=$(run_begin "$revoked" "$agent" '{}')
	run_over "$run"
	like "$agent: a key that its vendor refuses fails the run, with what a person can do" "$(run_field "$run" '"\(.state) \(.error)"')" \
		'^failed the agent .* did not succeed: auth' || api GET "/runs/$run" | jq -c '{state, error}' | sed 's/^/# /'
	is "$agent: the gateway's word for it is told, then nothing is tried any more" "$(run_events "$run" '[.items[] | select((.type == "note" and (.text | test("answers the agent 401"))) or
		.type == "error" or (.type == "state" and .state == "turn")) | .type] | unique | join(" ")')" 'error note state' || run_notes "$run" | sed 's/^/# /'
	is "$agent: in one turn" "$(run_events "$run" '[.items[] | select(.type == "state" and .state == "turn")] | length')" 1
done

run=$(run_post "$governed" 'With an exclamation mark. [[limited:2]]' "$(agent_json claude '{}')")
reviewed=$(run_post "$governed" 'With an exclamation mark.' "$(agent_json codex '{}' | jq '. + {reviewers: ["claude"]}')")
run_over "$run"
is 'a rate limit is outlived' "$(run_field "$run" '"\(.state) \(.verdict)"')" 'review verified' ||
	api GET "/runs/$run" | jq -c '{state, error}' | sed 's/^/# /'
run_over "$reviewed"
is 'a real program is asked about the work of another' "$(run_field "$reviewed" '"\(.state) \(.verdict) \(.opinions[0].by) \(.opinions[0].status)"')" \
	'review verified claude given' || api GET "/runs/$reviewed" | jq -c '{state, error, opinions}' | sed 's/^/# /'
is 'and its words are under the pull request' "$(api GET "/pulls/$(run_field "$reviewed" .pull)" | jq -r '.reviews[0] | "\(.author): \(.text)"')" \
	'claude (second opinion): It is done; the tests pass.'

serve_stop
comes 'nothing is left when the server has ended' '' left_behind
done_testing
