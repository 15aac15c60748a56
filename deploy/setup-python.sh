#!/bin/sh
# Makes a virtual environment and installs pinned requirements into it, by uv where it can be had, else by pip.
# Usage: setup-python.sh VENV [REQUIREMENTS]; without REQUIREMENTS it brings no more than uv.
# The Python: $PYTHON if set, else that of VENV, else the newest of 3.14 to 3.11 that can make a virtual environment.
set -eu
venv=$1
requirements=${2:-}
uv_requirements="$(dirname "$0")/../requirements-setup.txt"

say() { echo "setup: $*"; }

# A Python without ensurepip, such as Debian's without python3-venv, cannot make one.
can_make_venv='import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))'
usable() { "$1" -c "$can_make_venv" >/dev/null 2>&1; }
version() { "$1" -c 'import platform; print(platform.python_version())'; }

find_python() {
  for name in python3.14 python3.13 python3.12 python3.11 python3; do
    if usable "$name"; then
      echo "$name"
      return
    fi
  done
  echo "setup: no Python 3.11 to 3.14 that can make a virtual environment was found." >&2
  echo "setup: install one, on Debian or Ubuntu: apt-get install python3 python3-venv; or name one: PYTHON=/path make …" >&2
  return 1
}

if [ -n "${PYTHON:-}" ]; then
  usable "$PYTHON" || {
    say "PYTHON=$PYTHON is not a Python 3.11 to 3.14 that can make a virtual environment." >&2
    exit 1
  }
  python=$PYTHON
elif usable "$venv/bin/python"; then
  python=$venv/bin/python
else
  python=$(find_python)
fi

if usable "$venv/bin/python" && [ "$(version "$venv/bin/python")" = "$(version "$python")" ]; then
  say "Python $(version "$python"), in the environment $venv that is there"
else
  say "Python $(version "$python") ($(command -v "$python")), a new environment in $venv"
  [ ! -L "$venv" ] || rm "$venv" # what a link leads to is not ours to clear
  "$python" -m venv --clear "$venv"
fi

pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

pinned_uv=$(sed -n 's/^uv==\([^ ]*\).*/uv \1/p' "$uv_requirements")
has_uv() { case "$("$venv/bin/uv" --version 2>/dev/null)" in "$pinned_uv" | "$pinned_uv "*) return 0 ;; *) return 1 ;; esac; }
if ! has_uv; then
  say "$pinned_uv, the installer"
  pip install --quiet --require-hashes -r "$uv_requirements" || say "uv cannot be had here; pip does its work"
fi
[ -n "$requirements" ] || exit 0

say "$(grep -c '==' "$requirements") packages of $requirements"
if has_uv && sh "$(dirname "$0")/uv.sh" "$venv" pip install --python "$venv/bin/python" --require-hashes \
  --compile-bytecode -r "$requirements"; then
  exit 0
fi
pip install --require-hashes -r "$requirements"
