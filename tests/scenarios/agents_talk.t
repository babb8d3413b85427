#!/bin/bash
# The real agent programs while people and the world interfere: two of them over the Agent Client Protocol, messages in the middle of a turn (one told
# in its process, one stopped and resumed), a stop in the middle of a tool, a rate limit, a dropped stream, an endless loop, an agent that commits, one that takes a test away, one that edits the CI.
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
cd "$WORK/tiny" || exit 1
# good: at once; slow: until it is let go on; stuck: for ever, and with a child that left its session; lazy: only when it is asked again;
# commits: as good, and commits it; untested: breaks it, and takes the test away; unchecked: as good, and edits the CI. The repository's own hooks
# are for none of them.
mkdir -p .claude .codex .github/workflows
echo 'on: push' >.github/workflows/ci.yml
echo '{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "touch /tmp/hook-of-the-repository"}]}]}}' |
	tee .claude/settings.json >.codex/hooks.json
cat >good.sh <<'END'
printf 'def hello():\n    return "hello!"\n' >greeting.py
printf '\n    def test_it_ends_with_a_mark(self):\n        self.assertEqual(greeting.hello(), "hello!")\n' >>test/test_greeting.py
END
cat >slow.sh <<'END'
echo began >/tmp/began
until [ -e /tmp/go ]; do sleep 0.1; done
END
cat >stuck.sh <<'END'
setsid sleep 54321 </dev/null >/dev/null 2>&1 &
echo began >/tmp/began
sleep 54321
END
cat >lazy.sh <<'END'
if [ -e /tmp/asked ]; then sh good.sh; fi
: >/tmp/asked
END
cat >commits.sh <<'END'
sh good.sh
git -c user.name=agent -c user.email=agent@localhost commit --quiet --all --message 'I did it myself'
END
cat >untested.sh <<'END'
printf 'def hello():\n    return "bye"\n' >greeting.py
rm -f test/test_greeting.py
END
cat >unchecked.sh <<'END'
grep -q never .github/workflows/ci.yml || sh good.sh
echo 'on: never' >.github/workflows/ci.yml
END
repository "$WORK/tiny" 'What the model may ask for'
serve_start || { tap_line 'not ok' 'the server starts'; sed 's/^/# /' "$WORK/serve.log"; exit 1; }
name=$(api POST /repositories "$(jq -n --arg path "$WORK/tiny" '{$path, revision: "HEAD"}')" | jq -r .name)
for agent in claude codex gemini opencode; do
	ok "$agent is installed from npm" "$ASSAY" agents install "$agent" "$registry"
done

# begin AGENT BODY: a run of a real program with what the model is to do; its id.
begin() { run_post "$name" "$2" "$(agent_json "$1" "${ENV[$1]}" good)"; }
began() { workspace "$1" test -e /tmp/began; }

# Over the Agent Client Protocol.
declare -A ACP
ACP[gemini]=$(jq -n '{use: "acp", run: ["gemini", "--acp"], model: "gemini-2.5-pro",
	env: {GOOGLE_GEMINI_BASE_URL: "http://model:8181", GEMINI_API_KEY: "good", GEMINI_CLI_TRUST_WORKSPACE: "true", GEMINI_CLI_NO_RELAUNCH: "true"}}')
ACP[opencode]=$(jq -n '{use: "command", format: "acp", run: "opencode acp", model: "anthropic/claude-sonnet-4-5",
	env: {ANTHROPIC_API_KEY: "good", OPENCODE_DISABLE_AUTOUPDATE: "1", OPENCODE_DISABLE_MODELS_FETCH: "1",
		OPENCODE_DISABLE_LSP_DOWNLOAD: "1", OPENCODE_DISABLE_DEFAULT_PLUGINS: "1",
		OPENCODE_CONFIG_CONTENT: ({provider: {anthropic: {options: {baseURL: "http://model:8181/v1"}}}} | tojson)}}')
# They are slow to start: what comes next happens meanwhile.
declare -A acp_run
for agent in gemini opencode; do
	acp_run[$agent]=$(run_post "$name" 'With an exclamation mark.' "${ACP[$agent]}")
done

# A message in the middle of a turn. Claude is told in its process, Codex ends and resumes its session.
for agent in claude codex; do
	run=$(begin "$agent" '[[sh:slow]]')
	until_true "$RUN_S" began "$run"
	ok "$agent: a message while it works is taken" "$ASSAY" message "$run" 'With an exclamation mark. [[sh:good]]'
	workspace "$run" touch /tmp/go
	run_over "$run"
	is "$agent: it goes on with the message, in its session, before anything is judged" "$(run_field "$run" '"\(.state) \(.verdict) \(.attempt)"') $(
		agent_events "$run" 'map(select(.kind == "start").session) | unique | length')" 'review verified 1 1' ||
		api GET "/runs/$run" | jq -c '{state, error}' | sed 's/^/# /'
	like "$agent: the timeline says how" "$(run_notes "$run")" 'the agent (is|was) interrupted'
done

