#!/bin/bash
# Environments kept ready on a cluster: the next one is there before anybody asks, with data of its own, which the cluster's storage cloned.
export CLUSTER_SNAPSHOTS=1
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"
# shellcheck source=tests/scenarios/cluster.sh
. "$SOURCE_ROOT/tests/scenarios/cluster.sh"

cp -r "$SOURCE_ROOT/tests/data/sqlite" "$WORK/kiosk"
repository "$WORK/kiosk"
cd "$WORK/kiosk" || exit 1
export ASSAY_WARM=true
ok 'a server starts that keeps environments ready' serve_start

began=$(date +%s%3N)
ok 'the first environment comes up' "$ASSAY" env up --name one
first=$(($(date +%s%3N) - began))
count() { spaces | wc -l; }
kept() { grep -c 'is kept ready' "$WORK/serve.log"; }
comes 'then another one is there' 1 kept
comes 'and a set of databases' 3 count
spaces >before
is 'nobody sees them' "$("$ASSAY" env list --json | jq -c '[.items[].name]')" '["one"]'

began=$(date +%s%3N)
ok 'the second environment comes up' "$ASSAY" env up --name two
echo "# in $(($(date +%s%3N) - began)) ms, and the first in $first ms"
id=$("$ASSAY" env show two --json | jq -r .id)
like 'it is the one that was there' "$(cat before)" "assay-$id-"
is 'its database is a clone of a snapshot' "$(cluster state | jq -r --arg id "$id" '[.objects[] | select(.path | startswith("/persistentvolumeclaims/assay-" + $id)) | .object.spec.dataSource.kind // empty] | unique | .[]')" VolumeSnapshot
url=$("$ASSAY" env url two)
like 'a visitor buys' "$(curl -s -H 'content-type: application/json' -d '{"item": 1, "count": 2, "buyer": "ann"}' "$url/sales")" '"sold": 2'
is 'which the first one knows nothing of' "$("$ASSAY" env query one db 'SELECT count(*) AS n FROM sales' --json 2>/dev/null | grep -o '[0-9]\+' | head -n 1)" 0

comes 'and the next one comes' 2 kept
# ready: the namespaces with a workspace that nobody sees.
ready() {
	local seen
	seen=$("$ASSAY" env list --json | jq -c '[.items[].id]')
	cluster state | jq -r --argjson seen "$seen" '.objects[].path | select(test("^/pods/.*/workspace$")) | split("/")[2] | select(split("-")[1] as $id | $seen | index($id) | not)'
}
like 'one is whole' "$(ready | tee before)" '^assay-[^ ]+$'
"$ASSAY" verify --repo . --base main --head main >verdict.txt 2>&1
like 'a verification' "$(cat verdict.txt)" 'verified'
is 'does not get it: it has run on meanwhile' "$(ready)" "$(cat before)"

for name in one two; do "$ASSAY" env down "$name" >/dev/null; done
serve_stop
comes 'nothing is left when the server has ended' '' spaces
# holders: of snapshots, one a line, each with its physical one.
holders() { cluster state | jq -r '.objects[].path | select(contains("/volumesnapshot"))'; }
one_each() { [ -n "$(holders)" ] && [ "$(holders | wc -l)" = "$(find "$WORK/node/snapshots" -mindepth 1 -maxdepth 1 | wc -l)" ]; }
ok 'but the snapshots of data' until_true 10 one_each

done_testing
