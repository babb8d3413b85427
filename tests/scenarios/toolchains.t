# Programs as they come from Debian speak HTTPS through the gateway with nothing set up but what every sandbox has: the bundle of authorities and
# the variables of environment_exec.c. Each must get an answer from ok.test and must not get one from evil.test.
. "${SOURCE_ROOT:?the repository}/tests/egress/stage.sh"
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP a network namespace with nftables needs root"; exit 0; }
stage_run bash "$SOURCE_ROOT/tests/egress/toolchains.sh"
code=$?
[ "$code" = 77 ] && { echo "1..0 # SKIP a network namespace with nftables needs root, ip and nft"; exit 0; }
exit "$code"
