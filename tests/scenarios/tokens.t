#!/bin/bash
# git, npm and pip as they come, with tokens that their sandbox never holds: private repositories and registries outside take the real ones only, over
# HTTPS, and each program works with a placeholder where its manual says that a token goes.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"
# shellcheck source=tests/scenarios/outside.sh
. "$SOURCE_ROOT/tests/scenarios/outside.sh"
for program in node npm git; do
	command -v "$program" >/dev/null || skip_all "needs $program"
done
python=/usr/bin/python3
backend=$(git --exec-path)/git-http-backend
[ -x "$backend" ] || skip_all 'needs git-http-backend'
outside_alone "$0"
outside_names git.outside.test npm.outside.test pip.outside.test
for name in git npm pip; do
	outside_certificate "$name.outside.test"
done

# What they offer: a repository, a package of npm and one of Python.
git init -q --bare "$WORK/code.git"
git -C "$WORK/code.git" config http.receivepack true
mkdir "$WORK/seed"
echo seed >"$WORK/seed/seed.txt"
repository "$WORK/seed"
git -C "$WORK/seed" push -q "$WORK/code.git" HEAD:refs/heads/main
git -C "$WORK/code.git" symbolic-ref HEAD refs/heads/main
mkdir "$WORK/tiny"
printf '{"name": "tiny-private", "version": "1.0.0", "main": "index.js"}' >"$WORK/tiny/package.json"
printf 'module.exports = "from the private registry";\n' >"$WORK/tiny/index.js"
(cd "$WORK" && npm pack --silent ./tiny >/dev/null) || skip_all 'npm cannot pack'
"$python" - "$WORK" <<'WHEEL'
import sys, zipfile
with zipfile.ZipFile(f"{sys.argv[1]}/tiny_private-1.0.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("tiny_private.py", "SAYS = 'from the private index'\n")
    wheel.writestr("tiny_private-1.0.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-private\nVersion: 1.0.0\n")
    wheel.writestr("tiny_private-1.0.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: story\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("tiny_private-1.0.0.dist-info/RECORD", "")
WHEEL

git_token=ghp_realrealrealrealrealrealrealreal5678 npm_token=npm_realrealrealrealrealrealrealreal9012 pip_token=pypi-realrealrealrealrealrealrealreal3456
cat >"$WORK/outside.mjs" <<'SERVER'
import {createServer} from 'node:https';
import {createSecureContext} from 'node:tls';
import {spawn} from 'node:child_process';
import {readFileSync, appendFileSync} from 'node:fs';
import {createHash} from 'node:crypto';
const [address, folder, backend, ...tokens] = process.argv.slice(2);
const pair = (name) => ({cert: readFileSync(`${folder}/${name}.outside.test.crt`), key: readFileSync(`${folder}/${name}.outside.test.key`)});
const basic = (text) => 'Basic ' + Buffer.from(text).toString('base64');
const takes = {git: basic(`x-access-token:${tokens[0]}`), npm: `Bearer ${tokens[1]}`, pip: basic(`__token__:${tokens[2]}`)};
const tarball = readFileSync(`${folder}/tiny-private-1.0.0.tgz`);
const wheel = readFileSync(`${folder}/tiny_private-1.0.0-py3-none-any.whl`);

function git(request, response, url) {
	const child = spawn(backend, {env: {GIT_PROJECT_ROOT: folder, GIT_HTTP_EXPORT_ALL: '1', PATH: process.env.PATH, PATH_INFO: url.pathname,
		QUERY_STRING: url.search.slice(1), REQUEST_METHOD: request.method, CONTENT_TYPE: request.headers['content-type'] ?? '',
		HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '', GIT_PROTOCOL: request.headers['git-protocol'] ?? '', REMOTE_USER: 'story',
		GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'safe.directory', GIT_CONFIG_VALUE_0: '*'}});
	const said = [];
	request.pipe(child.stdin);
	child.stdin.on('error', () => {});
	child.stdout.on('data', (piece) => said.push(piece));
	child.on('close', () => {
		const all = Buffer.concat(said), end = all.indexOf('\r\n\r\n');
		for (const line of all.subarray(0, end).toString().split('\r\n')) {
			const [name, value] = line.split(': ');
			name === 'Status' ? response.statusCode = parseInt(value, 10) : response.setHeader(name, value);
		}
		response.end(all.subarray(end + 4));
	});
}

function npm(request, response, url) {
	if (url.pathname.endsWith('.tgz'))
		return void response.end(tarball);
	const dist = {tarball: 'https://npm.outside.test/tiny-private/-/tiny-private-1.0.0.tgz', integrity: 'sha512-' + createHash('sha512').update(tarball).digest('base64')};
	response.setHeader('content-type', 'application/json');
	response.end(JSON.stringify({name: 'tiny-private', 'dist-tags': {latest: '1.0.0'}, versions: {'1.0.0': {name: 'tiny-private', version: '1.0.0', dist}}}));
}

function pip(request, response, url) {
	if (url.pathname.endsWith('.whl'))
		return void response.end(wheel);
	response.setHeader('content-type', 'text/html');
	response.end('<!DOCTYPE html><a href="/files/tiny_private-1.0.0-py3-none-any.whl">tiny_private-1.0.0-py3-none-any.whl</a>');
}

const answers = {git, npm, pip};
createServer({...pair('git'), SNICallback: (name, done) => done(null, createSecureContext(pair(name.split('.')[0])))}, (request, response) => {
	const url = new URL(request.url, 'https://outside.test'), name = request.headers.host.split('.')[0], said = request.headers.authorization;
	appendFileSync(`${folder}/outside.log`, `${name} ${request.method} ${request.url} ${said === takes[name] ? 'real' : said ? 'another' : 'none'}\n`);
	if (said === takes[name])
		return void answers[name](request, response, url);
	response.writeHead(401, {'www-authenticate': name === 'npm' ? 'Bearer' : 'Basic realm="private"'}).end('who are you?\n');
}).listen(443, address, () => console.log('listens'));
SERVER
: >"$WORK/outside.log"
outside_start outside node "$WORK/outside.mjs" "$outside_address" "$WORK" "$backend" "$git_token" "$npm_token" "$pip_token"

mkdir "$WORK/app"
cat >"$WORK/app/assay.yaml" <<'BLUEPRINT'
version: 1
name: tokens
services:
  web: {run: "sleep 100000"}
secrets:
  GIT_TOKEN: git
  NPM_TOKEN: npm
  PIP_TOKEN: pip
egress:
  rules:
    - {host: "*.outside.test", action: allow}  # on 443: on other ports a client that says nothing for 300 ms is let through as it is, and git reads certificates first
BLUEPRINT
repository "$WORK/app"
cd "$WORK/app" || exit 1
serve_start || { tap_line 'not ok' 'the server starts'; sed 's/^/# /' "$WORK/serve.log"; exit 1; }
printf %s "$git_token" | "$ASSAY" secret set git --for '* https://git.outside.test/code.git/*' --in basic >/dev/null
printf %s "$npm_token" | "$ASSAY" secret set npm --for 'GET https://npm.outside.test/*' --in bearer >/dev/null
printf %s "$pip_token" | "$ASSAY" secret set pip --for 'GET https://pip.outside.test/*' --in basic >/dev/null
"$ASSAY" env up --name tokens >"$WORK/up.log" 2>&1 || { tap_line 'not ok' 'an environment comes up'; sed 's/^/# /' "$WORK/up.log"; exit 1; }
env=$(api GET /environments | jq -r '.items[] | select(.name == "tokens") | .id')
inside() { "$ASSAY" env exec "$env" -- sh -c "$1" 2>&1; }
real_only() { is "$1" "$(awk -v who="$2" '$1 == who && $4 == "real"' "$WORK/outside.log" | wc -l | sed 's/^[1-9].*/some/') $(awk -v who="$2" '$1 == who && $4 == "another"' "$WORK/outside.log" | wc -l)" 'some 0'; }

helper="git -c credential.helper= -c credential.helper='!f() { echo username=x-access-token; echo password=\$GIT_TOKEN; }; f' -c user.name=a -c user.email=a@outside.test"
ok 'git clones with a token, from a helper' inside "$helper clone -q https://git.outside.test/code.git /tmp/code"
ok 'it commits' inside "cd /tmp/code && echo more >more.txt && git add more.txt && $helper commit -qm 'from a sandbox'"
ok 'and pushes' inside "cd /tmp/code && $helper push -q origin HEAD:refs/heads/work"
is 'what was pushed is there' "$(git -C "$WORK/code.git" log -1 --format=%s work)" 'from a sandbox'
ok 'a token in the address of a remote will do as well' inside "git ls-remote \"https://x-access-token:\$GIT_TOKEN@git.outside.test/code.git\" refs/heads/work"
real_only 'git was known by the real token, and by no other' git
like 'a repository that the token is not for does not get it' "$(inside "git ls-remote \"https://x-access-token:\$GIT_TOKEN@git.outside.test/other.git\"")" '403'
# shellcheck disable=SC2016 # for npm, and for the shell inside
ok 'npm installs with a token, from its .npmrc' inside 'mkdir /tmp/npm && cd /tmp/npm && echo "{}" >package.json &&
	printf "registry=https://npm.outside.test/\n//npm.outside.test/:_authToken=\${NPM_TOKEN}\n" >.npmrc && npm install --no-audit --no-fund --fetch-retries=0 tiny-private'
is 'what it brought runs' "$(inside 'cd /tmp/npm && node -p "require(\"tiny-private\")"')" 'from the private registry'
real_only 'npm was known by the real token, and by no other' npm
if inside "$python -m pip --version" >/dev/null; then
	ok 'pip installs with a token, from its index' inside "$python -m pip install -q --no-deps --retries 0 --target /tmp/pip --index-url \"https://__token__:\$PIP_TOKEN@pip.outside.test/simple/\" tiny-private"
	is 'what it brought runs' "$(inside "cd /tmp/pip && $python -c 'import tiny_private; print(tiny_private.SAYS)'")" 'from the private index'
	real_only 'pip was known by the real token, and by no other' pip
fi
is 'no real token is in the sandbox' "$(inside 'env; cat /proc/[0-9]*/environ; grep -rahs "real""real" /tmp /root /home /workspace 2>/dev/null; true' | grep -acF -e "$git_token" -e "$npm_token" -e "$pip_token")" 0
is 'nor in the ledger' "$("$ASSAY" ledger export | grep -cF -e "$git_token" -e "$npm_token" -e "$pip_token")" 0
is 'which has a release for each' "$("$ASSAY" ledger search --limit 500 --kind release --json | jq -r '[.items[].detail] | unique | join(" ")' | sed 's/ pip$//')" 'git npm'

done_testing
