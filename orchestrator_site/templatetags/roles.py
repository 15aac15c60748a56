"""Tags that name the roles which may do something."""

from __future__ import annotations

from django import template

from orchestrator_site.accounts import roles

register = template.Library()


@register.filter
def roles_that_may(permission: str) -> str:
    """The roles that hold a permission, such as `operator or admin`."""
    return roles.that_may_in_words(permission)
