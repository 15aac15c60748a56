"""What people do without us, each with its best flags: shell pipelines, run as they would be typed.

Each peer leaves `out.tar.zst` and what else it makes in the given folder; `verify` checks all that `create` promised.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Peer:
    """One way to do it by hand.

    Attributes:
        name: shown in the table.
        create: shell script; $DATA is the folder with the evidence, $OUT an empty folder, $KEY a private key.
        verify: shell script, after `create`; empty where there is nothing to verify by.
        unpack: shell script that unpacks into $OUT/unpacked, with what checking it offers.
    """

    name: str
    create: str
    verify: str = ""
    unpack: str = ""


_SIGN = "openssl dgst -sha256 -sign $KEY -sigopt rsa_padding_mode:pss -out $OUT/sums.sig $OUT/sums"
_CHECK = "openssl dgst -sha256 -verify $PUB -sigopt rsa_padding_mode:pss -signature $OUT/sums.sig $OUT/sums >/dev/null"
_PACK = "tar -C $DATA -cf - files -C $OUT sums sums.sig | zstd -q -3 -T0 -o $OUT/out.tar.zst"
_UNPACK = "mkdir $OUT/unpacked && zstd -q -dc $OUT/out.tar.zst | tar -C $OUT/unpacked -xf -"
# Two at a time, each writing to a file of its own, since several writers to one pipe mix their lines.
_PARALLEL = """mkdir $OUT/parts && find files -type f -print0 |
xargs -0 -P 2 -n 64 sh -c 'openssl dgst -sha256 -r "$@" > $OUT/parts/$$' hash &&
sort $OUT/parts/* && rm -r $OUT/parts"""

PEERS = (
    Peer(
        "sha256sum, tar | zstd, sha256sum",
        create=f"""cd $DATA && find files -type f -print0 | xargs -0 sha256sum > $OUT/sums &&
{_SIGN} && {_PACK} && cd $OUT && sha256sum out.tar.zst > whole""",
        verify=f"""cd $OUT && sha256sum --quiet -c whole && {_CHECK} && {_UNPACK} &&
cd unpacked && sha256sum --quiet -c ../sums""",
    ),
    Peer(
        "openssl dgst in parallel, tar | zstd",
        create=f"""cd $DATA && {{ {_PARALLEL}; }} > $OUT/sums &&
{_SIGN} && {_PACK} && cd $OUT && openssl dgst -sha256 -r out.tar.zst > whole""",
        verify=f"""cd $OUT && openssl dgst -sha256 -r out.tar.zst | cmp - whole && {_CHECK} && {_UNPACK} &&
cd unpacked && {{ {_PARALLEL}; }} | cmp - ../sums""",
    ),
    Peer(
        "bare tar | zstd -3 -T2 (no proof)",
        create="tar -C $DATA -cf - files | zstd -q -3 -T2 -o $OUT/out.tar.zst",
        verify="zstd -q -dc $OUT/out.tar.zst > /dev/null",
        unpack=_UNPACK,
    ),
)


def run(script: str, *, data: Path, out: Path, key: Path, public: Path) -> None:
    """Run one script of a peer.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        check=True,
        env={
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "DATA": str(data),
            "OUT": str(out),
            "KEY": str(key),
            "PUB": str(public),
        },
    )
