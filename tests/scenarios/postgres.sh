# A PostgreSQL of the scenario's own, as a store: one that is killed loses what was committed in its last ten seconds and not synced, as a
# busy one loses its last moments. Sourced after tap.sh.
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034

# PostgreSQL refuses root.
programs=$(dirname "$(compgen -G '/usr/lib/postgresql/*/bin/postgres' | tail -n 1)")
DATA=$(mktemp -d "${TMPDIR:-/tmp}/assay-pg-XXXXXX")
STORE_URL="postgres://assay@/assay?host=$DATA"
database_pid=
as_postgres() { if [ "$(id -u)" = 0 ]; then setpriv --reuid postgres --regid postgres --clear-groups -- "$@"; else "$@"; fi; }
[ "$(id -u)" != 0 ] || chown postgres: "$DATA"
database_start() {
	(cd "$DATA" && as_postgres "$programs/postgres" -D "$DATA/data" -k "$DATA" -c listen_addresses= -c fsync=off -c wal_writer_delay=10000 >>"$WORK/postgres.log" 2>&1) &
	database_pid=$!
	until_true 60 "$programs/pg_isready" -q -h "$DATA"
}
database_stop() {
	[ "$database_pid" ] || return 0
	[ -f "$DATA/data/postmaster.pid" ] && kill -QUIT "$(head -n 1 "$DATA/data/postmaster.pid")" 2>/dev/null
	wait "$database_pid" 2>/dev/null
	database_pid=
}
at_end 'rm -rf "$DATA"'
at_end database_stop

# database_make: starts it, with an empty store in it; says what is wrong and ends the test when it does not.
database_make() {
	as_postgres "$programs/initdb" -D "$DATA/data" -A trust -U assay -E UTF8 --locale=C.UTF-8 -N >"$WORK/initdb.log" 2>&1
	database_start || { tap_line 'not ok' 'PostgreSQL starts'; sed 's/^/# /' "$WORK"/*.log; exit 1; }
	as_postgres "$programs/createdb" -h "$DATA" -U assay assay
}

# sql TEXT: its answer, without ornaments.
sql() { as_postgres "$programs/psql" -h "$DATA" -U assay -qAtX assay -c "$1"; }
