#!/bin/sh
# Runs a virtual environment's uv against the registry that pip is configured for, which uv does not read by itself.
# Usage: uv.sh VENV ARGUMENTS…   Variables of uv that are set already win. uv never downloads a Python.
set -eu
venv=$1
shift

settings=$("$venv/bin/python" -m pip config list 2>/dev/null || true)
# The environment wins over the files, as with pip: its lines begin with `:env:`.
pip_setting() {
  for origin in :env:. install. global.; do
    value=$(printf '%s\n' "$settings" | sed -n "s/^$origin$1='\(.*\)'\$/\1/p")
    [ -z "$value" ] || break
  done
  printf '%s' "$value"
}

index=$(pip_setting index-url)
[ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
certificates=$(pip_setting cert)
[ -z "$certificates" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$certificates}"
more=""
for url in $(pip_setting extra-index-url); do
  case $url in file:*) ;; *) more="$more $url" ;; esac # a folder is no index to uv
done
# pip takes the best match of all indexes; the hashes decide what is accepted.
[ -z "$more" ] || export UV_INDEX="${UV_INDEX:-${more# }}" UV_INDEX_STRATEGY="${UV_INDEX_STRATEGY:-unsafe-best-match}"
export UV_PYTHON_DOWNLOADS=never
exec "$venv/bin/uv" "$@"
