#!/bin/bash
# Work given in Slack, over Socket Mode and over signed HTTP, from a mention to the pull request and after it, against a fake whose signatures pass Slack's own
# check, that keeps to Slack's rules for messages, ends sockets, repeats events and errs as it is told.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"

[ -d "$SOURCE_ROOT/tests/trackers/node_modules/@slack/bolt" ] || skip_all 'npm ci in tests/trackers has not been run'
# shellcheck source=tests/scenarios/tracker.sh
. "$SOURCE_ROOT/tests/scenarios/tracker.sh"

fake_start slack_fake.mjs signing xoxb-bot xapp-app

# ours THREAD: what Assay wrote in a thread, a line each: its text.
ours() { state --arg t "$1" '.messages[] | select(.user == "U0ASSAY" and .thread_ts == $t) | .text | gsub("\\s+"; " ")'; }
finals() { ours "$1" | grep -cE '^<@U0ALICE> (Pull request|<http|Stopped|I cannot go on)'; }
has_finals() { [ "$(finals "$1")" -ge "$2" ]; }
said() { ours "$1" | grep -q "$2"; }
# button THREAD ACTION: presses it in the newest message that has it.
button() {
	local ts
	ts=$(state --arg t "$1" --arg a "$2" '[.messages[] | select(.thread_ts == $t and any(.blocks[]?.elements[]?; .action_id == $a))][-1].ts')
	tell press "{\"ts\": \"$ts\", \"action\": \"$2\"}"
}
say() { tell say "$(jq -n --arg text "$1" '{$text}' | jq -c ". + ${2:-{\}}")" | jq -r .ts; }
connected() { [ "$(state .sockets)" = "$1" ]; }
run_in() { run_of "C0SHOP-$1"; }
sorted() { ours "$1" | sed -E 's/^(\*Assay worked on this\*|<@U0ALICE> Pull request [0-9]) .*/\1/' | paste -sd '|'; }

serve_start || { tap_line 'not ok' 'the server starts'; sed 's/^/# /' "$WORK/serve.log"; exit 1; }
name=$(api POST /repositories "$(jq -n --arg path "$WORK/tiny" '{$path, revision: "HEAD"}')" | jq -r .name)

# Connecting: no address of ours is known to anybody outside.
printf 'token=xoxb-bot\napp_token=xapp-app\n' | "$ASSAY" connect slack --base "$fake/api" --secrets >"$WORK/connect.txt"
hook=$(sed -n 's/^webhooks come to: //p' "$WORK/connect.txt")
like 'the doctor says that no workspace allowed it, and how' "$("$ASSAY" trackers check 2>&1)" 'missing +slack: workspace.*assay slack connect'
like 'the workspace is connected' "$("$ASSAY" slack connect)" '^Acme is connected'
like 'the doctor says which scope is missing, and where to add it' "$("$ASSAY" trackers check 2>&1)" 'ok +slack: scope chat:write.*note +slack: scope files:write.*OAuth & Permissions'
ok 'a socket is opened' until_true 60 connected 1
is 'secrets are shown to nobody' "$(grep -c 'xoxb-bot\|xapp-app' "$WORK/connect.txt")" 0

# What people say to each other is not kept; strangers of other workspaces and other bots give no work.
say 'nothing for you' '{"mention": false}' >/dev/null
say 'do it' '{"by": "stranger"}' >/dev/null
say 'do it' '{"by": "bot"}' >/dev/null

# From a mention to a pull request, with everything that can go wrong between the two; each event comes twice.
for fault in '"lost", "operation": "chat.postMessage"' '"429", "operation": "chat.update"' '"internal", "operation": "conversations.replies"' \
	'"500", "operation": "chat.update"' '"html", "operation": "chat.update"' '"blocks", "operation": "chat.update"' '"500", "operation": "upload"' '"lost", "operation": "files.completeUploadExternal"'; do
	tell fault "{\"kind\": $fault}" >/dev/null
done
one=$(say 'Say hello louder. It should end with a mark. Show it. <!channel> ​‮' '{"times": 2}')
until_true "$RUN_S" has_finals "$one" 1
is 'progress is one message, pictures another, then the end, whatever was lost' "$(sorted "$one")" '*Assay worked on this*|What the agent saw, in its own environment:|<@U0ALICE> Pull request 1'
is 'a picture is shared byte for byte, under a plain name' "$(state '.messages[] | select(.files) | .files[] | .title, .id')" \
	"$(printf 'http://greeting/_x__y_\n%s' "$(state --arg b "$(printf '\211PNG\r\n\032\nlouder' | base64)" '[.files[] | select(.bytes == $b)][-1].id')")"
