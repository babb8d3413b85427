#!/bin/bash
# HTTP/2 and gRPC from real programs in a real sandbox: curl, node, Python's gRPC and node's; calls of every kind with their trailers and errors, one that a person
# lets go while others pass, a token in the middle of a stream, what the ledger says, and the kill switch.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"
# shellcheck source=tests/scenarios/outside.sh
. "$SOURCE_ROOT/tests/scenarios/outside.sh"
/usr/bin/python3 -c 'import grpc' 2>/dev/null || skip_all 'needs python3-grpcio'
outside_alone "$0"
outside_names grpc.outside.test node.outside.test
outside_certificate grpc.outside.test
outside_certificate node.outside.test
cat >"$WORK/node.mjs" <<'SERVER'
import {createSecureServer} from 'node:http2';
import {readFileSync, appendFileSync} from 'node:fs';
const [address, folder] = process.argv.slice(2);
const pair = {cert: readFileSync(`${folder}/node.outside.test.crt`), key: readFileSync(`${folder}/node.outside.test.key`)};
createSecureServer({...pair, allowHTTP1: true}, (request, response) => {
	appendFileSync(`${folder}/node.log`, `${request.httpVersion} ${request.method} ${request.url}\n`);
	if (request.url === '/slow')
		return void response.write('first\n');
	request.resume().on('end', () => response.end(`hello over ${request.httpVersion}\n`));
}).listen(8443, address, () => console.log('listens'));
SERVER
outside_start node node "$WORK/node.mjs" "$outside_address" "$WORK"
outside_start grpc /usr/bin/python3 "$SOURCE_ROOT/tests/scenarios/grpc/server.py" "$outside_address" "$WORK" grpc.outside.test

