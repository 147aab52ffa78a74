#!/usr/bin/env bash
# Matrix Synapse from PyPI, for tests/real: in an environment of its own, because it pins what we use
# otherwise. tests/real/synapse_server.py makes a private homeserver in a folder, with SQLite and
# without federation. Synapse is AGPL-3: it is run here, not shipped.
# Usage: install.sh [DIR]   (default: venv beside this file; else set STOCKADE_SYNAPSE to DIR)
set -euo pipefail
dir=${1:-$(cd "$(dirname "$0")" && pwd)/venv}
python3 -m venv "$dir"
"$dir/bin/pip" install -q 'matrix-synapse==1.163.2'
