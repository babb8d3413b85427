#!/bin/sh
# Every migration, in order; each can be applied again.
set -eu
for file in "$(dirname "$0")"/migrations/*.sql; do
	psql "$DB_URL" --no-psqlrc --quiet --set ON_ERROR_STOP=1 --single-transaction --file "$file"
done
