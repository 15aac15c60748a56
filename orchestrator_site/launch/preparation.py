"""What must exist before anything can start: directories, tables, keys, a secret, users, sample data.

Each function makes only what is missing and says what it made, so that a second run reuses the first.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import transaction

from bundles.errors import StoreMismatchError
from bundles.storage import store_identity
from orchestrator_site.accounts import roles
from orchestrator_site.configuration.env import BASE_DIR, ROLES

SHARED_INCIDENTS = BASE_DIR.parent / "shared" / "incidents"
SAMPLE_INCIDENT = "incident-123"


def directories() -> None:
    """Make the directories that the settings name."""
    for directory in (settings.OUTPUT_DIR, settings.FORENSIC_STORAGE_PATH):
        Path(directory).mkdir(parents=True, exist_ok=True, mode=0o750)


def tables() -> None:
    """Bring the database to the present shape."""
    call_command("migrate", verbosity=0, interactive=False)


def known_stores() -> None:
    """Give directories that are new their store ids.

    Raises:
        CommandError: they are not those that the database knows, such as after one of the two was removed.
    """
    try:
        store_identity.require(store_identity.BUNDLES, store_identity.ARTIFACTS)
    except StoreMismatchError as error:
        raise CommandError(str(error)) from error


def signing_key() -> bool:
    """Make the signing key and its public half unless there is one; whether it was made."""
    if Path(settings.ORCH_SIGN_KEY_PATH).exists():
        return False
    call_command("generate_signing_key", stdout=open(os.devnull, "w"))  # noqa: SIM115 # lives as long as the call
    return True


def secret_key() -> Path:
    """The file with the key that signs sessions, made when missing: all processes of a run must share one."""
    path = Path(settings.VAR_DIR) / "keys" / "django_secret_key"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(60))
    return path


def users() -> Iterator[tuple[str, str]]:
    """Make one user a role, named like it, where there is none.

    Yields:
        The name and password of each as soon as it is kept: whoever sees it knows it, whatever happens afterwards.
    """
    for role in ROLES:
        if not User.objects.filter(username=role).exists():
            password = secrets.token_urlsafe(12)
            with transaction.atomic():
                roles.assign_role(User.objects.create_user(role, password=password), role)
            yield role, password


def sample_data() -> list[Path]:
    """The folders of incidents that the sample services serve: the public ones when present, and our own."""
    own = Path(settings.VAR_DIR) / "sample"
    call_command("make_sample_incident", str(own), stdout=open(os.devnull, "w"))  # noqa: SIM115 # as above
    return [SHARED_INCIDENTS, own] if SHARED_INCIDENTS.is_dir() else [own]


def incident_ids(folders: list[Path]) -> list[str]:
    """The incidents in `folders`, by id."""
    return sorted(
        {entry.name for folder in folders for entry in folder.iterdir() if (entry / "timeline.json").is_file()}
    )
