#!/usr/bin/env bash
# Installs what `make test-real` needs, from Debian and PyPI only: each tests/servers/*/install.sh in
# turn. Repeat: harmless. As root only; what cannot be installed is said loudly, and its tests say so
# once more when they are skipped.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ "$(id -u)" != 0 ]; then
  echo "NOT ROOT: no server is installed; what is here already is used" >&2
  exit 0
fi
if ! { dpkg -s request-tracker5 nftables iproute2 && dpkg -s python3-venv; } >/dev/null 2>&1; then
  timeout 120 apt-get update -q >/dev/null 2>&1 || echo "apt-get update FAILED: Debian packages may be missing" >&2
fi
for script in "$here"/*/install.sh; do
  name=$(basename "$(dirname "$script")")
  log=$(mktemp)
  if timeout 600 bash "$script" >"$log" 2>&1; then
    echo "installed: $name"
  else
    echo "NOT INSTALLED: $name; its tests prove nothing here. The end of its log:" >&2
    tail -n 5 "$log" >&2
  fi
  rm -f "$log"
done
