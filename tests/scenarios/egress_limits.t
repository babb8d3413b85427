# Items 69 and 70 of the attacks on the way out: kills, descriptors and memory (tests/egress/limits.py). The gateway and the vault are real, both
# ends are scripted; all have few descriptors.
. "${SOURCE_ROOT:?the repository}/tests/egress/stage.sh"
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP a network namespace with nftables needs root"; exit 0; }
ulimit -n 300
stage_run /usr/bin/python3 -W ignore "$SOURCE_ROOT/tests/egress/limits.py"
code=$?
[ "$code" = 77 ] && { echo "1..0 # SKIP a network namespace with nftables needs root, ip and nft"; exit 0; }
exit "$code"
