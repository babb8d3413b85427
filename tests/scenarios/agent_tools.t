#!/bin/bash
# What an agent has in its workspace: each verb of assay-env in a real environment, the same verbs for the official MCP client, a question to a
# person, and what becomes of what the agent claims.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"

cp -r "$SOURCE_ROOT/tests/scenarios/tiny" "$WORK/tiny"
cat >"$WORK/tiny/assay.yaml" <<'END_YAML'
version: 1
name: tiny
services:
  web: {run: python3 server.py, port: 8080, ready: /}
  front: {run: python3 front.py, port: 8081, ready: tcp, needs: [web]}
databases:
  db: {engine: postgres, database: tiny, user: tiny, seed: "exec:psql \"$DB_URL\" -qc 'CREATE TABLE t (n int); INSERT INTO t VALUES (7)'"}
  cache: {engine: redis}
tests:
  unit: {run: python3 -m test.run, report: report.xml, files: ["test/test_*.py"]}
hosts:
  bank.example: {stub: bank.json}
agent: {use: command, run: sh agent.sh, format: jsonl, timeout: 120s}
END_YAML
echo '[{"request": {"path": "/pay"}, "response": {"status": 200, "body": {"paid": true}}}]' >"$WORK/tiny/bank.json"
cat >"$WORK/tiny/front.py" <<'END_PYTHON'
import http.server, urllib.error, urllib.request

class Front(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        target = "http://bank.example/pay" if self.path == "/pay" else "http://web:8080/"
        try:
            status, body = 200, urllib.request.urlopen(target, timeout=2).read()
        except urllib.error.HTTPError as error:
            status, body = 502, str(error.code).encode()
        except Exception as error:
            status, body = 504, type(error).__name__.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("0.0.0.0", 8081), Front).serve_forever()
END_PYTHON
cat >"$WORK/tiny/agent.sh" <<'END_AGENT'
cat >/dev/null
echo '{"type": "start", "session": "s1", "model": "tiny"}'
answer=$(assay-env ask --wait 60 'Which mark?' | sed 's/.*: //')
printf 'def hello():\n    return "hello%s"\n' "$answer" >greeting.py
printf '\n    def test_mark(self):\n        self.assertEqual(greeting.hello(), "hello%s")\n' "$answer" >>test/test_greeting.py
assay-env done "Changed greeting.py. Added 9 tests. All tests pass. I removed front.py."
echo '{"type": "end", "ok": true, "text": ""}'
END_AGENT
repository "$WORK/tiny"
cd "$WORK/tiny" || exit 1

serve_start || { tap_line 'not ok' 'the server starts'; sed 's/^/# /' "$WORK/serve.log"; exit 1; }
"$ASSAY" env up >up.txt 2>&1 || { tap_line 'not ok' 'the environment starts'; sed 's/^/# /' up.txt; exit 1; }
environment=$(api GET /environments | jq -r '.items[0].id')

# tool VERB…: in the workspace.
tool() { "$ASSAY" env exec "$environment" -- assay-env "$@" 2>&1; }
workspace() { "$ASSAY" env exec "$environment" -- sh -c "$1"; }

like 'status tells services and where they are' "$(tool status)" 'web +service +ready +http://web:8080'
like 'up leaves what runs as it is' "$(tool up)" '^everything was up'
workspace 'sed -i "s/\"hello\"/\"hallo\"/" greeting.py'
like 'deploy brings an edit to the service' "$(tool deploy web)" 'deployed'
like 'http asks it' "$(tool http GET http://web/)" 'hallo'
like 'test runs the suite, and says that it fails' "$(tool test; echo "code $?")" 'FAILED.*code 1'
is 'the same as JSON' "$(tool test unit --json | tail -n 1 | jq -c '[.ok, .items[0].passed]')" '[false,false]'
like 'logs are what services wrote' "$(tool logs -n 3 web)" 'GET / HTTP'
is 'sql is answered as CSV' "$(tool sql db 'SELECT n FROM t')" $'n\n7'
is 'redis is answered' "$(tool redis cache SET k 'two words'; tool redis cache GET k)" $'OK\ntwo words'
tool http GET http://front/ >/dev/null
like 'trace shows a seam' "$(tool trace 'front->web')" 'front -> web  GET /  200 .*answered  hallo'

tool fault 503 'front->web' >/dev/null
like 'a fault is met once' "$(tool http GET http://front/ | tail -n 1) $(tool http GET http://front/ | tail -n 1)" '^503 hallo'
tool fault reset web >/dev/null
like 'a reset is a reset' "$(tool http GET http://front/ | tail -n 1)" 'Error|Disconnected'
tool fault lost web >/dev/null
like 'a lost answer is none' "$(tool http GET http://front/ | tail -n 1)" 'Error|Disconnected'
like 'but the work was done' "$(tool trace -n 1 'front->web')" 'GET / *200 .*lost'
tool fault hang web >/dev/null
like 'what hangs is a timeout of the caller' "$(tool http GET http://front/)" ' 504 .*imeout'
tool fault clear >/dev/null
tool fault slow web --ms 700 >/dev/null
before=$(date +%s%N)
tool http GET http://front/ >/dev/null
is 'what is slow takes its time' "$((($(date +%s%N) - before) / 1000000 >= 700))" 1
like 'what is met is counted' "$(tool fault list)" 'web  slow 700 ms, met 1 times'
tool fault 503 bank.example --times 2 >/dev/null
like 'a stub can fail too' "$(tool http GET http://front/pay | tail -n 1)" '^503'
tool fault hang db >/dev/null
like 'and a database' "$(workspace 'timeout 2 psql "$DB_URL" -c "SELECT 1" 2>&1; echo "code $?"')" 'code 124'
like 'cleared, all is as before' "$(tool fault clear; tool http GET http://front/pay)" 'no faults.*paid'
like 'a seam that is none is told' "$(tool fault hang nowhere; echo "code $?")" 'no service, database or stub `nowhere` in this environment.*code 1'
tool sql db 'DELETE FROM t' >/dev/null
like 'snapshot reset brings the data back' "$(tool snapshot reset >/dev/null; tool sql db 'SELECT n FROM t')" '7'
if workspace 'test -x /usr/bin/chromium'; then
	like 'a screenshot is a PNG' "$(tool screenshot http://web/ -o /tmp/page.png; workspace 'head -c 4 /tmp/page.png')" 'page.png: 1280 x 800.*PNG'
