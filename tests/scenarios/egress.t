#!/bin/bash
# What an environment may send out: rules, the organisation's policy and its reload, questions to a person, the budget and the kill switch, seen from
# a program in a sandbox and from the command line. The host outside is a server of ours.
# A network of its own would have no sandboxes; a mount namespace of its own has another /etc/hosts.
if [ -z "${EGRESS_INSIDE:-}" ] && [ "$(id -u)" = 0 ]; then
	EGRESS_INSIDE=1 exec unshare --mount --propagation private bash "$0"
fi
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"
command -v node >/dev/null || skip_all 'needs node'
[ "$(id -u)" = 0 ] || skip_all 'needs root: a name of the machine for the server outside'

address=127.61.$((RANDOM % 250 + 1)).$((RANDOM % 250 + 1))
printf '127.0.0.1 localhost\n%s api.outside.test other.outside.test\n' "$address" >"$WORK/hosts"
mount --bind "$WORK/hosts" /etc/hosts
at_end umount /etc/hosts
export ASSAY_REACH=$address

cat >"$WORK/outside.mjs" <<'SERVER'
import {createServer} from 'node:http';
import {appendFileSync} from 'node:fs';
import {createHash} from 'node:crypto';
const [address, log] = process.argv.slice(2);
const server = createServer((request, response) => {
	const body = [];
	request.on('data', (piece) => body.push(piece));
	request.on('end', () => {
		appendFileSync(log, `${request.method} ${request.headers.host}${request.url} ${Buffer.concat(body)}\n`);
		if (request.url === '/slow')
			return void response.write('first\n');
		if (request.url === '/v1/messages')
			return void response.end(JSON.stringify({model: 'claude-sonnet-4-5', usage: {input_tokens: 1000000, output_tokens: 200000}}));
		response.end('hello from outside\n');
	});
});
// A model over a WebSocket: each message is a call, and is answered by what it used.
server.on('upgrade', (request, socket) => {
	appendFileSync(log, `UPGRADE ${request.headers.host}${request.url}\n`);
	socket.on('error', () => {});
	socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ' +
		createHash('sha1').update(request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64') + '\r\n\r\n');
	socket.on('data', (bytes) => {
		if ((bytes[0] & 15) !== 1)
			return void socket.end();
		appendFileSync(log, 'CALL\n');
		const text = JSON.stringify({type: 'response.completed', response: {model: 'gpt-5', usage: {input_tokens: 1000000, output_tokens: 100000,
			input_tokens_details: {cached_tokens: 0}}}});
		socket.write(Buffer.concat([Buffer.from([0x81, 126, text.length >> 8, text.length & 255]), Buffer.from(text)]));
	});
});
server.listen(80, address, () => console.log('listens'));
SERVER
: >"$WORK/outside.log"
node "$WORK/outside.mjs" "$address" "$WORK/outside.log" >"$WORK/outside.out" 2>&1 &
outside=$!
at_end "kill $outside 2>/dev/null"
outside_listens() { grep -q listens "$WORK/outside.out"; }
until_true 60 outside_listens || { cat "$WORK/outside.out"; skip_all 'port 80 cannot be had'; }

mkdir "$WORK/app"
cat >"$WORK/app/assay.yaml" <<'BLUEPRINT'
version: 1
name: out
services:
  web: {run: "sleep 100000"}
egress:
  budget: 1 USD
  rules:
    - {id: read, host: api.outside.test, methods: [GET], action: allow}
    - {id: pulls, host: api.outside.test, methods: [POST], paths: [/pulls/*], action: approve}
    - {id: models, host: api.outside.test, methods: [POST], paths: [/v1/messages], action: allow}
    - {id: sockets, host: api.outside.test, methods: [WEBSOCKET], paths: [/v1/responses], action: allow}
    - {id: secrets, host: "*.outside.test", paths: ["/**/secret"], action: deny, because: secrets stay}
    - {id: other, host: other.outside.test, action: allow}
agent: {use: command, run: sh agent.sh, format: jsonl}
BLUEPRINT
cat >"$WORK/app/agent.sh" <<'AGENT'
echo '{"type": "start", "session": "s1"}'
echo '{"type": "action", "id": "1", "tool": "Bash", "title": "post the report"}'
curl --silent --data report http://api.outside.test/pulls/77
echo '{"type": "end", "ok": true, "text": ""}'
AGENT
repository "$WORK/app"
cd "$WORK/app" || exit 1

is 'its rules are good' "$("$ASSAY" policy check)" 'assay.yaml is good: 6 rules'
is 'a wrong one is said with its place' "$(printf 'rules:\n  - {host: a.test, action: alow}\n' >"$WORK/bad.yaml"; "$ASSAY" policy check "$WORK/bad.yaml" 2>&1)" \
	'assay policy check: bad.yaml:2:28: rules.action: expected allow, deny, approve or passthrough, found `alow`: did you mean `allow`?'
like 'a verdict is explained before anything runs' "$("$ASSAY" policy explain http://api.outside.test/x/secret)" 'deny by policy:secrets: secrets stay'

serve_start || { tap_line 'not ok' 'the server starts'; sed 's/^/# /' "$WORK/serve.log"; exit 1; }
"$ASSAY" env up --name out >"$WORK/up.log" 2>&1 || { tap_line 'not ok' 'an environment comes up'; sed 's/^/# /' "$WORK/up.log"; exit 1; }
env=$(api GET /environments | jq -r '.items[] | select(.name == "out") | .id')

# ask ARGUMENTS…: curl in the workspace; its answer and status.
ask() { "$ASSAY" env exec "$env" -- curl --silent --max-time "${ASK_S:-20}" --write-out ' %{http_code}' "$@" 2>&1; }
holds() { api GET "/holds$1" | jq -r "$2"; }
one_waits() { [ "$(holds '' '.items | length')" = 1 ]; }

is 'what is allowed passes' "$(ask http://api.outside.test/x)" $'hello from outside\n 200'
like 'what is not, is refused with rule and remedy' "$(ask -X DELETE http://api.outside.test/x)" 'rule default-deny.* 403$'
like 'deny wins' "$(ask http://api.outside.test/x/secret)" 'secrets stay.*rule policy:secrets.* 403$'
is 'nothing of what was refused came out' "$(cut -d' ' -f1-2 "$WORK/outside.log")" 'GET api.outside.test/x'

ask -d title=one http://api.outside.test/pulls/1 >"$WORK/held" &
held=$!
until_true 60 one_waits
is 'a request waits for a person, who sees it' "$(holds '' '.items[0] | "\(.method) \(.url) \(.rule) \(.body_start) \(.sandbox)"')" \
	'POST http://api.outside.test:80/pulls/1 policy:pulls title=one workspace'
is 'nothing of it has left' "$(grep -c POST "$WORK/outside.log")" 0
hold=$(holds '' '.items[0].id')
like 'the command line shows it' "$("$ASSAY" holds)" "$hold  POST http://api.outside.test:80/pulls/1"
before=$(date +%s%3N)
ok 'approved' "$ASSAY" approve "$hold" --for hour
wait "$held"
echo "# from the command to the answer: $(($(date +%s%3N) - before)) ms"
is 'it goes on' "$(cat "$WORK/held")" $'hello from outside\n 200'
is 'what it was is what came out' "$(grep POST "$WORK/outside.log")" 'POST api.outside.test/pulls/1 title=one'
is 'its method and path stay open, whatever the body' "$(ask -d title=two http://api.outside.test/pulls/1)" $'hello from outside\n 200'
like 'it cannot be answered twice' "$("$ASSAY" deny "$hold" 2>&1)" 'is over: approved'

ask -d title=three http://api.outside.test/pulls/2 >"$WORK/held" &
held=$!
ask -d title=three http://api.outside.test/pulls/2 >"$WORK/held2" &
held2=$!
until_true 60 one_waits
"$ASSAY" deny "$(holds '' '.items[0].id')" --because 'not today' >/dev/null
wait "$held" "$held2"
like 'another path is another question, and a denial is told' "$(cat "$WORK/held")" 'you denied it: not today.* 403$'
like 'the same request twice is one question' "$(cat "$WORK/held2")" 'you denied it: not today.* 403$'

# answered HOW NAME: pulls/3 waits, is approved like that, and passes.
answered() {
	ask -d title=four http://api.outside.test/pulls/3 >"$WORK/held" &
	held=$!
	until_true 60 one_waits
	# shellcheck disable=SC2086 # words
	"$ASSAY" approve "$(holds '' '.items[0].id')" $1 >/dev/null
	wait "$held"
	is "$2" "$(cat "$WORK/held")" $'hello from outside\n 200'
}
answered '' 'approved once, it goes on once'
answered '--for run' 'and the next one is asked for again'
is 'what is approved for the run is not asked for again' "$(ask -d title=five http://api.outside.test/pulls/3)" $'hello from outside\n 200'

ASK_S=3 ask -d x=1 http://api.outside.test/pulls/9 >/dev/null &
until_true 60 one_waits
nothing_waits() { [ "$(holds '' '.items | length')" = 0 ]; }
until_true 60 nothing_waits
is 'a client that leaves takes its question along' "$(holds '?all=1' '.items[0].status')" cancelled
wait $!
is 'and nothing was sent for it' "$(grep -c pulls/9 "$WORK/outside.log")" 0

# A person who has seen enough denies what an agent wants to send, and stops its run with that.
"$ASSAY" run 'Send the report' >"$WORK/run.out" 2>&1 &
run_pid=$!
until_true 60 one_waits
run=$(api GET /runs | jq -r '.items[0].id')
is 'what an agent wants to send names its run, and what it did last' "$(holds '' '.items[0] | "\(.run) \(.url) \(.action)"')" \
	"$run http://api.outside.test:80/pulls/77 Bash: post the report"
like 'it is denied, and the run stopped' "$("$ASSAY" deny "$(holds '' '.items[0].id')" --because 'enough' --stop-run)" '^denied .*/pulls/77$'
wait "$run_pid"
is 'who follows it is told' "$? $("$ASSAY" show "$run" --json | jq -r .state)" '3 stopped'
its_state() { api GET "/environments/$(api GET "/runs/$run" | jq -r .environment)" | jq -r .state; }
stands_still() { [ "$(its_state)" = frozen ]; }
ok 'its environment stands still, for who wants to look' until_true 60 stands_still
is 'nothing waits any more' "$(holds '' '.items | length')" 0
is 'and nothing of it came out' "$(grep -c pulls/77 "$WORK/outside.log")" 0
"$ASSAY" env down "$(api GET "/runs/$run" | jq -r .environment)" >/dev/null
is 'nor is anything left of it' "$(api GET /environments | jq -r '.items[].id')" "$env"

simulated=$("$ASSAY" policy simulate assay.yaml --on "$env" --json)
is 'the same rules over what was seen say the same, row for row' "$(jq -r '[.items[] | select(.same | not)] | length' <<<"$simulated")" 0
is 'every request was judged again' "$(jq -r '.items | length >= 7' <<<"$simulated")" true
kept() { "$ASSAY" policy simulate assay.yaml --on "$env" --ledger --json; }
is 'and over what the ledger kept' "$(kept | jq -r '"\(.items | length >= 5) \([.items[] | select(.same | not)] | length)"')" 'true 0'
sed 's/id: read, host: api.outside.test/id: read, host: nobody.outside.test/' assay.yaml >"$WORK/draft.yaml"
like 'a draft says what would be different' "$("$ASSAY" policy simulate "$WORK/draft.yaml" --on "$env")" 'deny +default-deny +GET http://api.outside.test/x'
like 'rules are suggested from what was seen' "$("$ASSAY" policy suggest "$env")" 'host: api.outside.test, methods: \[[A-Z, ]+\], action: allow'

# What models cost.
ask -d '{"model": "claude-sonnet-4-5"}' http://api.outside.test/v1/messages >"$WORK/model"
like 'a call to a model passes' "$(cat "$WORK/model")" 'claude-sonnet-4-5.* 200$'
over() { [ "$(api GET "/environments/$env/budget" | jq '.spent_usd >= 5.99')" = true ]; }
until_true 60 over
is 'what it used is metered and priced' "$(api GET "/environments/$env/budget" | jq -c '[.calls, .input, .output, .spent_usd, .budget_usd]')" \
	'[1,1000000,200000,6,1]'
like 'and shown' "$("$ASSAY" budget "$env")" 'claude-sonnet-4-5 +1 +1000000 +200000 +0 +6.0000.*prices: built in, as of 20[0-9-]*; check them'
ask -d '{"model": "claude-sonnet-4-5"}' http://api.outside.test/v1/messages >"$WORK/model" &
model=$!
until_true 60 one_waits
is 'over the budget the next one waits for a person' "$(holds '' '.items[0] | "\(.rule): \(.why)"')" 'budget: 6.00 USD were spent on models, of a budget of 1.00 USD'
"$ASSAY" approve "$(holds '' '.items[0].id')" >/dev/null
wait "$model"
like 'and is not broken by that' "$(cat "$WORK/model")" 'claude-sonnet-4-5.* 200$'
"$ASSAY" budget "$env" --set 100 >/dev/null
like 'a larger budget lets the next one go' "$(ask -d '{}' http://api.outside.test/v1/messages)" ' 200$'

# The same over a WebSocket: metered message by message; over the budget it ends before the next call, with a reason, and the next one is held.
cat >"$WORK/calls.py" <<'CLIENT'
import os, socket, sys, time
s = socket.create_connection(("api.outside.test", 80), timeout=60)
s.sendall(b"GET /v1/responses HTTP/1.1\r\nHost: api.outside.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
          b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
got = s.recv(65536)
assert b" 101 " in got, got
for call in range(int(sys.argv[1])):
    while call and not os.path.exists("/tmp/go"):
        time.sleep(0.05)
    text = b'{"type": "response.create"}'
    s.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
    print("answer" if b"response.completed" in (got := s.recv(65536)) else got[4:], flush=True)
CLIENT
calls_make() { "$ASSAY" env exec "$env" -- /usr/bin/python3 -c "$(cat "$WORK/calls.py")" "$1" >"$WORK/calls.out" 2>&1; }
calls_make 2 &
calls=$!
first_call() { [ "$(api GET "/environments/$env/budget" | jq '.models."gpt-5".calls')" = 1 ]; }
ok 'a call over a WebSocket is metered at once, while it is open' until_true 60 first_call
is 'at its price' "$(api GET "/environments/$env/budget" | jq -c '.models."gpt-5" | [.input, .output, .spent_usd]')" '[1000000,100000,2.25]'
"$ASSAY" budget "$env" --set 1 >/dev/null
"$ASSAY" env exec "$env" -- touch /tmp/go
wait "$calls"
like 'over the budget it ends before the next call, and says why' "$(tail -n 1 "$WORK/calls.out")" 'USD were spent on models.*rule budget'
is 'that call did not come out' "$(grep -c CALL "$WORK/outside.log")" 1
calls_make 1 &
calls=$!
ok 'the next connection waits for a person' until_true 60 one_waits
"$ASSAY" approve "$(holds '' '.items[0].id')" >/dev/null
wait "$calls"
is 'and goes on' "$(cat "$WORK/calls.out")" answer
"$ASSAY" budget "$env" --set 100 >/dev/null
is 'what waited for money, not for a rule, is no difference, nor is a WebSocket' \
	"$("$ASSAY" policy simulate assay.yaml --on "$env" --json | jq -c '[(.items | length >= 12), ([.items[] | select(.same | not)] | length), ([.items[] | select(.method == "WEBSOCKET" and .compared)] | length >= 2)]')" '[true,0,true]'
is 'nor in the ledger' "$(kept | jq -c '[(.items | length >= 12), ([.items[] | select(.same | not)] | length), ([.items[] | select(.was == "passed")] | length >= 1)]')" '[true,0,true]'

# The organisation's policy comes while a connection is open.
ASK_S=60 ask -N http://other.outside.test/slow >"$WORK/open" &
open=$!
slow_runs() { grep -q 'other.outside.test/slow' "$WORK/outside.log"; }
until_true 60 slow_runs
printf 'rules:\n  - {id: no-other, host: other.outside.test, action: deny}\n' >"$ASSAY_STATE/policy.yaml"
in_force() { [ "$(api GET /policy | jq .rules)" = 1 ]; }
until_true 60 in_force
wait "$open"
like 'a connection that the new policy does not allow ends' "$(cat "$WORK/open")" ' 200$'
like 'and no other is made' "$(ask http://other.outside.test/x)" ' 000$|rule policy:no-other'
printf 'rules: [oops\n' >"$ASSAY_STATE/policy.yaml"
refused_reload() { api GET /policy | jq -e .error >/dev/null; }
until_true 60 refused_reload
is 'a policy that is wrong changes nothing' "$(api GET /policy | jq .rules)" 1
like 'and is said' "$("$ASSAY" policy show 2>&1)" 'the last reload failed: .*policy.yaml:2:1:'
printf 'rules: []\n' >"$ASSAY_STATE/policy.yaml"
ok 'a right one is taken at once' "$ASSAY" policy reload
is 'and what it does not deny passes again' "$(ask http://other.outside.test/x)" $'hello from outside\n 200'

found() { "$ASSAY" ledger search --limit 500 --kind "$1" --json | jq -r '[.items[].detail // ""] | join("; ")'; }
like 'the ledger has the policies, and what was refused of them' "$(found policy)" 'policy.yaml: 0 rules.*policy.yaml: 1 rules.*the server starts'
like 'the answers of people, with what they answered to' "$(found answer)" 'denied \(once\) of [0-9a-f]{16}: not today.*approved \(hour\) of [0-9a-f]{16}'
like 'and what became of questions that nobody answered' "$(found answer)" 'cancelled'
is 'the questions' "$("$ASSAY" ledger search --kind hold --json | jq '.items | length >= 4')" true
like 'the budgets, and when one was spent' "$(found budget)" 'set to 100.00 USD.*USD were spent on models, of a budget of'
# A credential, in whatever clothes, is a refusal that says which and where; nothing of it comes out.
secret=sk_live_$(printf 'Q7kZp2%s4NbWc8%sYs3Ud5If0G' XvLm Rt9x)
before=$(wc -l <"$WORK/outside.log")
like 'a credential in a body does not leave' "$(ask -d "key=$secret" http://other.outside.test/in)" \
	'it carries Stripe secret key \(body, plain\).*rule dlp:stripe-secret-key.* 403$'
like 'nor in an address' "$(ask "http://other.outside.test/in?key=$secret")" 'rule dlp:stripe-secret-key.* 403$'
like 'nor in a field' "$(ask -H "x-note: $secret" http://other.outside.test/in)" 'rule dlp:stripe-secret-key.* 403$'
like 'nor in base 64' "$(ask -d "note=$(printf 'here it is: %s, all of it' "$secret" | base64 -w0)" http://other.outside.test/in)" \
	'\(body, base64\).* 403$'
"$ASSAY" env exec "$env" -- sh -c "printf 'key=%s' $secret | gzip >/tmp/key.gz; head -c 6000000 /dev/zero | tr '\\0' x >/tmp/long; printf ' %s ' $secret >>/tmp/long"
like 'nor compressed' "$(ask -H 'content-encoding: gzip' --data-binary @/tmp/key.gz http://other.outside.test/in)" 'rule dlp:stripe-secret-key.* 403$'
like 'nor at the end of what is too long to be held' "$(ask -H 'expect:' --data-binary @/tmp/long http://other.outside.test/in)" ' (403|000)$'
like 'what says that it is compressed, and is not, does not' "$(ask -H 'content-encoding: gzip' -d plain http://other.outside.test/in)" 'rule dlp:unreadable.* 403$'
is 'none of them came out' "$(wc -l <"$WORK/outside.log")" "$before"
is 'what only looks like it passes' "$(ask -d 'key=sk_live_xxxxxxxxxxxxxxxxxxxxxxxx' http://other.outside.test/in)" $'hello from outside\n 200'

# The kill switch, with the gateway at work and with the gateway stopped.
kill_and_look() {
	ASK_S=60 ask -N http://other.outside.test/slow >"$WORK/open" &
	open=$!
	: >"$WORK/outside.log"
	until_true 60 slow_runs
	[ -z "$1" ] || kill -STOP "$1"
	"$ASSAY" kill "$env" --because "it is a test" >"$WORK/kill.out" 2>&1
	wait "$open"
}
kill_and_look ''
like 'a kill resets what is open' "$(cat "$WORK/kill.out") $(cat "$WORK/open")" "stopped $env in .* (000|200)"
like 'and refuses what is new' "$(ask http://api.outside.test/x)" ' (000|403)$'
ok 'undone' "$ASSAY" kill "$env" --undo
passes() { [ "$(ask http://api.outside.test/x)" = $'hello from outside\n 200' ]; }
ok 'it goes on' until_true 60 passes # on a busy machine the gateway may have been too slow to answer, and be another
gateway=$(for child in $(below "$serve_pid"); do grep -qz '^gateway$' "/proc/$child/cmdline" && echo "$child"; done | head -n 1)
kill_and_look "$gateway"
like 'item 70: with the gateway stopped the kernel resets them' "$(cat "$WORK/kill.out")" 'without the gateway'
gone() { ! kill -0 "$gateway" 2>/dev/null; }
until_true 60 gone
like 'another gateway knows of the kill' "$(until_true 60 api GET /status >/dev/null; ask http://api.outside.test/x)" ' (000|403)$'
serve_stop
serve_start
like 'the ledger has the kills, and what was undone' "$("$ASSAY" ledger search --limit 500 --kind kill --json | jq -r '[.items[].detail // ""] | join("; ")')" \
	'without the gateway: it is a test; undone; (stopped|without the gateway): it is a test'
like 'and so does another server' "$(ask http://api.outside.test/x)" ' (000|403)$'
ok 'undone' "$ASSAY" kill "$env" --undo
ok 'it goes on after that, too' until_true 60 passes

# All of them at once.
like 'everything is stopped' "$("$ASSAY" kill --all --because "one for all" 2>&1)" 'stopped'
like 'and nothing goes out' "$(ask http://api.outside.test/x)" ' (000|403)$'
ok 'undone' "$ASSAY" kill --all --undo
ok 'all goes on' until_true 60 passes

done_testing
