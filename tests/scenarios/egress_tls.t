#!/bin/bash
# HTTPS from a program in a real sandbox: it trusts the environment's own authority with nothing set up, the host outside is verified, and
# `assay egress tail` shows what went out and what did not.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"
# shellcheck source=tests/egress/stage.sh
STAGE_PROGRAM=none . "$SOURCE_ROOT/tests/egress/stage.sh"
command -v node >/dev/null || skip_all 'needs node'
[ "$(id -u)" = 0 ] || skip_all 'needs root: a name of the machine for the server outside'
if [ -z "${EGRESS_INSIDE:-}" ]; then
	EGRESS_INSIDE=1 exec unshare --mount --propagation private "$0"
fi
address=127.62.$((RANDOM % 250 + 1)).$((RANDOM % 250 + 1))
printf '127.0.0.1 localhost\n%s api.outside.test stranger.outside.test\n' "$address" >"$WORK/hosts"
mount --bind "$WORK/hosts" /etc/hosts
at_end umount /etc/hosts
egress_authority "$WORK"
export ASSAY_REACH=$address ASSAY_AUTHORITIES=$WORK/operator.pem

(cd "$WORK" && for name in api stranger; do
	signer=operator
	[ $name = api ] || { signer=other && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=other -keyout other.key -out other.pem; }
	printf 'subjectAltName=DNS:%s.outside.test\n' $name >$name.ext
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=$name -keyout $name.key -out $name.csr
	openssl x509 -req -in $name.csr -CA $signer.pem -CAkey $signer.key -CAcreateserial -days 30 -extfile $name.ext -out $name.crt
done) 2>/dev/null
cat >"$WORK/outside.mjs" <<'SERVER'
import {createServer} from 'node:https';
import {createSecureContext} from 'node:tls';
import {readFileSync, appendFileSync} from 'node:fs';
const [address, folder] = process.argv.slice(2);
const pair = (name) => ({cert: readFileSync(`${folder}/${name}.crt`), key: readFileSync(`${folder}/${name}.key`)});
createServer({...pair('api'), SNICallback: (name, done) => done(null, createSecureContext(pair(name.split('.')[0])))}, (request, response) => {
	appendFileSync(`${folder}/outside.log`, `${request.method} ${request.headers.host}${request.url}\n`);
	response.end('hello over TLS\n');
}).listen(8443, address, () => console.log('listens'));
SERVER
: >"$WORK/outside.log"
node "$WORK/outside.mjs" "$address" "$WORK" >"$WORK/outside.out" 2>&1 &
outside=$!
at_end "kill $outside 2>/dev/null"
outside_listens() { grep -q listens "$WORK/outside.out"; }
until_true 20 outside_listens || { cat "$WORK/outside.out"; skip_all 'port 8443 cannot be had'; }

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
is 'what came out is what was allowed' "$(sort "$WORK/outside.log" | tr '\n' ' ')" \
	'GET api.outside.test:8443/curl GET api.outside.test:8443/node GET api.outside.test:8443/proxy GET api.outside.test:8443/python '
tailed=$("$ASSAY" egress tail "$env" --once)
like 'the tail shows what went' "$tailed" 'workspace +200 +GET https://api.outside.test:8443/curl'
like 'and what did not' "$tailed" '403 +POST https://api.outside.test:8443/post .*no rule allows it'
is 'no key of the authority is in the sandbox' "$(inside sh -c 'grep -rls "PRIVATE KEY" /etc/ssl /home /workspace 2>/dev/null | wc -l')" 0
done_testing