else
	skip 'a screenshot is a PNG' 'needs Chromium'
fi
like 'verify judges the tree as it is' "$(tool verify; echo "code $?")" 'failed: .*code 1'
like 'what is wrongly said is told in one line' "$(tool fault wobble web; echo "code $?")" '^assay-env: `kind` cannot be `wobble`: [^'$'\n'']*'$'\n''code 2$'
like 'ask is for runs' "$(tool ask why)" 'no run works in environment'
is 'the MCP server lists every verb' "$(workspace 'echo "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}" | assay-env mcp' |
	jq -r '[.result.tools[].name] | join(" ")')" 'status up deploy test logs http sql redis trace screenshot snapshot fault verify ask declare done'
"$ASSAY" env down "$environment" >/dev/null 2>&1

# A question, and claims.
name=$(api POST /repositories "$(jq -n --arg path "$WORK/tiny" '{$path, revision: "HEAD"}')" | jq -r .name)
run=$(api POST /runs "$(jq -n --arg repository "$name" '{$repository, title: "Greet with a mark"}')" | jq -r .id)
asks() { api GET "/runs/$run" | jq -e '.question.question == "Which mark?"'; }
until_true 120 asks
like 'the question is shown' "$("$ASSAY" runs; "$ASSAY" show "$run")" 'asks you.*the agent waits for an answer: Which mark\?'
"$ASSAY" message "$run" '!?' >/dev/null
run_is() { api GET "/runs/$run" | jq -e --arg states "$1" '.state as $s | $states | split(" ") | index($s)' >/dev/null; }
until_true 240 run_is 'review done failed stopped'
is 'the answer reached the agent, and nobody asks any more' "$(api GET "/runs/$run" | jq -c '[.state, .verdict, .question]')" '["review","verified",null]'
like 'question and answer are in its story' "$("$ASSAY" show "$run")" 'the agent asks: Which mark\?.*you answers: !\?'
body=$(api GET "/pulls/$(api GET "/runs/$run" | jq .pull)" | jq -r .body)
like 'what it claims is marked: confirmed' "$body" '\*\*confirmed\*\*: `Changed greeting.py.`'
like 'contradicted, when the verifier counted otherwise' "$body" '\*\*contradicted\*\*: `Added 9 tests.`: `the verifier found 1 new`'
like 'contradicted, when the file is there' "$body" '\*\*contradicted\*\*: `I removed front.py.`: `front.py is not in the change`'
is 'and in the signed record' "$(api GET "/runs/$run/record" | jq -r .payload | base64 -d | jq -c '[.predicate.claims[].status]')" \
	'["confirmed","contradicted","confirmed","contradicted"]'

# The official client.
program=$WORK/assay-env
"$ASSAY" env exec "$(api GET "/runs/$run" | jq -r .environment)" -- base64 -w 0 /usr/local/bin/assay-env | base64 -d >"$program" && chmod +x "$program"
if (cd "$WORK" && command -v npm >/dev/null && timeout 120 npm install --no-audit --no-fund --ignore-scripts @modelcontextprotocol/sdk@1.32.2 >npm.log 2>&1); then
	timeout 60 node "$SOURCE_ROOT/tests/scenarios/models/mcp_client.mjs" "$WORK" "$program" >client.jsonl 2>client.err || sed 's/^/# /' client.err
	is 'the official client connects' "$(jq -c 'select(.step == "connected") | [.server, .instructions]' client.jsonl)" '["assay-env",true]'
	is 'it calls a tool' "$(jq -c 'select(.step == "status") | [.failed, .text]' client.jsonl)" '[false,"e1  ready  "]'
	like 'what is wrong is told to the model' "$(jq -r 'select(.step == "wrong") | "\(.failed) \(.text)"' client.jsonl)" 'true sql needs `statement`'
	is 'a failure is one' "$(jq -c 'select(.step == "refused") | [.failed, .text]' client.jsonl)" '[true,"no such tool"]'
	is 'progress is told, and a call can be cancelled' "$(jq -c 'select(.step == "cancelled") | [.told, .rejected]' client.jsonl)" '["start web 3 ms",true]'
	is 'the next call is answered' "$(jq -c 'select(.step == "again") | .failed' client.jsonl)" false
else
	skip 'the official client' 'the npm registry cannot be reached'
fi

serve_stop
comes 'nothing is left when the server has ended' '' left_behind
done_testing
