#!/bin/bash
# A compose file of the usual kind: a web service of Express with PostgreSQL and Redis, its packages from npm, its table from a seed.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"
# shellcheck source=tests/scenarios/npm.sh
. "$SOURCE_ROOT/tests/scenarios/npm.sh"

npm_needed
cp -r "$SOURCE_ROOT/tests/scenarios/real/notes" "$WORK/notes"
cd "$WORK/notes" || exit 1
ok 'npm locks what it will install' npm install --package-lock-only --no-audit --no-fund
repository "$WORK/notes"

notes=$("$ASSAY" init 2>&1)
is 'init ends well' "$?" 0
printf '%s\n' "$notes" | sed 's/^/# /'
like 'the image is named, and replaced by what this machine has' "$(cat assay.yaml)" '# image: node:20-alpine'

# As a person would after reading it: the packages are installed once, before any fork, not at every start.
sed -i 's|run: .*npm start.*|run: npm start|' assay.yaml
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

is 'the preview answers rows of the seed, from PostgreSQL' \
	"$(curl --silent --max-time 20 "${preview}notes" | jq -c '[.from, .reads, (.notes | map(.body))]')" \
	'["postgres",1,["water the plants","call the dentist"]]'
is 'and from Redis when it is asked again' "$(curl --silent --max-time 20 "${preview}notes" | jq -c '[.from, .reads]')" '["redis",2]'
is 'a new note is kept' "$(curl --silent --max-time 20 --header 'content-type: application/json' --data '{"body": "sleep"}' \
	"${preview}notes" | jq -c .)" '{"id":3,"body":"sleep"}'
is 'by PostgreSQL' "$("$ASSAY" env query "$env" postgres 'SELECT body FROM notes WHERE id = 3' | tail -n 1)" sleep
is 'and the cache was dropped' "$(curl --silent --max-time 20 "${preview}notes" | jq -c '[.from, .reads]')" '["postgres",3]'
ok 'the environment goes down' "$ASSAY" env down "$env"

done_testing
