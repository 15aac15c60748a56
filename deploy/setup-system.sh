#!/bin/sh
# Brings what the tests need from the system: a Chromium for the browser test, openssl and zstd for the
# "verify it yourself" lines, jq, strace to see what the reader does, systemd-analyze for the service units, pgbouncer for
# workers behind a pooling proxy (started by the tests on a port of their own). Installs with apt where that is possible,
# else names what is missing in one line and goes on: only the tests that use it fail.
set -eu
PATH="$PATH:/usr/sbin" # where Debian installs pgbouncer; not on every user's PATH

missing=""
browser="no"
for name in chromium-headless-shell chromium chromium-browser google-chrome; do
  command -v "$name" >/dev/null 2>&1 && browser="yes"
done
for tool in openssl zstd jq strace pgbouncer; do
  command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
command -v systemd-analyze >/dev/null 2>&1 || missing="$missing systemd"
[ -n "$missing" ] || [ "$browser" = "no" ] || exit 0

if command -v apt-get >/dev/null 2>&1 && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
  sudo=""
  [ "$(id -u)" = 0 ] || sudo="sudo -n"
  echo "setup: reading apt's lists of packages"
  $sudo apt-get -qq update >/dev/null || true
  if [ "$browser" = "no" ]; then # the headless one is smaller
    apt-cache show chromium-headless-shell >/dev/null 2>&1 && browser="chromium-headless-shell" || browser="chromium"
    missing="$missing $browser"
  fi
  echo "setup: apt installs$missing"
  # shellcheck disable=SC2086 # a list of words on purpose
  if DEBIAN_FRONTEND=noninteractive $sudo apt-get -qq install -y --no-install-recommends $missing >/dev/null; then
    exit 0
  fi
elif [ "$browser" = "no" ]; then
  missing="$missing chromium"
fi
echo "setup: for the tests, please install:$missing (on Debian or Ubuntu, as root: apt-get install$missing); going on without" >&2
