"""docs/bundle-format.md matches the code: error codes, example bytes, the commands for checking by hand."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from bundles.format.model.errors import CODES
from bundles.format.model.signing import SigningKey
from bundles.format.reading import tarheader
from bundles.format.writing.payload import Payload
from bundles.format.writing.writer import write_bundle

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "bundle-format.md").read_text(encoding="utf-8")


def test_every_code_is_listed_with_its_step_and_no_other():
    table = DOCUMENT.split("### Error codes")[1].split("Where nothing")[0]
    assert dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", table, re.MULTILINE)) == CODES


def test_the_example_header_is_the_one_that_is_written():
    header = tarheader.member_header("alerts.json", 1234)
    shown = dict(re.findall(r"^([0-9a-f]{4})  ((?:[0-9a-f]{2} ){15}[0-9a-f]{2})  ", DOCUMENT, re.MULTILINE))
    rows = {f"{at:04x}": header[at : at + 16].hex(" ") for at in range(0, 512, 16) if any(header[at : at + 16])}
    assert shown == rows


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_the_commands_for_checking_by_hand_accept_a_good_bundle_and_refuse_a_changed_one(
    compression, tmp_path, signing_key_pem
):
    (tmp_path / "key.pem").write_bytes(signing_key_pem)
    key = SigningKey.load(tmp_path / "key.pem")
    (tmp_path / "public.pem").write_bytes(key.public_pem())
    names = ("timeline.json", "alerts.json", "artifacts.json", "artifacts/a1/ímynd með bili.dd", "artifacts/a2/empty")
    payloads = []
    for number, name in enumerate(names):
        file = tmp_path / str(number)
        file.write_bytes(b"" if name.endswith("empty") else name.encode() * 50)
        payloads.append(Payload.of_file(name, file))
    bundle = tmp_path / "bundle.tar.gz" if compression == "gzip" else tmp_path / "bundle.tar.zst"
    write_bundle(bundle, incident_id="i-1", payloads=payloads, key=key, compression=compression)

    assert by_hand(bundle, tmp_path / "public.pem").returncode == 0
    assert by_hand(bundle, tmp_path / "public.pem", "sed -i s/i-1/i-2/ manifest.json").returncode != 0
    assert by_hand(bundle, tmp_path / "public.pem", "echo x >> alerts.json").returncode != 0
    assert by_hand(bundle, tmp_path / "public.pem", "touch artifacts/a1/extra").returncode != 0


def by_hand(bundle: Path, key: Path, meddle: str = "true") -> subprocess.CompletedProcess[bytes]:
    """Run the document's commands, with something done to the unpacked files in between."""
    script = re.search(r"```sh by-hand\n(.*?)```", DOCUMENT, re.DOTALL)
    assert script is not None
    commands = script[1].replace("cd by-hand\n", f"cd by-hand\n{meddle}\n")
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"rm -rf by-hand\n{commands}"],
        cwd=bundle.parent,
        env={**os.environ, "BUNDLE": str(bundle), "KEY": str(key)},
        capture_output=True,
        check=False,
    )