like 'the end has the pull request and the preview' "$(ours "$one" | tail -n 1)" 'Pull request 1 \(verified\): http.*/pulls/1 Preview: http'
ok 'every fault happened' until_true 60 all_faults_happened
is 'there is one run' "$(api GET /runs | jq '.items | length')" 1
is 'and nothing else was kept' "$(api GET /issues | jq -r '[.items[].title] | length')" 1
run=$(run_in "$one")

# The socket is renewed, and lost; what comes meanwhile is not.
tell socket '{"what": "refresh"}' >/dev/null
say 'Louder still, please' "{\"thread\": \"$one\", \"mention\": false, \"times\": 2}" >/dev/null
until_true "$RUN_S" has_finals "$one" 2
like 'a message in the thread wakes the run, whatever becomes of the socket' "$(git -C "$ASSAY_STATE/repos/$name.git" show "$(api GET "/runs/$run" | jq -r .head):greeting.py")" 'hello!!'
is 'once' "$(finals "$one")" 2
tell socket '{"what": "drop"}' >/dev/null
two=$(say 'Ask first')
until_true "$RUN_S" said "$two" 'Which mark'
say '?' "{\"thread\": \"$two\", \"mention\": false}" >/dev/null
until_true "$RUN_S" has_finals "$two" 1
like 'a question is answered in the thread' "$(git -C "$ASSAY_STATE/repos/$name.git" show "$(api GET "/runs/$(run_in "$two")" | jq -r .head):greeting.py")" 'hello\?'
plan_of() { state --arg t "$1" -c '[.messages[] | select(.thread_ts == $t and .edits) | .blocks[0] | {type, tasks}][0]'; }
comes 'the plan is a list of tasks that is live' '{"type":"plan","tasks":[{"type":"task_card","task_id":"step-0","status":"complete","title":"Say it louder"}]}' plan_of "$two"
all_acknowledged() { [ "$(state .waiting)" = 0 ]; }
ok 'everything was acknowledged' until_true 60 all_acknowledged

# kill -9 at each of what is said.
if command -v sqlite3 >/dev/null; then
	declare -A before
	for word in open links state response; do before[$word]=$(effects slack "\"say\":\"$word\""); done
	four=$(say 'Say hello louder, whatever happens')
	for word in open links state response; do
		serve_kill_at "${before[$word]}" slack "\"say\":\"$word\"" || tap_line 'not ok' "the server is killed at \`$word\`"
	done
	until_true "$RUN_S" has_finals "$four" 1
	is 'killed at each of what is said, nothing is said twice and nothing is missing' "$(sorted "$four" | sed -E 's/[0-9]$/N/')" '*Assay worked on this*|<@U0ALICE> Pull request N'
else
	skip 'the server is killed at each of what is said' 'needs sqlite3'
fi

# The same over HTTP, signed; the button stops.
printf 'signing_secret=signing\napp_token=\n' | "$ASSAY" connections set slack --secrets >/dev/null
ok 'without an app-level token there is no socket' until_true 60 connected 0
tell hook "{\"url\": \"$(pages)$hook\"}" >/dev/null
is 'the address is verified' "$(tell verify | jq -c .statuses)" '[200]'
is 'a forged event is refused' "$(tell say '{"text": "do it", "secret": "guess"}' | jq -c .statuses)" '[401]'
is 'an old one, too' "$(tell say '{"text": "do it", "age_s": 400}' | jq -c .statuses)" '[401]'
three=$(say 'Think for long')
in_turn() { run_is "$(run_in "$three")" turn; }
until_true "$RUN_S" in_turn
until_true 60 said "$three" 'I work on it'
button "$three" assay.stop >/dev/null
stopped() { run_is "$(run_in "$three")" stopped; }
ok 'the button stops the run' until_true 60 stopped
ok 'with one last word' until_true 60 has_finals "$three" 1

is 'Slack was never asked or told what its rules forbid' "$(state -c .wrong)" '[]'
echo "# events over HTTP answered in $(state '[.log[] | select(.webhook) | .ms] | join(" ")') ms"
serve_stop
done_testing
