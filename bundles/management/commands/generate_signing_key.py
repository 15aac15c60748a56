"""`manage.py generate_signing_key`: makes an RSA-4096 signing key and adds its public key to the trusted ones."""

from __future__ import annotations

import errno
import os
import re
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from bundles.format.model.errors import FormatError
from bundles.format.model.key_files import REVOKED
from bundles.format.model.signing import SigningKey, generate_key

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Command(BaseCommand):
    """Exits with 0 if both files were written, 1 if one already exists or cannot be written."""

    help = "Make the signing key at ORCH_SIGN_KEY_PATH (mode 0600); never overwrites one."
    requires_system_checks: list[str] = []  # the checks would require the key

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--name", default="signer", help="the name that reports show for this key (default signer)")

    def handle(self, *args: object, **options: Any) -> None:
        """Write the private key, and the public key to the trusted keys."""
        private, trusted = Path(settings.ORCH_SIGN_KEY_PATH), Path(settings.ORCH_VERIFY_KEY_PATH)
        if not _NAME.fullmatch(options["name"]):
            raise CommandError(
                "--name: expected letters, digits, dots, dashes and underscores, a letter or digit first"
            )
        if REVOKED[:5] in options["name"].casefold():
            raise CommandError(
                f"--name: a key of that name would be taken for a revoked one; those belong in {REVOKED}/"
            )
        public = trusted if trusted.suffix == ".pem" else trusted / f"{options['name']}.pem"
        try:
            if os.path.lexists(public):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(public))
            private.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            public.parent.mkdir(parents=True, exist_ok=True)
            key_id = generate_key(private)
            try:
                with public.open("xb") as file:
                    file.write(SigningKey.load(private).public_pem())
            except BaseException:
                private.unlink()  # written above; without its public key it would block every later run
                raise
        except FileExistsError as error:
            raise CommandError(f"{error.filename} exists already; a key is never overwritten") from error
        except (OSError, FormatError) as error:
            raise CommandError(f"the key could not be written: {error}") from error
        self.stdout.write(f"signing key {private}\npublic key  {public}\nkey id      {key_id}")
