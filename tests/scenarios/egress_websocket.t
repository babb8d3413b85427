#!/bin/bash
# WebSockets on the way out: item 50 of the attacks, with the answer each must get (tests/egress/websocket.py). The gateway and the vault are real,
# both ends are scripted.
. "${SOURCE_ROOT:?the repository}/tests/egress/stage.sh"
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP a network namespace with nftables needs root"; exit 0; }
stage_run /usr/bin/python3 -W ignore "$SOURCE_ROOT/tests/egress/websocket.py"
code=$?
[ "$code" = 77 ] && { echo "1..0 # SKIP a network namespace with nftables needs root, ip and nft"; exit 0; }
exit "$code"
