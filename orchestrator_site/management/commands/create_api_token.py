"""`manage.py create_api_token USER`: a token for a script, printed once; only its hash is kept."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from foundation.principal import shell
from orchestrator_site.accounts import roles, tokens
from orchestrator_site.configuration.env import ROLES

MAX_DAYS = 3650


class Command(BaseCommand):
    """Prints the token alone on stdout, so that it can go straight into a secret store."""

    help = "Make an API token for a user. Use it as: Authorization: Token <token>"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("user", help="the user the script acts as, with that user's role")
        parser.add_argument("--name", default="", help="what it is for; shown to the user on the page of tokens")
        parser.add_argument("--scope", default="", choices=("", *ROLES), help="may do no more than this role")
        parser.add_argument("--days", type=int, default=90, help="days until it expires (default 90)")

    def handle(self, *args: object, **options: Any) -> None:
        """Create the token; custody records it."""
        days: int = options["days"]
        if not 1 <= days <= MAX_DAYS:
            raise CommandError(f"--days must be from 1 to {MAX_DAYS}", returncode=2)
        user = User.objects.filter(username=options["user"], is_active=True).first()
        if user is None:
            raise CommandError("there is no active user of that name", returncode=2)
        try:
            _, secret = tokens.create(
                shell(getpass.getuser()), user, name=options["name"], role=options["scope"], days=days
            )
        except tokens.TokenRefusedError as error:
            raise CommandError(str(error), returncode=2) from error
        role = roles.role_of(user) or "no role, so it may do nothing yet"
        self.stderr.write(f"Token of {user.get_username()} ({role}), valid for {days} days. It is shown only now:")
        self.stdout.write(secret)
