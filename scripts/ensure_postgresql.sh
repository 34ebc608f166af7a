#!/bin/sh
# PostgreSQL's server for the tests of many machines: found, or installed from Debian's packages where we may.
set -eu
for folder in /usr/lib/postgresql/*/bin; do
    if [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ]; then exit 0; fi
done
if command -v initdb >/dev/null 2>&1 && command -v postgres >/dev/null 2>&1; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get update -qq
    # The server alone: no cluster of its own is made or started.
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] ||
        echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o Dpkg::Options::=--force-confold postgresql >/dev/null
    exit 0
fi
echo "The tests of many machines need PostgreSQL: install it (apt-get install postgresql), or set SKIP_POSTGRES=1." >&2
[ -n "${SKIP_POSTGRES:-}" ]
