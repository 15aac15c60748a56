"""Roles: Django groups, each with all permissions of the previous one. This table is the only definition.

The groups are reset to it after every migration: permissions that a release adds reach their roles, and permissions
added to a group by hand are removed.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.contrib.auth.models import Group, Permission, User
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Q

from orchestrator_site.configuration.env import ROLES

# What each role is for, in one sentence each.
ABOUT = {
    "viewer": "Sees everything and changes nothing.",
    "analyst": "Also bundles incidents, verifies and downloads bundles, and asks an operator for a restore.",
    "operator": "Also restores bundles, cancels, retries and frees jobs, drains workers, and sees the settings.",
    "admin": "Also manages users, roles and API tokens; may restore without a signature where the settings allow it.",
}
# What each role adds to the one before it.
ADDS: dict[str, frozenset[str]] = {
    "viewer": frozenset(
        {
            "custody.view_event",
            "jobs.view_job",
            "jobs.view_worker",
            "bundles.view_bundle",
            "rehydration.view_restoredincident",
        }
    ),
    "analyst": frozenset(
        {
            "bundles.create_bundle",
            "bundles.verify_bundle",
            "bundles.download_bundle",
            "rehydration.ask_for_restore",
        }
    ),
    "operator": frozenset(
        {
            "rehydration.restore_bundle",
            "jobs.cancel_job",
            "jobs.retry_job",
            "jobs.free_job",
            "orchestrator_site.view_settings",
            "jobs.drain_worker",
        }
    ),
    # No permission to delete users, because custody refers to them: they are made inactive instead.
    "admin": frozenset(
        {
            "rehydration.skip_signature",
            "auth.add_user",
            "auth.change_user",
            "auth.view_user",
            "auth.view_group",
            "knox.view_authtoken",
            "knox.delete_authtoken",
        }
    ),
}
STAFF = frozenset({"operator", "admin"})  # who may enter the Django admin

_ALL = {role: frozenset().union(*(ADDS[lower] for lower in ROLES[: place + 1])) for place, role in enumerate(ROLES)}


def permissions_of(role: str) -> frozenset[str]:
    """The permissions of `role`, its own and those of the roles below it, as `app.codename`."""
    return _ALL[role]


def that_may(permission: str) -> tuple[str, ...]:
    """The roles that hold `permission`, lowest first; none for a permission that no role has."""
    return tuple(role for role in ROLES if permission in _ALL[role])


def that_may_in_words(permission: str) -> str:
    """The same as text, such as `analyst, operator or admin`; empty without any."""
    names = that_may(permission)
    return " or ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def role_of(user: User) -> str:
    """The highest role of `user`; `admin` for a superuser, empty if there is none."""
    if user.is_superuser:
        return "admin"
    held = set(user.groups.filter(name__in=ROLES).values_list("name", flat=True))
    return next((role for role in reversed(ROLES) if role in held), "")


def assign_role(user: User, role: str) -> None:
    """Give `user` exactly this role; operators and admins may also enter the Django admin.

    Args:
        user: a saved user; groups that are not roles are kept.
        role: `viewer`, `analyst`, `operator` or `admin`.

    Raises:
        ValueError: there is no such role.
    """
    if role not in ROLES:
        raise ValueError(f"no such role: {role}")
    with transaction.atomic():
        user.groups.remove(*Group.objects.filter(name__in=ROLES))
        user.groups.add(Group.objects.get_or_create(name=role)[0])
        user.is_staff = role in STAFF
        user.save(update_fields=["is_staff"])


def remove_role(user: User) -> None:
    """Take every role from `user`, and entering the Django admin with it; groups that are not roles are kept."""
    with transaction.atomic():
        user.groups.remove(*Group.objects.filter(name__in=ROLES))
        user.is_staff = False
        user.save(update_fields=["is_staff"])


def fill_after_migrate(sender: AppConfig, using: str = DEFAULT_DB_ALIAS, **kwargs: Any) -> None:
    """Fill the groups after the last app with models, when the permissions of every app exist."""
    del kwargs
    with_models = [config for config in apps.get_app_configs() if config.models_module is not None]
    if sender == with_models[-1]:
        fill(using)


def fill(using: str = DEFAULT_DB_ALIAS) -> None:
    """Give each role group exactly the permissions of the table; those that do not exist yet are left out."""
    for role in ROLES:
        group, _ = Group.objects.using(using).get_or_create(name=role)
        wanted = Q()
        for permission in permissions_of(role):
            app, codename = permission.split(".")
            wanted |= Q(content_type__app_label=app, codename=codename)
        group.permissions.set(Permission.objects.using(using).filter(wanted))
