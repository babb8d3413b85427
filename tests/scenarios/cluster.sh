# A server whose environments are on a cluster: the scripted API server of tests/kubernetes, whose kubelet of tests runs pods as processes of this
# machine. Sourced after serve.sh; by serve.sh itself where a story is told again on a cluster (ASSAY_TEST_PROVIDER=kubernetes).
# shellcheck shell=bash
# shellcheck disable=SC2154

[ "$(id -u)" = 0 ] || skip_all 'needs root: the kubelet of tests starts containers'
[ -d "$SOURCE_ROOT/tests/kubernetes/node_modules/@kubernetes/client-node" ] || skip_all 'no @kubernetes/client-node: npm ci in tests/kubernetes brings it'

# The API server: says where it is in its first line, and ends with the descriptor that we hold.
exec {cluster_life}> >(UNTIL_STDIN_ENDS=1 exec node "$SOURCE_ROOT/tests/kubernetes/api.mjs" >"$WORK/api" 2>"$WORK/api.log")
at_end "exec $cluster_life>&-"
at_end serve_stop # before that
until_true 20 test -s "$WORK/api"
API=$(head -n 1 "$WORK/api")
# cluster WHAT [JSON]: tells the server something, or asks it.
cluster() { curl --silent --show-error --fail-with-body --data "${2:-{\}}" "$API/_/$1"; }
chmod 755 "$WORK"
cluster set "$(jq -n --arg base "$WORK/node" --arg assay "$ASSAY" '{kubelet: {base: $base, programs: {"assay:test": $assay}}}')" >/dev/null
# No verb but those of the roles that are shipped. CLUSTER_SNAPSHOTS: databases are cloned by the cluster's storage.
role=$(cd "$SOURCE_ROOT/tests/kubernetes" && node --input-type=module -e "import {loadAll} from 'js-yaml'; import {readFileSync} from 'node:fs';
	const rules = file => loadAll(readFileSync('../../deploy/kubernetes/' + file, 'utf8'))[0].rules;
	console.log(JSON.stringify({rules: [...rules('clusterrole.yaml'), ...process.env.CLUSTER_SNAPSHOTS ? rules('snapshots.yaml') : []]}))")
# Said only when it fails: a story that starts itself again in namespaces of its own comes here twice.
cluster set "$role" >/dev/null || { tap_line 'not ok' 'the cluster lets us do what deploy/kubernetes/clusterrole.yaml says, and no more'; exit 1; }
if [ -n "${CLUSTER_SNAPSHOTS:-}" ]; then
	cluster set '{"snapshot_class": "fast"}' >/dev/null
	export ASSAY_KUBERNETES_SNAPSHOT_CLASS=fast
fi
cat >"$WORK/kubeconfig" <<END
clusters: [{name: c, cluster: {server: '$API'}}]
users: [{name: u, user: {}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
END
export KUBECONFIG=$WORK/kubeconfig ASSAY_PROVIDER=kubernetes ASSAY_KUBERNETES_LISTEN=127.0.0.1:0 ASSAY_KUBERNETES_ASSAY_IMAGE=assay:test

# spaces: the namespaces of environments that are there, one a line.
spaces() { cluster state | jq -r '.objects[] | select(.path | startswith("/namespaces//assay-")) | .path'; }

