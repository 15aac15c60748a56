"""A folder of keys: every key counts, and anything that could be meant as a key but is not one is an error."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from bundles.format import KeyRing
from bundles.format.cli.cli import main
from bundles.format.model.errors import CannotCheckError
from tests.support.format_builders import SOUND, key_folder, signer, verdict


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    return key_folder(tmp_path / "trusted")


def put(path: Path, content: bytes | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(signer().public_pem if content is None else content)


def in_form(encoding: serialization.Encoding, form: serialization.PublicFormat) -> bytes:
    return signer().private.public_key().public_bytes(encoding, form)


def link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def link_to_key(path: Path, key: Path) -> None:
    """A link to a key's file or to its folder."""
    put(key)
    link(path, key if path.suffix else key.parent)


def pipe(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)


PKCS1 = serialization.PublicFormat.PKCS1
REVOKES: dict[str, Callable[[Path], object]] = {
    "the suffix in capitals": lambda keys: put(keys / "revoked/k.PEM"),
    "another suffix": lambda keys: put(keys / "revoked/k.pub"),
    "no suffix": lambda keys: put(keys / "revoked/k"),
    "a dot before the name": lambda keys: put(keys / "revoked/.k.pem"),
    "another encoding of the key": lambda keys: put(keys / "revoked/k.pem", in_form(serialization.Encoding.PEM, PKCS1)),
    "text around the key": lambda keys: put(keys / "revoked/k.pem", b"Stolen.\n" + signer().public_pem + b"\n"),
    "a link to the key": lambda keys: link_to_key(keys / "revoked/k.pem", keys.parent / "k.pem"),
    "a link to a folder": lambda keys: link_to_key(keys / "revoked", keys.parent / "gone/k.pem"),
}
UNREADABLE: dict[str, Callable[[Path], object]] = {
    "a folder in revoked": lambda keys: put(keys / "revoked/sub/k.pem"),
    "an empty folder in revoked": lambda keys: (keys / "revoked/sub").mkdir(parents=True),
    "revoked with a capital": lambda keys: put(keys / "Revoked/k.pem"),
    "revoked behind a dot": lambda keys: put(keys / ".revoked/k.pem"),
    "revoked with a suffix": lambda keys: put(keys / "revoked.old/k.pem"),
    "revoked as a dangling link": lambda keys: link(keys / "revoked", Path("nowhere")),
    "revoked as a link to itself": lambda keys: link(keys / "revoked", Path("revoked")),
    "revoked as the key's file": lambda keys: put(keys / "revoked"),
    "a key's file named as if revoked": lambda keys: put(keys / "signer-revoked.pem"),
    "a dangling link in revoked": lambda keys: link(keys / "revoked/k", Path("none")),
    "a pipe in revoked": lambda keys: pipe(keys / "revoked/k"),
    "no key in revoked": lambda keys: put(keys / "revoked/k.txt", b"signer, see the ticket"),
    "a key in DER in revoked": lambda keys: put(
        keys / "revoked/k.der",
        in_form(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
    ),
    "a key of OpenSSH in revoked": lambda keys: put(
        keys / "revoked/k.pub", in_form(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    ),
    "two keys in a file in revoked": lambda keys: put(
        keys / "revoked/k.pem", signer("other").public_pem + signer().public_pem
    ),
    "a key in a README": lambda keys: put(keys / "revoked/README.md"),
    "a key in a dot file": lambda keys: put(keys / "revoked/.keep"),
    "a private key among the trusted": lambda keys: put(keys / "k.pem", signer("other").pem),
    "a private key behind a public one": lambda keys: put(keys / "k.pem", signer("other").public_pem + signer().pem),
    "another folder": lambda keys: put(keys / "more/k.pem"),
    "a dangling link": lambda keys: link(keys / "k", Path("nowhere")),
    "a note": lambda keys: put(keys / "notes.txt", b"ask the lab"),
    "a certificate": lambda keys: put(keys / "k.crt", b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"),
    "a file too long for a key": lambda keys: put(keys / "k.pem", signer().public_pem.ljust(70_000)),
}


@pytest.mark.parametrize("what", REVOKES)
def test_a_key_is_revoked_by_what_it_is_and_not_by_its_name(what, trusted, tmp_path):
    REVOKES[what](trusted)
    assert verdict(SOUND(), tmp_path, KeyRing.load([trusted])) == "signer_revoked"


@pytest.mark.parametrize("what", UNREADABLE)
def test_anything_that_could_be_meant_as_a_key_but_is_not_one_is_an_error(what, trusted):
    UNREADABLE[what](trusted)
    with pytest.raises(CannotCheckError) as refusal:
        KeyRing.load([trusted])
    assert refusal.value.code == "key_unreadable"


def test_a_folder_named_revoked_revokes_also_where_it_is_named_itself(trusted, tmp_path):
    put(trusted / "revoked/k.pem")
    assert verdict(SOUND(), tmp_path, KeyRing.load(sorted(trusted.iterdir()))) == "signer_revoked"


def test_keys_of_any_name_are_trusted_and_other_files_are_allowed(tmp_path):
    """The links and dot folders are those with which Kubernetes mounts a folder."""
    keys, data = tmp_path / "keys", tmp_path / "keys/..2026_01_31"
    data.mkdir(parents=True)
    put(data / "signer.PEM")
    link(keys / "..data", Path(data.name))
    link(keys / "signer.PEM", Path("..data/signer.PEM"))
    put(keys / "other.pub", signer("other").public_pem)
    put(keys / "README.md", b"Whose keys these are.")
    put(keys / ".gitkeep", b"")
    (keys / "revoked").mkdir()
    put(keys / "revoked/.gitkeep", b"")
    put(keys / "revoked/tiny", signer("small", 1024).public_pem)  # revoked keys may be as weak as they are
    assert {(key.name, key.revoked) for key in KeyRing.load([keys]).keys} == {
        ("signer", False),
        ("other", False),
        ("tiny", True),
    }


def test_the_command_line_fails_if_a_revocation_cannot_be_read(trusted, tmp_path, capsys):
    (tmp_path / "bundle").write_bytes(SOUND())
    assert main(["verify", str(tmp_path / "bundle"), "--key", str(trusted)]) == 0
    put(trusted / "revoked/k.pub", b"ssh-rsa AAAA")
    assert main(["verify", str(tmp_path / "bundle"), "--key", str(trusted)]) == 2
    assert "revoked/k.pub" in capsys.readouterr().err


def test_the_command_line_says_that_a_weak_key_counted(tmp_path, capsys):
    from tests.support.format_builders import fields_of, signed, tar_of, zstd  # beside the one use of them

    weak = signer("other", 2048)
    (tmp_path / "bundle").write_bytes(zstd(tar_of(signed(fields_of(), weak))))
    command = ["verify", str(tmp_path / "bundle"), "--key", str(key_folder(tmp_path / "keys", weak))]
    assert main(command) == 1
    assert "[signer_weak]" in capsys.readouterr().out
    for more in ([], ["--only", "alerts.json"]):
        assert main([*command, "--allow-weak-keys", *more]) == 0
        assert (
            f"WEAK KEY        2048 bits: counts because of --allow-weak-keys; key {weak.key_id}"
            in capsys.readouterr().out
        )
