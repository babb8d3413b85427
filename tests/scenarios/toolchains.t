# Programs as they come from Debian (and deno from npm) speak HTTPS through the gateway with nothing set up but what every sandbox has: the bundle of authorities and
# the variables of environment_exec.c. Each must get an answer from ok.test and must not get one from evil.test.
. "${SOURCE_ROOT:?the repository}/tests/egress/stage.sh"
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP a network namespace with nftables needs root"; exit 0; }
# Debian has no deno, npm has: fetched for the long checks, and skipped aloud otherwise.
if [ -n "${ASSAY_LONG:-}" ] && ! command -v deno >/dev/null && command -v npm >/dev/null; then
	fetched=$(mktemp -d)
	trap 'rm -rf "$fetched"' EXIT
	timeout 300 npm install --silent --no-audit --no-fund --prefix "$fetched" deno@2.9.6 >/dev/null 2>&1
	PATH=$PATH:$fetched/node_modules/.bin
fi
stage_run bash "$SOURCE_ROOT/tests/egress/toolchains.sh"
code=$?
[ "$code" = 77 ] && { echo "1..0 # SKIP a network namespace with nftables needs root, ip and nft"; exit 0; }
exit "$code"
