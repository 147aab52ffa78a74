#!/usr/bin/env bash
# Request Tracker 5 of Debian 12, for tests/real: the program alone. The packages would also set up a
# database, a web server and a mail daemon: dbconfig-no-thanks and msmtp-mta stand in for them, and
# tests/real/rt_server.py makes a private instance in a folder. RT is GPL-2: it is run here, not shipped.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
printf '%s\n' \
  'request-tracker5 request-tracker5/install-cronjobs boolean false' \
  'request-tracker5 request-tracker5/handle-siteconfig-permissions boolean false' \
  | debconf-set-selections
apt-get install -y -q --no-install-recommends \
  request-tracker5 rt5-standalone rt5-db-sqlite dbconfig-no-thanks msmtp-mta
