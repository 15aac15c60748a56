"""Standard tools alone can open a bundle and check that it is authentic and complete."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.format_builders import SAMPLE, signer, written

FILES = SAMPLE | {
    "artifacts/a-4/ímynd með bili.dd": b"x" * 3_000_000,
    "artifacts/a-5/" + "n" * 250 + ".dat": b"beyond a ustar name",
    "artifacts/a-6/%5Cback 'quoted' $HOME": b"names that a shell would read",
}
SALT = 3072 // 8 - 32 - 2  # the largest that a key of 3,072 bits and SHA-256 leave room for (RFC 8017, 9.1.1)
PSS = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_mgf1_md:sha256", "-sigopt"]


@pytest.fixture(params=["zstd", "gzip"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with the bundle, the signer's public key, and the bundle unpacked by tar into `out`."""
    bundle = written(tmp_path / "bundle", FILES, compression=request.param, chunk_size=1_000_000).path
    (tmp_path / "pub.pem").write_bytes(signer().public_pem)
    (tmp_path / "out").mkdir()
    run(tmp_path, "tar", f"--{request.param}", "-xf", bundle.name, "-C", "out")
    return tmp_path


def run(room: Path, *command: str) -> str:
    return subprocess.run(command, cwd=room, check=True, capture_output=True).stdout.decode()


def shell(room: Path, script: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=room, check=False, capture_output=True)


def signature_checks(room: Path, salt: str) -> bool:
    decoded = shell(room, "jq -r .signature out/manifest.sig | base64 -d > sig")
    assert decoded.returncode == 0, decoded.stderr
    command = ["openssl", "dgst", "-sha256", "-verify", "pub.pem", *PSS, f"rsa_pss_saltlen:{salt}"]
    ended = subprocess.run(
        [*command, "-signature", "sig", "out/manifest.json"], cwd=room, check=False, capture_output=True
    )
    assert (ended.returncode == 0) is (b"Verified OK" in ended.stdout)
    return ended.returncode == 0


def test_tar_unpacks_exactly_the_members(room):
    found = {str(file.relative_to(room / "out")): file for file in (room / "out").rglob("*") if file.is_file()}
    assert set(found) == {*FILES, "manifest.json", "manifest.sig"}
    assert all(found[path].read_bytes() == data for path, data in FILES.items())


def test_the_compression_is_sound_to_its_own_tool_and_tar_sees_nothing_odd(room):
    if (room / "bundle").read_bytes().startswith(b"\x1f\x8b"):
        tested = shell(room, "gzip -t < bundle && gzip -dc < bundle | tar -tvf -")
    else:
        tested = shell(room, "zstd -q -t bundle && zstd -qdc < bundle | tar -tvf -")
    assert (tested.returncode, tested.stderr) == (0, b"")
    lines = tested.stdout.decode().splitlines()
    assert len(lines) == len(FILES) + 2
    assert all(line.startswith("-rw-r--r-- 0/0 ") for line in lines)


def test_a_damaged_file_is_noticed_by_the_compressions_own_tool(room):
    whole = (room / "bundle").read_bytes()
    (room / "bundle").write_bytes(whole[:200] + bytes([whole[200] ^ 0xFF]) + whole[201:])
    tool = "gzip -t < bundle" if whole.startswith(b"\x1f\x8b") else "zstd -q -t bundle"
    assert shell(room, tool).returncode != 0


@pytest.mark.parametrize("salt", ["max", str(SALT)])
def test_openssl_verifies_the_signature_over_the_manifest_as_it_is_stored(salt, room):
    assert signature_checks(room, salt)


def test_openssl_refuses_a_changed_manifest_another_salt_and_another_key(room):
    assert not signature_checks(room, "32")
    manifest = (room / "out/manifest.json").read_bytes()
    (room / "out/manifest.json").write_bytes(manifest.replace(b"incident-7", b"incident-8"))
    assert not signature_checks(room, "max")
    (room / "out/manifest.json").write_bytes(manifest)
    (room / "pub.pem").write_bytes(signer("other").public_pem)
    assert not signature_checks(room, "max")


def test_sha256sum_checks_every_file_against_a_list_made_by_jq(room):
    made = shell(room, "jq -r '.files[] | .sha256 + \"  \" + .path' out/manifest.json > sums")
    assert made.returncode == 0, made.stderr
    check = "cd out && sha256sum --strict -c ../sums"
    checked = shell(room, check)
    assert (checked.returncode, checked.stdout.count(b": OK\n")) == (0, len(FILES))
    with (room / "out/alerts.json").open("ab") as file:
        file.write(b" ")
    changed = shell(room, check)
    assert changed.returncode != 0
    assert b"alerts.json: FAILED" in changed.stdout


def test_chunks_are_checked_by_tail_head_and_sha256sum(room):
    program = '.files[] | select(.chunks) | .path as $p | .chunks[] | "\\(.offset) \\(.size) \\(.sha256) \\($p)"'
    rows = run(room, "jq", "-r", program, "out/manifest.json").splitlines()
    assert len(rows) == 3
    for row in rows:
        offset, size, sha256, path = row.split(" ", 3)
        script = f'tail -c +{int(offset) + 1} "out/$0" | head -c {size}| sha256sum'
        ended = subprocess.run(["bash", "-c", script, path], cwd=room, check=True, capture_output=True)
        assert ended.stdout.decode().split()[0] == sha256


def test_the_manifests_own_hashes_are_those_of_what_jq_makes_of_it(room):
    """`jq -cS` writes what the format calls canonical, as long as text is ASCII (`-a` where it is not)."""
    assert run(room, "jq", "-j", "-caS", ".", "out/manifest.json") == (room / "out/manifest.json").read_text()
    fields = json.loads((room / "out/manifest.json").read_bytes())
    programs = {
        "manifest_hash": "del(.manifest_hash)",
        "content_digest": "[.files[] | [.path, .size, .sha256]]",
    }
    for field, program in programs.items():
        ended = shell(room, f"jq -j -caS '{program}' out/manifest.json | sha256sum")
        assert ended.stdout.decode().split()[0] == fields[field]


def test_the_key_id_is_the_hash_of_the_public_key(room):
    ended = shell(room, "openssl pkey -pubin -in pub.pem -outform DER | sha256sum")
    key_id = ended.stdout.decode().split()[0]
    assert key_id == run(room, "jq", "-r", ".key_id", "out/manifest.sig").strip() == signer().key_id
