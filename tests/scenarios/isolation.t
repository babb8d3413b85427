# A program in a sandbox tries to get out, and to hurt what is outside; nothing comes of it.
. "${0%/*}/tap.sh"
: "${SANDBOX_DRIVER:?the test-only program}" "${ISOLATION_PROBE:?the test-only program}"

# sandbox OPTION… -- ARGV…: one program in a fresh sandbox.
sandbox() { timeout 120 "$SANDBOX_DRIVER" "$WORK/state" "$@"; }

# What must not be reachable: a port on the host's loopback, an abstract socket, a file of root's.
mkfifo "$WORK/ready"
python3 -c '
import socket, sys, time
tcp = socket.create_server(("127.0.0.1", 0))
unix = socket.socket(socket.AF_UNIX); unix.bind("\0" + sys.argv[1]); unix.listen()
open(sys.argv[2], "w").write(str(tcp.getsockname()[1]) + "\n")
time.sleep(600)' "assay-outside-$$" "$WORK/ready" &
server=$!
at_end "kill $server 2>/dev/null"
read -r port <"$WORK/ready"

echo secret >"$WORK/secret"
chmod 755 "$WORK"
# A user to whom no control groups are delegated has each process refused memory, instead of the sandbox ended.
refused=240
[ "$(id -u)" = 0 ] || refused=1

for user in 'the user' 'root of the room'; do
	[ "$user" = 'the user' ] && option=() || option=(--root)
	sandbox ${option[@]+"${option[@]}"} --volume work:/workspace -- sh -c "cat >/workspace/probe; chmod 755 /workspace/probe
		HOST_FILE=$WORK/secret HOST_PORT=$port HOST_SOCKET=assay-outside-$$ exec /workspace/probe" <"$ISOLATION_PROBE" >"$WORK/probe" 2>/dev/null
	is "every attempt is made, as $user" "$(grep -cE '^(not )?ok ' "$WORK/probe")" "$(sed -n 's/^1\.\.//p' "$WORK/probe")"
	while read -r line; do
		case $line in
		ok*) tap_line ok "refused to $user: ${line#*- }" ;;
		not*) tap_line 'not ok' "refused to $user: ${line#*- }" ;;
		esac
	done <"$WORK/probe"
done
ok 'nothing was written to the host' test ! -e /usr/bin/escaped-from-a-sandbox

if [ "${ASSAY_MOUNTED:-}" ]; then
	is 'what is mounted below folders of the host does not show' \
		"$(cat "$ASSAY_MOUNTED"; sandbox -- cat "$ASSAY_MOUNTED" /etc/hosts 2>/dev/null)" $'hidden\n127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback'
fi

# Bombs, beside a neighbour that must go on working.
timeout 300 "$SANDBOX_DRIVER" "$WORK/neighbour" -- sh -c 'while :; do date +%s%N; sleep 0.2; done' >"$WORK/beats" &
neighbour=$!
at_end "kill $neighbour 2>/dev/null; wait $neighbour 2>/dev/null"
ok 'a neighbour runs' until_true 60 test -s "$WORK/beats"

# lives WHAT: the neighbour has made progress since the last look.
lives() {
	local before
	before=$(wc -l <"$WORK/beats")
	ok "$1" until_true 60 eval "[ \$(wc -l <'$WORK/beats') -gt $before ]"
}

sandbox --pids 100 --timeout 4000 -- bash -c 'b() { b | b & }; b; b; sleep 100' >/dev/null 2>&1
lives 'a fork bomb does not stop the neighbour'

sandbox --memory 67108864 -- python3 -c 'x = bytearray(1 << 30)' 2>/dev/null
is 'a memory bomb ends by its own limit, and that is told' "$?" "$refused"
sandbox --memory 67108864 -- sh -c 'head -c 200M /dev/zero >/dev/shm/x' 2>/dev/null
is 'so does one that fills shared memory' "$?" "$refused"
lives 'a memory bomb does not stop the neighbour'

sandbox -- python3 -c '
import os, signal
for s in range(1, 65):
	try: signal.signal(s, signal.SIG_IGN)
	except (OSError, ValueError): pass
for i in range(20):
	if os.fork() == 0:
		os.setsid()
		if os.fork() == 0:
			while True: signal.pause()
		os._exit(0)
print("all children ignore every signal")'
is 'children that ignore every signal, in sessions of their own, do not keep a sandbox' "$?" 0
lives 'they do not stop the neighbour'

sandbox -- python3 -c '
import os
for i in range(20000): open("/tmp/" + str(i) + "x" * 200, "w").close()
os.mkdir("/tmp/a\nb"); os.chdir("/tmp/a\nb")
for i in range(4000): os.mkdir("d"); os.chdir("d")
f = open("/tmp/sparse", "w"); f.truncate(1 << 50) if False else f.truncate(1 << 40)'
is 'many files, odd names, a deep folder and a huge sparse file are no trouble' "$?" 0
sandbox -- true
is 'the next sandbox starts' "$?" 0
lives 'the neighbour still runs'

ok 'no mount of a sandbox is left on the host' eval "! grep -q '$WORK' /proc/self/mounts"
ok 'no cgroup is left' eval "! find /sys/fs/cgroup -maxdepth 5 -name \"assay-\$(printf %s '$WORK/state' | sha256sum | cut -c1-10)\" | grep -q ."
kill "$neighbour" 2>/dev/null
done_testing
