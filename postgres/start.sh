#!/bin/sh
# Makes the database `app` and its owner `app` once, sets the owner's password, and becomes PostgreSQL.
# Arguments go to PostgreSQL: start.sh -c max_connections=200. `start.sh new` makes the database for another major release
# beside the old one's data, and ends (docs/postgresql-upgrade.md).
set -eu
[ -n "${POSTGRES_PASSWORD:-}" ] || { echo "postgres: POSTGRES_PASSWORD is empty: give the password of the role app" >&2; exit 1; }
umask 077

# Runs statements, one a line, with the program itself, before it listens.
sql() {
  postgres --single -D "$1" -c exit_on_error=on -c log_checkpoints=off postgres > /dev/null
}

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  # (!) Without this check, another major release would start with an empty database beside the data.
  # Checked by: test_another_major_release_does_not_start_beside_the_data, test_the_page_upgrades_the_major_release
  for version in "${PGDATA%/*/*}"/*/docker/PG_VERSION; do
    [ ! -s "$version" ] || [ "${1:-}" = new ] || {
      echo "postgres: the volume has the data of PostgreSQL $(cat "$version"), and this is $PG_MAJOR: go back to postgres:$(cat "$version")" \
        "in POSTGRES_IMAGE, or follow docs/postgresql-upgrade.md" >&2
      exit 1
    }
  done
  # Makes the data beside the final place and moves them, so that an interruption leaves no half of a database.
  mkdir -p "$(dirname "$PGDATA")"
  rm -rf "$PGDATA.new"
  initdb --pgdata="$PGDATA.new" --username=postgres --encoding=UTF8 --locale-provider=builtin --locale=C.UTF-8 \
    --auth=reject --no-instructions > /dev/null
  sql "$PGDATA.new" <<EOF
CREATE ROLE app LOGIN
CREATE DATABASE app OWNER app
EOF
  rm -rf "$PGDATA"
  mv "$PGDATA.new" "$PGDATA"
  echo "postgres: made the database app"
fi
[ "${1:-}" != new ] || exit 0
# At each start, so that the password is the one in .env. After ./rotate, this role may not log in.
sql "$PGDATA" <<EOF
ALTER ROLE app PASSWORD '$(printf %s "$POSTGRES_PASSWORD" | sed "s/'/''/g")'
EOF
unset POSTGRES_PASSWORD
exec postgres -D "$PGDATA" -c config_file=/etc/stack-postgres/postgresql.conf "$@"
