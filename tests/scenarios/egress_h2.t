# HTTP/2 on the way out: what works, and items 6, 23, 31, 37 to 39, 48, 51 and 53 of the attacks as far as they are about it, with the answer each must
# get (tests/egress/h2.py). The gateway and the vault are real, both ends are scripted.
. "${SOURCE_ROOT:?the repository}/tests/egress/stage.sh"
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP a network namespace with nftables needs root"; exit 0; }
/usr/bin/python3 -c 'import hpack' 2>/dev/null || { echo "1..0 # SKIP needs python3-hpack"; exit 0; }
export STAGE_SECRET="echoed kx-REALREAL-7f3a-REALREAL-91b2-REALREAL *-https://h2.keys.test/* header:x-echo"
stage_run /usr/bin/python3 -W ignore "$SOURCE_ROOT/tests/egress/h2.py"
code=$?
[ "$code" = 77 ] && { echo "1..0 # SKIP a network namespace with nftables needs root, ip and nft"; exit 0; }
exit "$code"
