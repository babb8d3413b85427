#!/bin/bash
# Second opinions: two more agents look at a verified change, in copies of their own from which nothing can be deployed, broken, written or judged;
# what one of them says stands under the pull request in its name, the other breaks down, and neither changes a thing.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"
# shellcheck source=tests/scenarios/agents.sh
. "$SOURCE_ROOT/tests/scenarios/agents.sh"

cp -r "$SOURCE_ROOT/tests/scenarios/tiny" "$WORK/tiny"
cd "$WORK/tiny" || exit 1
sed -i 's/^  timeout: 120s/  timeout: 120s\n  reviewers: ["command:second", "command:broken"]/' assay.yaml
cat >agent.sh <<'END'
prompt=$(cat)
say() { jq -cn --arg text "$1" '{type: "end", ok: true, $text, usage: {input_tokens: 10, output_tokens: 5, cost_usd: 0.25}}'; exit; }
echo '{"type": "start", "session": "s1", "model": "tiny"}'
case $ASSAY_AGENT_MODEL in
second)
	words=''
	for verb in deploy 'fault 503 web' 'snapshot reset' verify 'ask What?' 'done It'; do
		words="$words$(assay-env $verb 2>&1 | tr '\n' ' '); "
	done
	words="$words$(assay-env status >/dev/null 2>&1 && echo it can look)"
	echo ruined >greeting.py
	case $prompt in *'+    return "hello!"'*) words="$words; it sees the change" ;; esac
	say "greeting.py: why a mark? $words"
	;;
broken) exit 3 ;;
*)
	printf 'def hello():\n    return "hello!"\n' >greeting.py
	printf '\n    def test_mark(self):\n        self.assertEqual(greeting.hello(), "hello!")\n' >>test/test_greeting.py
	say 'It is done.'
	;;
esac
END
repository "$WORK/tiny"
serve_start || { tap_line 'not ok' 'the server starts'; sed 's/^/# /' "$WORK/serve.log"; exit 1; }
name=$(api POST /repositories "$(jq -n --arg path "$WORK/tiny" '{$path, revision: "HEAD"}')" | jq -r .name)

run=$(run_post "$name" 'With an exclamation mark.' '{}')
run_over "$run"
is 'the run is verified, whatever the others say' "$(run_field "$run" '"\(.state) \(.verdict) \(.attempt)"')" 'review verified 1' ||
	api GET "/runs/$run" | jq -c '{state, error}' | sed 's/^/# /'
is 'one gave its opinion, one broke down' "$(run_field "$run" '[.opinions[] | "\(.by) \(.status)"] | join(", ")')" \
	'command:second given, command:broken failed'
review=$(api GET "/pulls/$(run_field "$run" .pull)" | jq -c '.reviews')
is 'the words are under the pull request, in its name' "$(jq -r 'length as $n | "\($n) \(.[0].author) \(.[0].kind)"' <<<"$review")" \
	'1 command:second (second opinion) comment'
said=$(jq -r '.[0].text' <<<"$review")
like 'it sees the change' "$said" 'why a mark\?.*it can look; it sees the change'
is 'it cannot deploy, break a seam, reset data or verify' "$(grep -o 'for a second opinion: it can be looked at' <<<"$said" | wc -l)" 4
is 'what it writes is thrown away' "$(workspace "$run" cat greeting.py | grep -c 'hello!')" 1
is 'what they used is counted with the run' "$(run_field "$run" '"\(.usage.cost_usd) \(.usage.input_tokens) \(.usage.turns)"')" '0.5 20 1'
is 'nothing was judged again' "$(run_events "$run" '[.items[] | select(.type == "verdict")] | length')" 1
like 'the story has it' "$("$ASSAY" show "$run")" 'command:second, second opinion: greeting.py: why a mark'
copies() { api GET /environments | jq '[.items[] | select(.purpose == "opinion")] | length'; }
comes 'the copies are gone' 0 copies
ok 'a person merges' "$ASSAY" pull merge "$(run_field "$run" .pull)"
until_true 60 run_is "$run" 'done'
is 'and it is done' "$(run_field "$run" .state)" 'done'

serve_stop
comes 'nothing is left when the server has ended' '' left_behind
done_testing
