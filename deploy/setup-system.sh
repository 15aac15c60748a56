#!/bin/sh
# Installs what the tests need from the system: Chromium for the browser tests; openssl, zstd and jq for the
# "verify it yourself" commands; strace to watch system calls; systemd-analyze for the service units; pgbouncer for
# workers behind a pooling proxy (the tests start it on their own port). Uses apt where possible, else names what is
# missing in one line.
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
  $sudo apt-get -qq update >/dev/null || true
  if [ "$browser" = "no" ]; then # the headless one is smaller
    apt-cache show chromium-headless-shell >/dev/null 2>&1 && browser="chromium-headless-shell" || browser="chromium"
    missing="$missing $browser"
  fi
  # shellcheck disable=SC2086 # a list of words on purpose
  if DEBIAN_FRONTEND=noninteractive $sudo apt-get -qq install -y --no-install-recommends $missing >/dev/null; then
    exit 0
  fi
elif [ "$browser" = "no" ]; then
  missing="$missing chromium"
fi
echo "setup: please install:$missing (the tests that use them will fail, not skip)" >&2
