"""Users in the Django admin: one role each, chosen from a list that explains the roles, and recorded in custody."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from custody import chain
from foundation.principal import of_request
from orchestrator_site.accounts import roles
from orchestrator_site.configuration.env import ROLES

CHOICES = [
    ("", "No role: may sign in and sees no evidence"),
    *((role, f"{role}: {roles.ABOUT[role]}") for role in ROLES),
]


def role_field() -> forms.ChoiceField:
    """The choice of a role, each with what it is for."""
    return forms.ChoiceField(choices=CHOICES, required=False, widget=forms.RadioSelect, label="Role")


class ChangeForm(UserChangeForm):  # type: ignore[type-arg] # generic in the stubs only
    """A user with their role."""

    role = role_field()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["role"] = roles.role_of(self.instance)


class AddForm(AdminUserCreationForm):  # type: ignore[type-arg] # generic in the stubs only
    """A new user with their role."""

    role = role_field()


class RolesAdmin(UserAdmin):  # type: ignore[type-arg] # generic in the stubs only
    """Users, their roles, and links to what each of them did."""

    form = ChangeForm
    add_form = AddForm
    list_display = ("username", "role", "is_active", "last_login", "custody")
    list_filter = ("is_active", "groups")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Role", {"fields": ("role",), "description": "Each role may also do what the roles above it may."}),
        ("Account", {"fields": ("is_active", "last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")
    add_fieldsets = (
        (None, {"fields": ("username", "usable_password", "password1", "password2")}),
        ("Role", {"fields": ("role",), "description": "Each role may also do what the roles above it may."}),
    )
    actions = None

    def get_queryset(self, request: HttpRequest) -> Any:
        """With their groups, so that the list needs one query for all roles."""
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description="Role")
    def role(self, user: User) -> SafeString | str:
        """The role, and what it is for."""
        held = {group.name for group in user.groups.all()}
        name = "admin" if user.is_superuser else next((role for role in reversed(ROLES) if role in held), "")
        return format_html("<b>{}</b><br>{}", name, roles.ABOUT[name]) if name else "no role"

    @admin.display(description="Console")
    def custody(self, user: User) -> SafeString:
        """A link to what this user did."""
        address = f"{reverse('custody-page')}?{urlencode({'actor': user.get_username()})}"
        return format_html('<a href="{}">What they did</a>', address)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001 # Django's
        """Give the user the chosen role, and record it."""
        super().save_related(request, form, formsets, change)
        user: User = form.instance
        before, role = (roles.role_of(user) if change else ""), form.cleaned_data.get("role", "")
        if user.is_superuser:
            role = before  # a superuser may do everything, whatever the role
        elif role:
            roles.assign_role(user, role)
        else:
            roles.remove_role(user)
        details = {"role": role, "before": before, "active": user.is_active}
        action = "user.change" if change else "user.create"
        chain.record(of_request(request), action, "user", user.get_username(), details=details)
