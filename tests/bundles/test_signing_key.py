"""`generate_signing_key`: a usable key, readable only by its owner, trusted under its name, never overwritten."""

from __future__ import annotations

import hashlib
import io
import stat
import subprocess
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from bundles.format.model.errors import CannotWriteError
from bundles.keys import trusted_keys


@pytest.fixture
def places(tmp_path, settings) -> tuple[Path, Path]:
    settings.ORCH_SIGN_KEY_PATH = tmp_path / "keys" / "sign.pem"
    settings.ORCH_VERIFY_KEY_PATH = tmp_path / "keys" / "trusted"
    return settings.ORCH_SIGN_KEY_PATH, settings.ORCH_VERIFY_KEY_PATH


def generate(*arguments: str) -> str:
    said = io.StringIO()
    call_command("generate_signing_key", *arguments, stdout=said)
    return said.getvalue()


def openssl(*arguments: str) -> bytes:
    return subprocess.run(["openssl", *arguments], capture_output=True, check=True).stdout


def test_it_makes_an_rsa_4096_key_for_its_owner_alone_and_prints_the_id_that_openssl_gives(places):
    private, trusted = places
    said = generate("--name", "lab")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(private.parent.stat().st_mode) == 0o700
    assert b"4096 bit" in openssl("rsa", "-in", str(private), "-noout", "-text")
    public = trusted / "lab.pem"
    der = openssl("pkey", "-pubin", "-in", str(public), "-outform", "DER")
    assert der == openssl("pkey", "-in", str(private), "-pubout", "-outform", "DER")
    key_id = hashlib.sha256(der).hexdigest()
    assert key_id in said
    signing, name = trusted_keys.signing()
    assert (signing.key_id, name) == (key_id, "lab")
    assert "PRIVATE" not in said


def test_it_never_overwrites_a_key(places):
    private, trusted = places
    generate()
    before = private.read_bytes(), (trusted / "signer.pem").read_bytes()
    with pytest.raises(CommandError, match="never overwritten"):
        generate()
    with pytest.raises(CommandError, match="never overwritten"):
        generate("--name", "another")
    assert (private.read_bytes(), (trusted / "signer.pem").read_bytes()) == before
    assert [path.name for path in trusted.iterdir()] == ["signer.pem"]


def test_a_public_key_in_the_way_stops_it_before_anything_is_made(places):
    private, trusted = places
    trusted.mkdir(parents=True)
    (trusted / "signer.pem").write_text("somebody's key")
    with pytest.raises(CommandError, match=r"signer\.pem"):
        generate()
    assert not private.exists()


def test_a_public_half_that_cannot_be_written_leaves_no_private_half(places):
    """The public half, some 800 bytes, goes to a device that is always full."""
    private, trusted = places
    trusted.mkdir(parents=True)
    real = Path.open

    def on_a_full_device(self, *how, **more):
        return real(Path("/dev/full"), "wb") if how == ("xb",) else real(self, *how, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", on_a_full_device)
        with pytest.raises(CommandError, match="could not be written"):
            generate()
    assert not private.exists()
    generate()


@pytest.mark.parametrize("half", ["private", "public"])
def test_a_dangling_link_is_not_written_through(places, tmp_path, half):
    private, trusted = places
    trusted.mkdir(parents=True)
    link = private if half == "private" else trusted / "signer.pem"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CommandError, match="never overwritten"):
        generate()
    assert not (tmp_path / "elsewhere").exists()
    assert not private.exists()


@pytest.mark.parametrize("name", ["../other", "a/b", "", ".hidden"])
def test_a_name_that_is_no_plain_file_name_is_refused(places, name):
    private, _ = places
    with pytest.raises(CommandError, match="--name"):
        generate("--name", name)
    assert not private.exists()


def test_a_single_file_can_be_the_trusted_key(places, settings, tmp_path):
    settings.ORCH_VERIFY_KEY_PATH = tmp_path / "keys" / "verify.pem"
    generate()
    assert trusted_keys.signing()[1] == "verify"


def test_a_replaced_key_signs_from_then_on(places):
    private, _ = places
    generate("--name", "first")
    first, _ = trusted_keys.signing()
    assert trusted_keys.signing()[0] == first  # loaded once
    private.rename(private.with_name("retired.pem"))
    with pytest.raises(CannotWriteError, match="cannot be read"):
        trusted_keys.signing()
    generate("--name", "second")
    second, name = trusted_keys.signing()
    assert (second.key_id != first.key_id, name) == (True, "second")
