#!/bin/bash
# An application that nobody here wrote: unleash-server from npm, with the compose file its people publish the like of, and PostgreSQL.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"
# shellcheck source=tests/scenarios/npm.sh
. "$SOURCE_ROOT/tests/scenarios/npm.sh"

npm_needed
cp -r "$SOURCE_ROOT/tests/scenarios/real/unleash" "$WORK/unleash"
cd "$WORK/unleash" || exit 1
if [ "$(node --print 'process.versions.node.split(".")[0]')" -ge 22 ]; then sed -i 's/6\.10\.1/7.6.5/' package.json; fi
ok 'npm locks what it will install' npm install --package-lock-only --no-audit --no-fund
repository "$WORK/unleash"

# An image that nobody can look into is the one thing init cannot map: a person says how this machine runs it.
notes=$("$ASSAY" init 2>&1)
printf '%s\n' "$notes" | sed 's/^/# /'
like 'init says that the image has no command' "$notes" 'compose\.yaml:2: services\.web: .*command'
[ -f assay.yaml ] || sed -i 's|^    image: unleashorg.*|&\n    command: npm start|' compose.yaml
[ -f assay.yaml ] || ok 'with a command, init ends well' "$ASSAY" init
npm_setup assay.yaml
ok 'what it wrote is a blueprint' "$ASSAY" check
repository "$PWD" 'assay.yaml'

ok 'the server starts' serve_start
if "$ASSAY" env up --json >"$WORK/up.json" 2>"$WORK/up.log"; then tap_line ok 'the environment is up'; else
	tap_line 'not ok' 'the environment is up'
	sed 's/^/# /' "$WORK/up.log" "$WORK/up.json"
	exit 1
fi
env=$(jq -r .id "$WORK/up.json") preview=$(jq -r .preview "$WORK/up.json")

is 'the preview answers that it is healthy' "$(curl --silent --max-time 20 "${preview}health" | jq -c .)" '{"health":"GOOD"}'
like 'and shows its page' "$(curl --silent --max-time 20 "$preview")" '<title>Unleash'
like 'its tables are in the PostgreSQL of the environment' "$("$ASSAY" env query "$env" db "SELECT count(*) > 100 FROM migrations")" 't$'
login=$(curl --silent --max-time 20 --cookie-jar "$WORK/cookies" --header 'content-type: application/json' \
	--data '{"username": "admin", "password": "unleash4all"}' "${preview}auth/simple/login")
is 'a person signs in' "$(jq -r .username <<<"$login")" admin
curl --silent --max-time 20 --cookie "$WORK/cookies" --header 'content-type: application/json' --output /dev/null \
	--data '{"name": "dark-mode", "type": "release"}' "${preview}api/admin/projects/default/features"
is 'and makes a flag, which is a row' "$("$ASSAY" env query "$env" db "SELECT name FROM features" | tail -n 1)" dark-mode
ok 'the environment goes down' "$ASSAY" env down "$env"

done_testing
