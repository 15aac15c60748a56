"""Shell commands that check a bundle without this server: with our checker, or with openssl, tar, zstd and sha256sum.

Readers run these commands, so every name is quoted for the shell. A block is one command and prints its last line only
if every check passed. sed and awk read the manifest; no JSON tool is needed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from bundles.models import Bundle

FOLDER = "unpacked"
_PLAIN = re.compile(r"[ !#-\[\]-~]*")  # what JSON writes as it is

PSS = r"""-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:max \
  -sigopt rsa_mgf1_md:sha256 -signature ../signature.bin manifest.json"""
# The signer's field comes after those of co-signers, so the last match is the right one.
SIGNATURE = r"""sed 's/.*"signature":"\([A-Za-z0-9+/=]*\)".*/\1/' manifest.sig \
  | openssl base64 -d -A > ../signature.bin"""
COUNTED = r"""test "$(wc -l < ../sums)" -eq $(sed 's/.*"file_count":\([0-9]*\).*/\1/' manifest.json)"""
WHOLE = (
    r"""{ grep -q '"complete":true' manifest.json || echo "It is partial: manifest.json lists what is missing."; }"""
)
# The path and SHA-256 of each file in the form that sha256sum -c reads. In a string of the manifest a quote is written
# \", so no text in it can look like these two fields.
PLAIN_SUMS = r"""grep -o '"path":"[^"]*","sha256":"[0-9a-f]*"' manifest.json \
  | sed 's/^"path":"\(.*\)","sha256":"\(.*\)"$/\2  \1/' > ../sums"""
# The same for names with characters that JSON escapes, such as \" or \u0434: awk converts them to UTF-8.
CODED_SUMS = r"""LC_ALL=C awk '
  function hex(s,  i, n) {
    n = 0; for (i = 1; i <= 4; i++) n = n * 16 + index("0123456789abcdef", substr(s, i, 1)) - 1
    return n }
  function tail(c, by) { return sprintf("%c", 128 + int(c / by) % 64) }
  function utf8(c) {
    if (c < 128) return sprintf("%c", c)
    if (c < 2048) return sprintf("%c", 192 + int(c / 64)) tail(c, 1)
    if (c < 65536) return sprintf("%c", 224 + int(c / 4096)) tail(c, 64) tail(c, 1)
    return sprintf("%c", 240 + int(c / 262144)) tail(c, 4096) tail(c, 64) tail(c, 1) }
  function text(s,  out, c) {
    out = ""
    while (match(s, /\\(u....|.)/)) {
      out = out substr(s, 1, RSTART - 1); c = substr(s, RSTART + 1, RLENGTH - 1); s = substr(s, RSTART + RLENGTH)
      if (length(c) < 5) { out = out c; continue }
      c = hex(substr(c, 2))
      if (c >= 55296 && c < 56320) { c = 65536 + (c - 55296) * 1024 + hex(substr(s, 3, 4)) - 56320; s = substr(s, 7) }
      out = out utf8(c) }
    return out s }
  { while (match($0, /"path":"([^"\\]|\\.)*","sha256":"[0-9a-f]*"/)) {
      part = substr($0, RSTART + 8, RLENGTH - 9); $0 = substr($0, RSTART + RLENGTH); cut = length(part) - 64
      print substr(part, cut + 1) "  " text(substr(part, 1, cut - 12)) } }' manifest.json > ../sums"""


@dataclass(frozen=True)
class OfflineCheck:
    """The commands for one bundle.

    Attributes:
        key_file: the file name of the signer's public key when it is downloaded here.
        program: with our checker, from a copy of this project.
        by_hand: with standard tools only.
        download: how a script downloads the file and its manifest, and requests a verification.
    """

    key_file: str
    program: str
    by_hand: str
    download: str


def key_file(key_id: str) -> str:
    """The file name of a downloaded public key."""
    return f"orchestrator_key_{key_id[:16]}.pem"


def commands_for(bundle: Bundle, paths: Iterable[str], site: str) -> OfflineCheck:
    """The commands for a bundle.

    Args:
        bundle: the bundle.
        paths: the member paths in its manifest.
        site: this server's address without a trailing slash.
    """
    name, key = shlex.quote(_argument(bundle.name)), key_file(bundle.key_id)
    return OfflineCheck(
        key_file=key,
        program=f"python3 tools/verify_bundle.py {name} --key {key}",
        by_hand=_by_hand(bundle, key, plain=all(_PLAIN.fullmatch(path) for path in paths)),
        download=_download(bundle, site),
    )


def _by_hand(bundle: Bundle, key: str, *, plain: bool) -> str:
    name = shlex.quote(_argument(bundle.name))
    unpack = f"tar -xzf {name}" if bundle.compression == "gzip" else f"tar --zstd -xf {name}"
    steps = (
        f'test "$(sha256sum < {name} | cut -c 1-64)" = {bundle.sha256}',
        f'test "$(openssl pkey -pubin -in {key} -outform DER | sha256sum | cut -c 1-64)" = {bundle.key_id}',
        f"mkdir {FOLDER} && {unpack} -C {FOLDER} && cd {FOLDER}",
        SIGNATURE,
        f"openssl dgst -sha256 -verify ../{key} {PSS}",
        PLAIN_SUMS if plain else CODED_SUMS,
        "sha256sum --check --strict --quiet ../sums",
        'test "$(find . ! -type d | wc -l)" -eq "$(($(wc -l < ../sums) + 2))"',
        COUNTED,
        WHOLE,
        'echo "Every check holds."',
    )
    return "(" + " &&\n".join(steps) + ")"  # a subshell, so that the reader's shell stays in its folder


def _download(bundle: Bundle, site: str) -> str:
    address, token = f"{site}/bundles/{bundle.bundle_id}", '-H "Authorization: Token $ORCH_TOKEN"'
    return "\n".join(
        (
            f"curl -C - -OJ {shlex.quote(address + '/download')} {token}",
            f"curl {shlex.quote(address + '/manifest')} {token}",
            f"curl -X POST {shlex.quote(address + '/verify')} {token}",
        )
    )


def _argument(name: str) -> str:
    """A file name that no tool interprets as an option."""
    return f"./{name}" if name.startswith("-") else name
