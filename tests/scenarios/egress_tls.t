#!/bin/bash
# HTTPS from a program in a real sandbox: it trusts the environment's own authority with nothing set up, the host outside is verified, and
# `assay egress tail` shows what went out and what did not.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"
# shellcheck source=tests/scenarios/outside.sh
. "$SOURCE_ROOT/tests/scenarios/outside.sh"
command -v node >/dev/null || skip_all 'needs node'
outside_alone "$0"
outside_names api.outside.test stranger.outside.test
outside_certificate api.outside.test
outside_certificate stranger.outside.test stranger
cat >"$WORK/outside.mjs" <<'SERVER'
import {createServer} from 'node:https';
import {createSecureContext} from 'node:tls';
import {readFileSync, appendFileSync} from 'node:fs';
const [address, folder] = process.argv.slice(2);
const pair = (name) => ({cert: readFileSync(`${folder}/${name}.outside.test.crt`), key: readFileSync(`${folder}/${name}.outside.test.key`)});
createServer({...pair('api'), SNICallback: (name, done) => done(null, createSecureContext(pair(name.split('.')[0])))}, (request, response) => {
	appendFileSync(`${folder}/outside.log`, `${request.method} ${request.headers.host}${request.url}\n`);
	response.end('hello over TLS\n');
}).listen(8443, address, () => console.log('listens'));
SERVER
: >"$WORK/outside.log"
outside_start outside node "$WORK/outside.mjs" "$outside_address" "$WORK"

mkdir "$WORK/app"
cat >"$WORK/app/assay.yaml" <<'BLUEPRINT'
version: 1
name: tls
services:
  web: {run: "sleep 100000"}
egress:
  rules:
    - {host: api.outside.test, port: 8443, methods: [GET], action: allow}
    - {host: stranger.outside.test, port: 8443, action: allow}
BLUEPRINT
repository "$WORK/app"
cd "$WORK/app" || exit 1
serve_start || { tap_line 'not ok' 'the server starts'; sed 's/^/# /' "$WORK/serve.log"; exit 1; }
"$ASSAY" env up --name tls >"$WORK/up.log" 2>&1 || { tap_line 'not ok' 'an environment comes up'; sed 's/^/# /' "$WORK/up.log"; exit 1; }
env=$(api GET /environments | jq -r '.items[] | select(.name == "tls") | .id')
inside() { "$ASSAY" env exec "$env" -- "$@" 2>&1; }

is 'curl trusts the authority' "$(inside curl -sS --max-time 20 https://api.outside.test:8443/curl)" 'hello over TLS'
is 'so does node' "$(inside node -e 'fetch("https://api.outside.test:8443/node").then(async (r) => process.stdout.write(await r.text()))')" 'hello over TLS'
is 'and Python' "$(inside /usr/bin/python3 -c 'import urllib.request as u; print(u.urlopen("https://api.outside.test:8443/python").read().decode(), end="")')" 'hello over TLS'
is 'and OpenSSL, by its folder' "$(inside sh -c 'unset SSL_CERT_FILE; echo | openssl s_client -connect api.outside.test:8443 -servername api.outside.test -verify_return_error -brief 2>&1 | grep -c "Verification: OK"')" 1
is 'and a program that wants a proxy' "$(inside curl -sS --max-time 20 --proxy http://proxy.assay.internal:3128 https://api.outside.test:8443/proxy)" 'hello over TLS'
like 'a method that no rule allows is refused inside TLS' "$(inside curl -sS --max-time 20 -d x=1 https://api.outside.test:8443/post)" 'no rule allows it.*rule default-deny'
like 'a host whose certificate is a stranger'"'"'s gets no request' "$(inside curl -sS --max-time 20 https://stranger.outside.test:8443/)" 'certificate is not accepted'
cat >late.py <<'LATE'
import socket, ssl, sys, time
raw = socket.create_connection((sys.argv[1], 8443))
time.sleep(1)
made = ssl.create_default_context().wrap_socket(raw, server_hostname=sys.argv[1])
made.sendall(b"GET /late HTTP/1.1\r\nHost: %s:8443\r\nConnection: close\r\n\r\n" % sys.argv[1].encode())
print(b"".join(iter(lambda: made.recv(4096), b"")).decode())
LATE
late() { inside /usr/bin/python3 -c "$(cat late.py)" "$1"; }
like 'a client that is silent at first is read all the same' "$(late stranger.outside.test)" 'certificate is not accepted'
like 'and need not hurry where the rules ask what is said' "$(late api.outside.test)" 'hello over TLS'
is 'what came out is what was allowed' "$(sort "$WORK/outside.log" | tr '\n' ' ')" \
	'GET api.outside.test:8443/curl GET api.outside.test:8443/late GET api.outside.test:8443/node GET api.outside.test:8443/proxy GET api.outside.test:8443/python '
tailed=$("$ASSAY" egress tail "$env" --once)
like 'the tail shows what went' "$tailed" 'workspace +200 +GET https://api.outside.test:8443/curl'
like 'and what did not' "$tailed" '403 +POST https://api.outside.test:8443/post .*no rule allows it'
is 'no key of the authority is in the sandbox' "$(inside sh -c 'grep -rls "PRIVATE KEY" /etc/ssl /home /workspace 2>/dev/null | wc -l')" 0
done_testing
