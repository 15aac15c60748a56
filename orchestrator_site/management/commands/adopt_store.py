"""`manage.py adopt_store bundles|artifacts [--yes]`: make this host's directory the store that the database knows."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from bundles.errors import StoreMismatchError
from bundles.models import Bundle
from bundles.storage import store_identity
from foundation.principal import shell
from rehydration.models import ArtifactRecord


class Command(BaseCommand):
    """Reports what it would do; does it only with --yes. Exit 0 when the directory is the store afterwards, else 1."""

    help = (
        "Make the directory that OUTPUT_DIR (bundles) or FORENSIC_STORAGE_PATH (artifacts) names on this host the one "
        "store that the database knows, such as after a move to another disk or a restore from a backup. Whatever "
        "the database names and this directory does not hold counts as lost from then on; every other directory is "
        "refused."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("kind", choices=sorted(store_identity.VARIABLES), help="which store")
        parser.add_argument("--yes", action="store_true", help="adopt it; without this, only report")

    def handle(self, *args: object, **options: Any) -> None:
        """Report, and adopt with --yes.

        Raises:
            CommandError: it was not adopted.
        """
        kind: str = options["kind"]
        known = store_identity.known().get(kind)
        words = store_identity.difference(kind, known)
        if known is not None and not words:
            self.stdout.write(
                f"{store_identity.root(kind)} is the {store_identity.TITLES[kind]} that the database knows already."
            )
            return
        self.stdout.write(f"{words or 'The database knows no ' + store_identity.TITLES[kind] + ' yet'}.")
        named = list(_files_named(kind))
        here = sum((store_identity.root(kind) / name).is_file() for name in named)
        self.stdout.write(
            f"{here} of the {len(named)} files that the database names are in {store_identity.root(kind)}."
        )
        if not options["yes"]:
            raise CommandError("Nothing was changed. Run it again with --yes to adopt this directory.", returncode=1)
        try:
            adopted = store_identity.adopt(shell(getpass.getuser()), kind)
        except StoreMismatchError as error:
            raise CommandError(f"{error} ({error.code})", returncode=1) from error
        self.stdout.write(
            f"Adopted: {store_identity.root(kind)} is the {store_identity.TITLES[kind]} {adopted} from now on."
        )


def _files_named(kind: str) -> Iterator[str]:
    """The files that must be in a store, relative to it."""
    if kind == store_identity.BUNDLES:
        return Bundle.objects.filter(state=Bundle.State.READY).values_list("name", flat=True).iterator()
    return ArtifactRecord.objects.exclude(stored_path="").values_list("stored_path", flat=True).iterator()
