#!/bin/bash
# One run over PostgreSQL, a backup of it while it waits for a person, and its end on another state that keeps everything in a file.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/kill9.sh
. "$SOURCE_ROOT/tests/scenarios/kill9.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"
# shellcheck source=tests/scenarios/postgres.sh
. "$SOURCE_ROOT/tests/scenarios/postgres.sh"

database_make

tiny_repository "$WORK/tiny"
export ASSAY_STORE=$STORE_URL
ok 'a server keeps runs and issues in PostgreSQL' serve_start
is 'no store is made in its state' "$(find "$ASSAY_STATE" -name 'assay.db*')" ''
read -r name base <<<"$(api POST /repositories "$(jq -n --arg path "$WORK/tiny" '{$path, revision: "HEAD"}')" | jq -r '"\(.name) \(.commit)"')"
run=$(api POST /runs "$(jq -n --arg repository "$name" --arg base "$base" '{$repository, $base, title: "Shout", body: "Add shout() to words.py."}')" | jq -r .id)
state_is() { [ "$(api GET "/runs/$run" 2>/dev/null | jq -r .state)" = "$1" ]; }
until_true 60 state_is turn
kill -KILL "$serve_pid"
wait "$serve_pid" 2>/dev/null
ok 'killed in the middle, it goes on at once' serve_start
until_true 120 state_is review
is 'the run is verified and waits for a person' "$(api GET "/runs/$run" | jq -r '"\(.state), \(.verdict)"')" 'review, verified'
is 'what happened to it is in PostgreSQL' "$(sql "SELECT count(*) > 10 FROM flow_event WHERE flow = '$run'")" t

# The database goes away under the server, and comes back.
database_stop
refusal=$(curl -s -D - -o /dev/null --max-time 60 --unix-socket "$ASSAY_STATE/run/serve.sock" --json "{\"repository\": \"$name\", \"title\": \"No\"}" http://assay/api/v1/runs)
like 'what cannot be kept is refused, and may be sent again' "$refusal" '503.*Retry-After'
like 'without its store the server says so' "$("$ASSAY" runs 2>&1)" 'the store'
database_start
answers() { api GET /runs >/dev/null; }
ok 'when the store is back, so is the server' until_true 60 answers
ok 'what a database that was killed had not written yet is done again' until_true 60 state_is review

ok 'a backup is made while the server runs' "$ASSAY" backup "$WORK/all.tar"
is 'only its owner reads it' "$(stat -c %a "$WORK/all.tar")" 600
serve_stop
unset ASSAY_STORE
like 'a state that holds something is left alone' "$("$ASSAY" restore "$WORK/all.tar" 2>&1)" 'is there already'
export ASSAY_STATE=$WORK/other
ok 'it is restored into an empty state, whose store is a file' "$ASSAY" restore "$WORK/all.tar"
ok 'a server starts on it' serve_start
is 'the run waits there, too' "$(api GET "/runs/$run" | jq -r '"\(.state), \(.verdict)"')" 'review, verified'
like 'its record has a good signature' "$("$ASSAY" record verify "$run" 2>&1)" 'signature|verified'
api POST "/pulls/$(api GET "/runs/$run" | jq -r .pull)/merge" '{}' >/dev/null
until_true 60 state_is 'done'
is 'it is merged and done there' "$(api GET "/runs/$run" | jq -r .state)" 'done'
serve_stop
comes 'nothing is left of it' '' left_behind

done_testing
