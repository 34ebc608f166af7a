#!/bin/sh
# The browser for the tests of the chat page: found, or installed from Debian's packages where we may.
set -eu
for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
    exit 0
fi
echo "The tests of the chat page need Chromium: install it (apt-get install chromium), or set SKIP_BROWSER=1." >&2
[ -n "${SKIP_BROWSER:-}" ]
