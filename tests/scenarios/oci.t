# Sandboxes made by an OCI runtime: the same walls, and nothing left behind by a kill -9 at any of its steps.
. "${0%/*}/tap.sh"
[ "$(id -u)" -eq 0 ] || skip_all 'OCI runtimes make sandboxes for root only'
: "${SANDBOX_DRIVER:?the test-only program}" "${ISOLATION_PROBE:?the test-only program}"

# by RUNTIME ARGUMENT…: one program in a fresh sandbox that the runtime makes.
by() {
	local runtime=$1
	shift
	ASSAY_RUNTIME=$runtime timeout 120 "$SANDBOX_DRIVER" "$WORK/state" "$@"
}

# What cannot be used is refused in one line, before anything is made.
refused() {
	is "$1 is refused in one line that says why" "$(by "$1" -- true 2>&1 | grep -v level=)" "sandbox_driver: $2"
}
refused runsc "the OCI runtime runsc cannot be used: its sockets are not the host kernel's, so the gateway could not hold them"
refused kata-runtime \
	"the OCI runtime kata-runtime cannot be used: its sockets are not the host kernel's, so the gateway could not hold them"
refused podman '`podman` is not an OCI runtime that is known here: expected runc, crun or a path'
refused /bin/echo '/bin/echo is not an OCI runtime that is known here: expected runc or crun'
refused /no/such/runc 'the OCI runtime /no/such/runc: cannot start /no/such/runc: No such file or directory'
said=$(bash "$SOURCE_ROOT/tests/as_user.sh" --bring "$SANDBOX_DRIVER" -- env ASSAY_RUNTIME=runc \
	bash -c 'exec "$0" "$HOME/state" -- true' "$SANDBOX_DRIVER" 2>&1)
if [ "$?" = 77 ]; then skip 'an ordinary user is refused' "$said"; else
	is 'an ordinary user is refused' "$said" \
		'sandbox_driver: an OCI runtime makes sandboxes only for root: leave --oci and ASSAY_RUNTIME out'
fi

runtimes=()
for runtime in runc crun; do
	if command -v "$runtime" >/dev/null && by "$runtime" -- true; then runtimes+=("$runtime"); else
		skip "sandboxes by $runtime" "it is not installed, or does not work here"
	fi
done

for runtime in ${runtimes[@]+"${runtimes[@]}"}; do
	for option in '' --root; do
		by "$runtime" $option --volume work:/workspace -- sh -c 'cat >/workspace/probe; chmod 755 /workspace/probe
			exec /workspace/probe' <"$ISOLATION_PROBE" >"$WORK/probe" 2>/dev/null
		is "$runtime: every attempt to get out is made${option:+ as root}" "$(grep -cE '^(not )?ok ' "$WORK/probe")" \
			"$(sed -n 's/^1\.\.//p' "$WORK/probe")"
		is "$runtime: each is refused" "$(grep '^not ok' "$WORK/probe")" ''
	done
done
[ "${#runtimes[@]}" -gt 0 ] || { done_testing && exit 0; }

# A runtime that stops before or after a step, so that it can be killed there with all that started it.
cat >"$WORK/slow" <<EOF
#!/bin/sh
hold() { case " \$args " in *" \$STEP "*) [ "\$1" = "\$WHEN" ] && { : >"$WORK/held"; sleep 100; } ;; esac; }
args="\$*" STEP=\$(cut -d' ' -f1 "$WORK/where") WHEN=\$(cut -d' ' -f2 "$WORK/where")
hold before
${runtimes[0]} "\$@"
code=\$?
hold after
exit \$code
EOF
chmod 755 "$WORK/slow"
prefix=assay-$(printf %s "$WORK/state" | sha256sum | cut -c 1-10)

# members: what runs in a cgroup of ours. Zombies do not: who has no father waits for pid 1 of the machine.
members() {
	local folder
	grep -ls "/$prefix/" /proc/[0-9]*/cgroup | while read -r folder; do
		grep -sq '^State:.[^Z]' "${folder%/*}/status" && cat "${folder%/*}/comm"
	done
}

for where in 'create before' 'create after' 'start before' 'start after'; do
	echo "$where" >"$WORK/where"
	rm -f "$WORK/held"
	by "$WORK/slow" -- true 2>/dev/null &
	killed=$!
	ok "it is held at: $where" until_true 60 test -e "$WORK/held"
	driver=$(pgrep -f "^$SANDBOX_DRIVER $WORK/state") keepers=$(pgrep -f "keeper --state $WORK/state ")
	# shellcheck disable=SC2086
	kill -9 $driver $keepers 2>/dev/null # the keeper and its mourner
	wait "$killed" 2>/dev/null
	# The one that went before is ended by the next start, which makes its own by our own code.
	is 'the next start works' "$(timeout 120 "$SANDBOX_DRIVER" "$WORK/state" -- echo works 2>"$WORK/err")" works
	is 'no process is left' "$(members)" ''
	is 'no cgroup is left' "$(find /sys/fs/cgroup -type d -name "$prefix" 2>/dev/null)" ''
	is 'no mount is left' "$(grep -ls "$WORK/state" /proc/[0-9]*/mountinfo)" ''
	is 'nothing of the sandbox is left' "$(find "$WORK/state" -path '*/rooms/*' 2>/dev/null)" ''
done
done_testing
