# Hosts outside for a scenario: names that lead to this machine, for the server alone, and their certificates. Sourced after tap.sh and serve.sh; the
# story must be root and run in a mount namespace of its own (outside_alone).
# shellcheck shell=bash
# shellcheck disable=SC2154

# outside_alone "$0": the story again, in a mount namespace of its own: another /etc/hosts. A network of its own would have no sandboxes.
outside_alone() {
	[ "$(id -u)" = 0 ] || skip_all 'needs root: a name of the machine for the hosts outside'
	[ "${OUTSIDE_ALONE:-}" ] || OUTSIDE_ALONE=1 exec unshare --mount --propagation private bash "$1"
}

# outside_names NAME…: they lead to $outside_address, which the gateway may reach.
outside_names() {
	outside_address=127.62.$((RANDOM % 250 + 1)).$((RANDOM % 250 + 1))
	printf '127.0.0.1 localhost\n%s %s\n' "$outside_address" "$*" >"$WORK/hosts"
	mount --bind "$WORK/hosts" /etc/hosts
	at_end umount /etc/hosts
	export ASSAY_REACH=$outside_address
}

# outside_certificate NAME [AUTHORITY]: $WORK/NAME.crt and .key, signed by $WORK/AUTHORITY.pem, which is made: `operator` is the one that the gateway trusts.
outside_certificate() {
	local authority=${2:-operator}
	(
		cd "$WORK" || exit 1
		[ -e "$authority.pem" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$authority" \
			-keyout "$authority.key" -out "$authority.pem"
		printf 'subjectAltName=DNS:%s\n' "$1" >"$1.ext"
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr"
		openssl x509 -req -in "$1.csr" -CA "$authority.pem" -CAkey "$authority.key" -CAcreateserial -days 30 -extfile "$1.ext" -out "$1.crt"
	) 2>/dev/null
	export ASSAY_AUTHORITIES=$WORK/operator.pem
}

# outside_start NAME COMMAND…: runs until the end; returns when it has said `listens`. What it says is in $WORK/NAME.out.
outside_start() {
	local name=$1
	shift
	"$@" >"$WORK/$name.out" 2>&1 &
	at_end "kill $! 2>/dev/null"
	until_true 60 grep -q listens "$WORK/$name.out" || { cat "$WORK/$name.out"; skip_all "$name cannot listen"; }
}
