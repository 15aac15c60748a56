"""Sign-in and sign-out. Every failure gives the same message, so that it does not reveal which user names exist.

The Django admin's sign-in redirects here too. Custody records each sign-in and sign-out.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView, redirect_to_login
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from custody import chain
from foundation.errors import AccessDeniedError
from foundation.principal import of_request, of_user
from orchestrator_site.accounts.session_age import AGE, IDLE
from orchestrator_site.accounts.session_store import SessionStore
from orchestrator_site.console.page_guard import refusal

REFUSED = "This user name and password do not match an active account."
EVERYWHERE = "everywhere"


class SignInForm(AuthenticationForm):
    """User name and password, with one message for every failure."""

    error_messages = {"invalid_login": REFUSED, "inactive": REFUSED}


class SignInView(LoginView):
    """Signs a user in and redirects to the requested page."""

    form_class = SignInForm
    template_name = "sign_in.html"
    redirect_authenticated_user = True

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Sign in and record the custody event in one transaction."""
        with transaction.atomic():
            answer = super().form_valid(form)
            user = form.get_user()
            SessionStore.clear_expired()
            who = of_user(user, authenticated_by="session", address=self.request.META.get("REMOTE_ADDR", ""))
            chain.record(who, "user.sign_in", "user", user.get_username())
        return answer

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the environment, the lockout limits, and why an earlier session ended."""
        return super().get_context_data(
            environment=settings.ORCH_ENVIRONMENT_NAME,
            host=self.request.get_host(),
            failures=settings.ORCH_SIGN_IN_FAILURES,
            minutes=settings.ORCH_SIGN_IN_COOL_OFF_MINUTES,
            ended=_ended(self.request.GET.get("ended", "")),
            **kwargs,
        )


class SignOutView(LogoutView):
    """Ends the session; POST only, so that a link on another site cannot."""

    http_method_names = ["post", "options"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Sign out; without a session this only redirects."""
        if request.user.is_authenticated:
            chain.record(of_request(request), "user.sign_out", "user", request.user.get_username())
        return super().post(request, *args, **kwargs)


def admin_sign_in(request: HttpRequest) -> HttpResponse:
    """Redirect the Django admin's sign-in to ours; a user who is already signed in lacks the role for the admin."""
    if request.user.is_authenticated:
        return refusal(request, AccessDeniedError("The admin is for operators and administrators."))
    return redirect_to_login(request.GET.get("next") or reverse("admin:index"))


def _ended(reason: str) -> str:
    """Why a session ended, for the sign-in page; empty for an unknown reason."""
    return {
        IDLE: f"You were signed out after {settings.ORCH_SESSION_IDLE_MINUTES} minutes without activity.",
        AGE: f"You were signed out: a session lasts {settings.ORCH_SESSION_HOURS} hours at most.",
        EVERYWHERE: "You are signed out everywhere.",
    }.get(reason, "")
