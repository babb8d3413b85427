#!/bin/bash
# A compose file of the usual kind, with five containers: init, what a person mends after reading its notes, up, votes through the preview.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"

/usr/bin/python3 -c 'import flask, redis, psycopg2' 2>/dev/null || skip_all 'needs python3-flask, python3-redis and python3-psycopg2'

cp -r "$SOURCE_ROOT/tests/scenarios/real/vote" "$WORK/vote"
repository "$WORK/vote"
cd "$WORK/vote" || exit 1

notes=$("$ASSAY" init 2>&1)
is 'init ends well' "$?" 0
printf '%s\n' "$notes" | sed 's/^/# /'
like 'what the images install is said, with the place to put it' "$notes" 'vote/Dockerfile:3: .*pip install.* workspace\.setup'
ok 'what it wrote is a blueprint' "$ASSAY" check
is 'three services and two databases' "$("$ASSAY" check --json | jq -c '[.services, .databases]')" '[["vote","result","worker"],["redis","db"]]'
repository "$WORK/vote" 'assay.yaml'

ok 'the server starts' serve_start
if "$ASSAY" env up --json >"$WORK/up.json" 2>"$WORK/up.log"; then tap_line ok 'the environment is up'; else
	tap_line 'not ok' 'the environment is up'
	sed 's/^/# /' "$WORK/up.log" "$WORK/up.json"
	exit 1
fi
env=$(jq -r .id "$WORK/up.json") preview=$(jq -r .preview "$WORK/up.json")

like 'the preview shows the ballot' "$(curl --silent --max-time 20 "$preview")" 'Tea or Coffee'
for vote in a a b; do
	curl --silent --max-time 20 --output /dev/null --data "vote=$vote" "$preview"
done

# counted: the three votes went through Redis and the worker into PostgreSQL.
counted() { [ "$("$ASSAY" env query "$env" db 'SELECT count(*) FROM votes' | tail -n 1)" = 3 ]; }
ok 'three votes arrive in PostgreSQL by way of Redis' until_true 60 counted
is 'the list in Redis is empty again' "$("$ASSAY" env query "$env" redis 'LLEN votes')" 0
is 'the result, asked by its name from another service' \
	"$("$ASSAY" env exec --in vote "$env" curl --silent http://result:4000/ | jq -c .)" '{"a":2,"b":1}'
like 'every call is in the record of what was exchanged' \
	"$(api GET "/environments/$env/exchanges?limit=500" | jq -r '[.items[] | "\(.from) \(.to) \(.proto)"] | unique | join(",")')" \
	'preview vote http.*result db postgres.*vote redis redis.*worker db postgres.*worker redis redis'
ok 'the environment goes down' "$ASSAY" env down "$env"

done_testing
