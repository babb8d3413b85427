#!/bin/bash
# Many environments of the example alive at once, all answering: 5, or 50 in `make check-long` (ASSAY_ENVS says another number).
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"

count=${ASSAY_ENVS:-5}
[ -z "${ASSAY_LONG:-}" ] || count=${ASSAY_ENVS:-50}

cp -r "$SOURCE_ROOT/examples/shop" "$WORK/shop"
repository "$WORK/shop"
cd "$WORK/shop" || exit 1
ok 'the server starts' serve_start

env_ids=() urls=()
from=$SECONDS
for ((i = 0; i < count; i++)); do
	"$ASSAY" env up --json >"$WORK/up.json" 2>"$WORK/up.log" || break
	env_ids+=("$(jq -r .id "$WORK/up.json")")
	urls+=("$(jq -r .preview "$WORK/up.json")")
done
is "$count environments are up" "${#urls[@]}" "$count" || sed 's/^/# /' "$WORK/up.log"
echo "# $count environments in $((SECONDS - from)) s"

# answering: how many of the previews answer a page made of rows from their own database.
answering() {
	local url answered=0
	for url in "${urls[@]}"; do
		[ "$(curl --silent --fail --max-time 20 "${url%/}/api/products" | jq '.items | length > 0' 2>/dev/null)" = true ] &&
			answered=$((answered + 1))
	done
	echo "$answered"
}
is 'all of them answer' "$(answering)" "$count"
is 'and all of them answer again' "$(answering)" "$count"

for id in "${env_ids[@]}"; do
	"$ASSAY" env down "$id" >/dev/null 2>&1 || tap_line 'not ok' "$id goes down"
done
is 'none is left' "$(api GET /environments | jq -c '.items')" '[]'
serve_stop
comes 'and nothing of them' '' left_behind

done_testing