# The gate in the program: it wants to end and has changed nothing, and goes on in the same turn.
declare -A lazy
for agent in claude codex gemini; do lazy[$agent]=$(begin "$agent" '[[sh:lazy]]'); done
for agent in claude codex gemini; do
	run=${lazy[$agent]}
	run_over "$run"
	is "$agent: held by its own hook, it changes something after all" "$(run_field "$run" '"\(.state) \(.verdict) \(.usage.turns)"')" \
		'review verified 1' || api GET "/runs/$run" | jq -c '{state, error}' | sed 's/^/# /'
	like "$agent: which the timeline says" "$(run_notes "$run")" 'wanted to end, and was told why not yet'
	is "$agent: hooks of the repository are not run" "$(workspace "$run" sh -c 'ls /tmp/hook-of-the-repository 2>/dev/null' | wc -l)" 0
done

# A stop in the middle of a tool: nothing of it lives on, not even what left its session.
for agent in claude codex; do
	run=$(begin "$agent" '[[sh:stuck]]')
	until_true "$RUN_S" began "$run"
	ok "$agent: it is stopped in the middle of a tool" "$ASSAY" stop "$run"
	until_true 60 run_is "$run" stopped
	comes "$agent: no process of it is left" 0 pgrep -fc '^sleep 54321'
done

# The world outside.
run=$(begin claude '[[sh:good]] [[limited:6]]')
dropped=$(begin claude '[[sh:good]] [[dropped:2]]')
commits=$(begin claude '[[sh:commits]]')
run_over "$run"
is 'a rate limit that it gives up at is another try' "$(run_field "$run" '"\(.state) \(.verdict)"')" 'review verified' ||
	api GET "/runs/$run" | jq -c '{state, error}' | sed 's/^/# /'
like 'and told' "$(agent_events "$run" 'map(.text // "") | join("|")')" '429'
run_over "$dropped"
is 'a dropped stream does not end the run' "$(run_field "$dropped" '"\(.state) \(.verdict)"')" 'review verified' ||
	api GET "/runs/$dropped" | jq -c '{state, error}' | sed 's/^/# /'
run_over "$commits"
is 'what the agent committed itself is the work as well' "$(run_field "$commits" '"\(.state) \(.verdict)"')" 'review verified' ||
	api GET "/runs/$commits" | jq -c '{state, error}' | sed 's/^/# /'
like 'and in the pull request' "$("$ASSAY" pull diff "$(run_field "$commits" .pull)")" 'return "hello!"'
untested=$(begin claude '[[sh:untested]]')
unchecked=$(begin codex '[[sh:unchecked]]')
run_over "$untested"
like 'claude: a test that it takes away is refused, and goes to a person as it is' "$(run_field "$untested" '"\(.state) \(.verdict)"')" \
	'^review (failed|unverified)$' || api GET "/runs/$untested" | jq -c '{state, error}' | sed 's/^/# /'
like 'with the finding' "$(run_findings "$untested")" '[Tt]est'
run_over "$unchecked"
like 'codex: an edit of the CI is refused, and goes to a person as it is' "$(run_field "$unchecked" '"\(.state) \(.verdict)"')" \
	'^review (failed|unverified)$' || api GET "/runs/$unchecked" | jq -c '{state, error}' | sed 's/^/# /'
like 'with the file' "$(run_findings "$unchecked")" 'ci\.yml'
run=$(begin claude '[[loop]] [[sh:slow]]')
until_true "$RUN_S" began "$run"
workspace "$run" touch /tmp/go
run_over "$run"
like 'an endless loop is ended, and says what it did' "$(run_field "$run" '"\(.state) \(.error)"')" \
	'^failed the agent goes round in circles: .* 30 actions .*the last: '

for agent in gemini opencode; do
	run=${acp_run[$agent]}
	run_over "$run"
	is "$agent over ACP: refused once, then verified" "$(run_field "$run" '"\(.state) \(.verdict) \(.attempt)"')" 'review verified 2' ||
		api GET "/runs/$run" | jq -c '{state, error}' | sed 's/^/# /'
	is "$agent over ACP: its start, action, words and end are told" \
		"$(agent_events "$run" '[.[].kind] | [index("start"), index("action"), index("message"), index("end")] | all')" true
	is "$agent over ACP: it runs its commands itself, and asks for no terminal, which is offered" \
		"$(cat "$ASSAY_STATE/runs/$run"/turn-*.log | grep -ac '"method":"terminal/')" 0
done
# Gemini 0.61.0 cannot load a session that is less than a minute old: a new one is told what was said.
is 'opencode over ACP: in one session' "$(agent_events "$run" 'map(select(.kind == "start").session) | unique | length')" 1

# What Gemini asks of us over the protocol: leave to use a tool, and files, which it has written for it in its own sandbox.
run=$(run_post "$name" '[[write:NOTE]]' "${ACP[gemini]}")
run_over "$run"
asked=$(grep -ao '"method":"[a-z_]*/[a-z_]*"' "$ASSAY_STATE/runs/$run/turn-1.log" | sort -u | tr '\n' ' ')
like 'gemini over ACP: it asks for leave, and for a file to be written' "$asked" 'fs/write_text_file.*session/request_permission' ||
	api GET "/runs/$run" | jq -c '{state, error}' | sed 's/^/# /'
is 'gemini over ACP: which is there, as the agent would have written it' "$(workspace "$run" stat -c '%U %s' NOTE)" 'assay 11'

serve_stop
comes 'nothing is left when the server has ended' '' left_behind
done_testing
