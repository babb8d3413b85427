# Sourced: stage_run COMMAND…: runs it on the stage, with the hosts of origin.py outside; their authority is the operator's.
# shellcheck shell=bash
: "${STAGE_PROGRAM:?tests/contract/stage of the build}" "${SOURCE_ROOT:?the repository}"
EGRESS_NAMES="ok.test two.test a.ok.test selfsigned.test expired.test wrongname.test pinned.test paths.test h2.test h2.keys.test h2.pinned.test evil.test git.test pkg.test sockets.test rebind.test"

egress_authority() { # FOLDER
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=operator -keyout "$1/operator.key" \
		-out "$1/operator.pem" 2>/dev/null
}

stage_run() {
	local folder code
	folder=$(mktemp -d)
	egress_authority "$folder"
	# shellcheck disable=SC2086
	AUTHORITY=$folder timeout "${STAGE_SECONDS:-600}" "$STAGE_PROGRAM" --environment e1 --authorities "$folder/operator.pem" \
		${STAGE_SECRET:+--secret "$STAGE_SECRET"} \
		--before "exec /usr/bin/python3 -W ignore $SOURCE_ROOT/tests/egress/origin.py \$STAGE $EGRESS_NAMES" "$SOURCE_ROOT/tests/egress/routes.json" \
		$EGRESS_NAMES nobody.test private.test=10.9.9.9 mixed.test=10.9.9.9 mixed.test raced.test raced.test=127.0.0.2 -- "$@"
	code=$?
	rm -rf "$folder"
	return "$code"
}
