"""`manage.py unlock_sign_in USER`: end the lockout after failed sign-ins."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from foundation.principal import shell
from orchestrator_site.accounts import throttle


class Command(BaseCommand):
    """Exit 0 whether or not there was anything to unlock; custody records it where there was."""

    help = "Forget the failed sign-ins of a user name, so that it can be tried again at once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("user", help="the user name, as it was typed")

    def handle(self, *args: object, **options: Any) -> None:
        """Unlock and report."""
        with transaction.atomic():
            forgotten = throttle.unlock(shell(getpass.getuser()), options["user"])
        self.stdout.write("unlocked" if forgotten else "there was no failed sign-in of that name")
