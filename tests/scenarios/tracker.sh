# A story of a tracker outside: a fake of it (tests/trackers), a small repository, and an agent that follows what the issue says. Sourced after serve.sh.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154

RUN_S=90 # a run that has not got further after this is stuck

cp -r "$SOURCE_ROOT/tests/scenarios/tiny" "$WORK/tiny"
cat >"$WORK/tiny/agent.sh" <<'AGENT'
prompt=$(cat)
echo '{"type": "start", "session": "s1", "model": "tiny"}'
echo '{"type": "plan", "items": [{"text": "Say it louder", "state": "in_progress"}]}'
echo '{"type": "action", "id": "1", "tool": "Edit", "title": "Edit greeting.py"}'
mark='!'
case $prompt in
*'Ask first'*) [ -e /tmp/asked ] || mark=$(assay-env ask 'Which mark?' | sed 's/.*: //'); : >/tmp/asked ;;
*'Think for long'*) echo began >/tmp/began; sleep 100 ;;
*'Give up'*) echo '{"type": "end", "ok": false, "error": "auth", "text": "the key is refused"}'; exit 1 ;;
esac
case $prompt in
*'Louder still'*) mark='!!' ;;
*'Show it'*) printf '\211PNG\r\n\032\nlouder' | curl --silent --data-binary @- --header 'content-type: image/png' 'http://assay.internal/tool/v1/pictures?name=http://greeting/%5Bx%5D(y)' >&2 ;;
esac
printf 'def hello():\n    return "hello%s"\n' "$mark" >greeting.py
cat >test/test_mark.py <<TEST
import unittest

import greeting


class Mark(unittest.TestCase):
    def test_it_ends_with_a_mark(self):
        self.assertEqual(greeting.hello(), "hello$mark")
TEST
echo '{"type": "observation", "id": "1", "ok": true, "text": "changed"}'
echo '{"type": "plan", "items": [{"text": "Say it louder", "state": "completed"}]}'
echo '{"type": "message", "text": "It is louder."}'
echo '{"type": "end", "ok": true, "text": ""}'
AGENT
echo '__pycache__/' >"$WORK/tiny/.gitignore" # what running it leaves is no part of the change
repository "$WORK/tiny"

# fake_start PROGRAM ARGUMENTS…: its address is in $fake.
fake_start() {
	node "$SOURCE_ROOT/tests/trackers/$1" "${@:2}" >"$WORK/fake.log" 2>&1 &
	at_end "kill $! 2>/dev/null"
	until_true 60 grep -q http "$WORK/fake.log" || { tap_line 'not ok' 'the fake starts'; sed 's/^/# /' "$WORK/fake.log"; exit 1; }
	fake=$(cat "$WORK/fake.log")
}

# tell WHAT [JSON]: what the fake is to do. state FILTER…: what it knows.
tell() { curl --silent --show-error --fail-with-body "$fake/_/$1" --data "${2:-{\}}"; }
state() { curl --silent "$fake/_/state" | jq -r "$@"; }

run_of() { api GET /issues | jq -r --arg item "$1" '[.items[] | select(.item == $item)][0].run'; }
run_state() { api GET "/runs/$1" | jq -r .state; }
run_is() { [ "$(run_state "$1")" = "$2" ]; }
has_run() { ! [[ $(run_of "$1") =~ ^(null)?$ ]]; }
all_faults_happened() { ! state '.faults[].kind' | grep -q .; }
pages() { api GET /status | jq -r .pages; }
