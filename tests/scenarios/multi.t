#!/bin/bash
# One issue in two repositories, a service and the library that it needs: one environment, one verdict and record, a pull request each, merged together.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"

# The service cannot run without the library, and the library has nothing to run: only together can they be judged.
cp -r "$SOURCE_ROOT/tests/scenarios/tiny" "$WORK/tiny"
mkdir "$WORK/words"
echo 'MARK = ""' >"$WORK/words/mark.py"
cat >"$WORK/tiny/greeting.py" <<'END_GREETING'
import sys

sys.path.append("../words")
import mark


def hello():
    return "hello" + mark.MARK
END_GREETING
cat >"$WORK/tiny/agent.sh" <<'END_AGENT'
prompt=$(cat)
echo '{"type": "start", "session": "s1", "model": "tiny"}'
case $prompt in
*Louder*)
	echo 'MARK = "!!"' >../words/mark.py
	sed -i 's/"hello!"/"hello!!"/' test/test_greeting.py
	;;
*)
	echo 'MARK = "!"' >../words/mark.py
	printf '\n    def test_mark(self):\n        self.assertEqual(greeting.hello(), "hello!")\n' >>test/test_greeting.py
	echo 'of nobody' >../beside.txt
	;;
esac
echo '{"type": "end", "ok": true, "text": "", "usage": {"cost_usd": 0.02}}'
END_AGENT
echo '__pycache__/' | tee "$WORK/tiny/.gitignore" >"$WORK/words/.gitignore"
repository "$WORK/tiny"
repository "$WORK/words"

serve_start || { tap_line 'not ok' 'the server starts'; sed 's/^/# /' "$WORK/serve.log"; exit 1; }
"$ASSAY" run --repo "$WORK/tiny" --repo "$WORK/words" 'Greet with a mark' >"$WORK/run.log" 2>&1
is 'the run of both ends verified' "$?" 0 || sed 's/^/# /' "$WORK/run.log"
run=$(api GET /runs | jq -r '.items[0].id')
like 'its end names a pull request in each' "$(tail -5 "$WORK/run.log" | tr '\n' ' ')" 'pulls/1  tiny .*pulls/2  words'
is 'the run names both repositories' "$(api GET "/runs/$run" | jq -c '[.repositories[] | [.repository, .pull, .base != .head]]')" '[["tiny",1,true],["words",2,true]]'
is 'there is one environment' "$(api GET /environments | jq '[.items[] | select(.purpose == "work")] | length')" 1
is 'and one record' "$(api GET '/export/records' | jq '.items | length')" 1
like 'which names what was proven in both' "$("$ASSAY" record verify "$run" 2>&1)" 'of tiny and .* of words is verified'
is 'its subjects are the heads of the pull requests' "$("$ASSAY" record show --json "$run" | jq -r '[.subject[].digest.gitCommit] | sort | join(" ")')" \
	"$(api GET /pulls | jq -r '[.items[].head] | sort | join(" ")')"
is 'each pull request has its own files, without its folder' "$(for pull in 1 2; do api GET "/pulls/$pull/changes" | jq -r '.items[].path'; done | tr '\n' ' ')" \
	'test/test_greeting.py mark.py '
like 'and names the other' "$(api GET /pulls/1 | jq -r .body)" 'words \| \[2\]'

ok 'a word under the second wakes the run' api POST /pulls/2/review '{"author": "ann", "kind": "changes", "text": "Louder."}'
louder() { git -C "$ASSAY_STATE/repos/words.git" show assay/1-greet-with-a-mark:mark.py | grep -q '!!' && api GET "/runs/$run" | jq -e '.state == "review" and .verdict == "verified"'; }
until_true 240 louder
is 'both pull requests have moved' "$(for pull in 1 2; do api GET "/pulls/$pull" | jq -r .head; done)" "$(api GET "/runs/$run" | jq -r '.repositories[].head')"
is 'and none was added' "$(api GET /pulls | jq '.items | length')" 2

ok 'one is merged' "$ASSAY" pull merge 2
is 'and with it the other' "$(api GET /pulls | jq -c '[.items[].state]')" '["merged","merged"]'
over() { api GET "/runs/$run" | jq -e '.state == "done"'; }
until_true 60 over
is 'the issue is done' "$(api GET /issues/1 | jq -r .state)" 'done'
is 'main of the library has it' "$(git -C "$ASSAY_STATE/repos/words.git" show main:mark.py)" 'MARK = "!!"'
is 'main of the service has its test' "$(git -C "$ASSAY_STATE/repos/tiny.git" show main:test/test_greeting.py | grep -c 'hello!!')" 1
is 'what was written beside the folders is in neither' "$(for name in tiny words; do git -C "$ASSAY_STATE/repos/$name.git" ls-tree --name-only main; done | grep -c beside)" 0

serve_stop
until_true 15 eval '[ -z "$(left_behind)" ]'
is 'nothing is left when the server has ended' "$(left_behind)" ''
done_testing
