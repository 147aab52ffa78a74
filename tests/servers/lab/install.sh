#!/usr/bin/env bash
# Network namespaces and nftables for tests/real/test_real_lab.py.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
apt-get install -y -q --no-install-recommends nftables iproute2