mkdir "$WORK/app"
cp "$SOURCE_ROOT/tests/scenarios/grpc/client.py" "$WORK/app/"
cp "$SOURCE_ROOT/tests/scenarios/grpc/"{client.mjs,package.json,package-lock.json} "$WORK/app/"
timeout 120 npm ci --silent --ignore-scripts --no-audit --no-fund --prefix "$WORK/app" >/dev/null 2>&1 || rm -rf "$WORK/app/node_modules"
cat >"$WORK/app/many.mjs" <<'PROGRAM'
import {connect} from 'node:http2';
const session = connect('https://node.outside.test:8443');
const ask = (path) => new Promise((resolve, reject) => {
	const stream = session.request({':path': path});
	let text = '', status;
	stream.on('response', (fields) => status = fields[':status']).on('data', (piece) => text += piece);
	stream.on('end', () => resolve(`${status} ${text.trim()}`)).on('error', reject);
});
const held = ask('/held').then((answer) => console.log(`held: ${answer}`));
const answers = await Promise.all(Array.from({length: 50}, (_, i) => ask(`/many?${i}`)));
console.log(`${answers.length} answers: ${[...new Set(answers)]}`);
console.log((await ask('/denied')).replace(/ \[rule.*/, ''));
await held;
session.close();
PROGRAM
cat >"$WORK/app/assay.yaml" <<'BLUEPRINT'
version: 1
name: grpc
services:
  web: {run: "sleep 100000"}
egress:
  rules:
    - {id: held, host: node.outside.test, port: 8443, paths: [/held], action: approve}
    - {id: denied, host: node.outside.test, port: 8443, paths: [/denied], action: deny, because: nobody needs it}
    - {host: node.outside.test, port: 8443, action: allow}
    - {host: grpc.outside.test, port: 8444, action: allow, methods: [POST], paths: ["/t.S/*"]}
    - {host: grpc.outside.test, port: 50051, action: allow, methods: [POST], paths: ["/t.S/*"]}
BLUEPRINT
repository "$WORK/app"
cd "$WORK/app" || exit 1
serve_start || { tap_line 'not ok' 'the server starts'; sed 's/^/# /' "$WORK/serve.log"; exit 1; }
"$ASSAY" env up --name grpc >"$WORK/up.log" 2>&1 || { tap_line 'not ok' 'an environment comes up'; sed 's/^/# /' "$WORK/up.log"; exit 1; }
env=$(api GET /environments | jq -r '.items[] | select(.name == "grpc") | .id')
inside() { "$ASSAY" env exec "$env" -- "$@" 2>&1; }
call() { inside /usr/bin/python3 client.py "$@"; }

is 'curl speaks HTTP/2' "$(inside curl -sS --max-time 20 --http2 --write-out '%{http_version} %{http_code}' https://node.outside.test:8443/curl)" $'hello over 2.0\n2 200'
is 'or HTTP/1.1, and the host HTTP/2 all the same' "$(inside curl -sS --max-time 20 --http1.1 --write-out '%{http_version} %{http_code}' https://node.outside.test:8443/curl)" $'hello over 2.0\n1.1 200'
like 'a refusal is one line inside the stream' "$(inside curl -sS --max-time 20 --http2 --write-out ' %{http_code}' https://node.outside.test:8443/denied)" 'nobody needs it; .*\[rule policy:denied.* 403$'

inside node many.mjs >"$WORK/many" &
many=$!
one_waits() { [ "$(api GET /holds | jq '.items | length')" = 1 ]; }
ok 'a stream of many waits for a person' until_true 60 one_waits
passed() { [ "$(grep -c '/many' "$WORK/node.log")" = 50 ]; }
ok 'the others of its connection do not' until_true 60 passed
is 'nothing of it has left' "$(grep -c held "$WORK/node.log")" 0
"$ASSAY" approve "$(api GET /holds | jq -r '.items[0].id')" >/dev/null
wait "$many"
is 'then it is let go, and all were answered as they are' "$(cut -d';' -f1 "$WORK/many" | cut -d' ' -f-8)" \
	$'50 answers: 200 hello over 2.0\n403 assay: GET https://node.outside.test/denied: nobody needs it\nheld: 200 hello over 2.0'

for target in grpc.outside.test:8444 grpc.outside.test:50051; do
	is "gRPC at ${target##*:}: a call, with its trailing metadata" "$(call $target say there)" 'hello there last OK'
	is 'an error is the status that the server gave' "$(call $target say fail)" 'NOT_FOUND there is no such thing'
	is 'a stream of answers' "$(call $target count 5)" '0 1 2 3 4'
	is 'a stream of requests' "$(call $target gather a b c)" 'a b c'
	is 'a conversation' "$(call $target talk one two three)" 'heard one, heard two, heard three'
done
if [ -d "$WORK/app/node_modules/@grpc/grpc-js" ]; then
	js() { inside node client.mjs grpc.outside.test:8444 "$@"; }
	is "node's gRPC: a call, with its trailing metadata" "$(js say there)" 'hello there last OK'
	is 'an error' "$(js say fail)" 'NOT_FOUND there is no such thing'
	is 'a stream of answers' "$(js count 5)" '0 1 2 3 4'
	is 'a stream of requests' "$(js gather a b c)" 'a b c'
	is 'a conversation' "$(js talk one two three)" 'heard one, heard two, heard three'
else
	skip "node's gRPC" 'the npm registry cannot be reached'
fi
is 'a large message' "$(call grpc.outside.test:8444 big 3000000)" 3000006
like 'what a rule does not allow is PERMISSION_DENIED' "$(inside /usr/bin/python3 -c '
import grpc
try:
    grpc.secure_channel("grpc.outside.test:8444", grpc.ssl_channel_credentials()).unary_unary("/other.S/Do")(b"x", timeout=20)
except grpc.RpcError as error:
    print(error.code().name)')" PERMISSION_DENIED
# In pieces, so that no scanner finds it here.
token=sk_live_Q7kZp2XvLm"4NbWc8Rt9x"sYs3Ud5If0G
like 'a token in a message' "$(call grpc.outside.test:8444 say "a note $token")" PERMISSION_DENIED
call grpc.outside.test:8444 talk first "then $token" >"$WORK/talk"
is 'and in the middle of a conversation' "$(grep -c "$token" "$WORK/talk" "$WORK/grpc.log" | tr '\n' ' ')" "$WORK/talk:0 $WORK/grpc.log:0 "
like 'the ledger says what came by HTTP/2' "$("$ASSAY" ledger search --json 2>/dev/null | jq -r '.. | objects | select(.kind? == "intent" and .detail? == "h2") | "\(.method) \(.path)"' | sort -u | tr '\n' ' ')" \
	'GET /held .*POST /t.S/Say'

inside curl -sS --http2 --no-buffer --max-time 60 https://node.outside.test:8443/slow >"$WORK/slow" &
slow=$!
begun() { grep -q /slow "$WORK/node.log"; }
ok 'a stream is open' until_true 60 begun
"$ASSAY" kill "$env" --because 'it is a test' >/dev/null
wait "$slow"
like 'the kill switch ends it' "$(cat "$WORK/slow")" 'curl: .(92|56|16|18)'
like 'and takes no other' "$(inside curl -sS --http2 --max-time 10 --write-out '%{http_code}' https://node.outside.test:8443/curl)" '000$|403$'
done_testing
