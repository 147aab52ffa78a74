#!/usr/bin/env bash
# Installs what `make test-real` needs, from Debian and PyPI only: each tests/servers/*/install.sh in
# turn. Repeat: harmless.
#
# Exit code 0: all is installed, or this machine cannot have it (no root, no apt-get, another system than
# Debian 12 or later, a mirror or PyPI that does not answer). That is said loudly, and the tests that need
# it say so once more when they are skipped. Exit code 1: an installation that should have worked did not:
# a package that is not there, a script with a fault. That is ours to mend, so a gate must not pass by it.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
OUTAGE='Temporary failure resolving|Could not resolve|Name or service not known|Network is unreachable'
OUTAGE+='|Could not connect|Unable to connect|Connection (refused|reset|timed out|failed|broken)'
OUTAGE+='|Failed to fetch|Hash Sum mismatch|Mirror sync in progress|Cannot initiate the connection'
OUTAGE+='|NewConnectionError|ConnectTimeoutError|ReadTimeoutError|Read timed out|ProxyError|ProtocolError'

skip_all() {
  echo "NOTHING IS INSTALLED: $1; what is here already is used, and the rest is not proved" >&2
  exit 0
}

[ "$(id -u)" = 0 ] || skip_all "not root"
command -v apt-get >/dev/null && command -v dpkg >/dev/null || skip_all "no apt-get"

# A mirror that stalls is told by apt itself, long before the time for a script is up.
export APT_CONFIG=${APT_CONFIG:-$here/apt.conf}
if ! { dpkg -s request-tracker5 nftables iproute2 && dpkg -s python3-venv; } >/dev/null 2>&1; then
  log=$(mktemp)
  if ! timeout 300 apt-get update -q >"$log" 2>&1 || grep -Eq "$OUTAGE" "$log"; then
    echo "apt-get update FAILED: Debian packages may be missing. The end of what it said:" >&2
    tail -n 3 "$log" >&2
  fi
  rm -f "$log"
  apt-cache show request-tracker5 >/dev/null 2>&1 \
    || skip_all "apt knows no request-tracker5: a mirror that does not answer, or no Debian 12 or later"
fi

faults=0
for script in "$here"/*/install.sh; do
  name=$(basename "$(dirname "$script")")
  log=$(mktemp)
  if timeout 600 bash "$script" >"$log" 2>&1; then
    echo "installed: $name"
  elif grep -Eq "$OUTAGE" "$log"; then
    echo "NOT INSTALLED, a mirror did not answer: $name; its tests prove nothing here. The end of its log:" >&2
    tail -n 5 "$log" >&2
  else
    echo "FAULT: $name could not be installed, and no outage explains it. The end of its log:" >&2
    tail -n 15 "$log" >&2
    faults=$((faults + 1))
  fi
  rm -f "$log"
done
[ "$faults" = 0 ]
