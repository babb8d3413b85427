# Coding agents for a scenario: a tiny application that has a scripted model as one of its services, and what starts runs of an agent in it and
# asks about them. Sourced after serve.sh.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154

RUN_S=240
command -v node >/dev/null || skip_all 'needs node'
node_major=$(node --version | sed 's/^v\([0-9]*\).*/\1/')

# agents_needed: skips the story unless the real programs can be had: npm, its registry, the machine the versions are pinned for. After npm.sh.
agents_needed() {
	npm_needed
	[ "$(uname -m)" = x86_64 ] || skip_all 'the versions are pinned for x86_64'
	[ "$node_major" -ge 20 ] || skip_all 'needs node 20, for Gemini CLI'
}

# agents_application: $WORK/tiny with the model at http://model:8181, whose one command is `sh work.sh`. That breaks what there is, and the next
# time mends it: the gate's findings are what comes in between.
agents_application() {
	cp -r "$SOURCE_ROOT/tests/scenarios/tiny" "$WORK/tiny"
	cp "$SOURCE_ROOT/tests/scenarios/models/server.mjs" "$WORK/tiny/model.mjs"
	echo 'workspace: {limits: {memory: 4G}}' >>"$WORK/tiny/assay.yaml"
	sed -i 's|^services:|services:\n  model: {run: node model.mjs 8181 "sh work.sh" good, port: 8181}|' "$WORK/tiny/assay.yaml"
	cat >"$WORK/tiny/work.sh" <<-'END'
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
	printf '__pycache__\nreport.xml\n' >"$WORK/tiny/.gitignore"
	repository "$WORK/tiny"
}

VENDORS='api.anthropic.com api.openai.com generativelanguage.googleapis.com'

# vendors_begin KEY: the outside. The vendors' names lead to this machine, for a server that is started as $WORK/outside/assay alone; the model
# there knows this key.
vendors_begin() {
	! ss --listening --tcp --numeric --no-header 'sport = :443' | grep -q . || skip_all 'port 443 is taken'
	mkdir "$WORK/outside"
	(
		cd "$WORK/outside" || exit 1
		openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=vendors -keyout key.pem -out ca.pem \
			-addext "subjectAltName=$(sed 's/[^ ]*/DNS:&/g; s/ /,/g' <<<"$VENDORS")" 2>/dev/null
		cat ca.pem key.pem >both.pem
		{ cat /etc/hosts; echo "127.0.0.1 $VENDORS"; } >hosts
	)
	node "$SOURCE_ROOT/tests/scenarios/models/server.mjs" 443 'sh work.sh' "$1" "$WORK/outside/both.pem" >"$WORK/outside/model.log" 2>&1 &
	at_end kill $!
	until_true 60 grep -q ready "$WORK/outside/model.log" || skip_all 'the vendors could not be played'
	export ASSAY_REACH="$ASSAY_REACH 127.0.0.1" ASSAY_AUTHORITIES=$WORK/outside/ca.pem
	cat >"$WORK/outside/assay" <<-END
		#!/bin/sh
		exec unshare --mount sh -c 'mount --bind "$WORK/outside/hosts" /etc/hosts && exec "$ASSAY" "\$@"' sh "\$@"
	END
	chmod +x "$WORK/outside/assay"
}

# vendors_application NAME ANTHROPIC OPENAI GEMINI: $WORK/NAME, the application whose agents ask the vendors, by these credentials.
vendors_application() {
	cp -r "$WORK/tiny" "$WORK/$1" && rm -rf "$WORK/$1/.git"
	sed -i '/model:/d' "$WORK/$1/assay.yaml"
	cat >>"$WORK/$1/assay.yaml" <<-END
		secrets: {ANTHROPIC_API_KEY: $2, CODEX_API_KEY: $3, GEMINI_API_KEY: $4}
		egress:
		  rules: [$(sed 's/[^ ]*/{host: &, action: allow}/g; s/} {/}, {/g' <<<"$VENDORS")]
	END
	repository "$WORK/$1"
}

# vendors_keys KEY ANTHROPIC OPENAI GEMINI: these credentials are the key.
vendors_keys() {
	local key=$1 secret credential place rule more
	shift
	for secret in 'header:x-api-key POST https://api.anthropic.com/v1/*' 'header:authorization POST https://api.openai.com/v1/*' \
		'header:x-goog-api-key POST https://generativelanguage.googleapis.com/v1beta/*'; do
		read -r place rule <<<"$secret"
		credential=$1
		shift
		more=()
		[ "$place" != header:authorization ] || more=(--for 'GET https://api.openai.com/v1/responses')
		ok "the key of $credential is kept" "$ASSAY" secret set "$credential" --for "$rule" "${more[@]}" --in "$place" <<<"$key"
	done
}

# What each needs to ask the model, and which model: as JSON for jq, where $key is the key.
declare -A ENV MODEL=([claude]='' [codex]=gpt-5.5 [gemini]=gemini-2.5-pro [opencode]=anthropic/claude-sonnet-4-5)
ENV[claude]='{"ANTHROPIC_BASE_URL": "http://model:8181", "ANTHROPIC_API_KEY": $key}'
ENV[codex]='{"OPENAI_BASE_URL": "http://model:8181/v1", "OPENAI_API_KEY": $key}'
ENV[gemini]='{"GOOGLE_GEMINI_BASE_URL": "http://model:8181", "GEMINI_API_KEY": $key}'
ENV[opencode]='{"ANTHROPIC_API_KEY": $key, "OPENCODE_CONFIG_CONTENT": ({provider: {anthropic: {options: {baseURL: "http://model:8181/v1"}}}} | tojson)}'

# run_post REPOSITORY BODY AGENT_JSON: starts a run; prints its id.
run_post() {
	api POST /runs "$(jq -n --arg repository "$1" --arg body "$2" --argjson agent "$3" \
		'{$repository, title: "Greet louder", $body, $agent}')" | jq -r .id
}

# agent_json AGENT ENV [KEY]: a real program with what it needs.
agent_json() {
	jq -n --arg agent "$1" --arg model "${MODEL[$1]}" --arg key "${3:-}" \
		'{use: $agent, env: '"$2"'} + (if $model == "" then {} else {$model} end)'
}

# run_begin REPOSITORY AGENT ENV [KEY]: starts a run of a real program; prints its id.
run_begin() { run_post "$1" 'With an exclamation mark.' "$(agent_json "$2" "$3" "${4:-}")"; }

run_is() { api GET "/runs/$1" | jq -e --arg states "$2" '.state as $s | $states | split(" ") | index($s)' >/dev/null; }
run_field() { api GET "/runs/$1" | jq -r "$2"; }
run_over() { until_true "$RUN_S" run_is "$1" 'review done failed stopped'; }
run_told() { api GET "/runs/$1/events?limit=1000" | jq -e "[.items[] | select(.type == \"agent\")] | any($2)" >/dev/null; }
run_events() { api GET "/runs/$1/events?limit=1000" | jq -r "$2"; }
agent_events() { run_events "$1" "[.items[] | select(.type == \"agent\")] | $2"; }
run_notes() { run_events "$1" '[.items[] | select(.type == "note").text] | join("|")'; }
run_findings() { run_events "$1" '[.items[] | select(.type == "finding") | tojson] | join("|")'; }
# workspace RUN COMMAND…: in the workspace of the run's environment.
workspace() {
	local environment
	environment=$(run_field "$1" .environment)
	shift
	"$ASSAY" env exec "$environment" -- "$@"
}
