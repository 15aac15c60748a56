"""Sign-in and sign-out. Every failure gives the same message, so that no answer tells which user names exist.

There is one door: the Django admin's own sign-in leads here too. Custody records who came and went.
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
    """User name and password; one sentence for whatever is wrong with them."""

    error_messages = {"invalid_login": REFUSED, "inactive": REFUSED}


class SignInView(LoginView):
    """Asks who it is, then goes on to the page that was wanted."""

    form_class = SignInForm
    template_name = "sign_in.html"
    redirect_authenticated_user = True

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Sign in; deed and custody event together, or neither."""
        with transaction.atomic():
            answer = super().form_valid(form)
            user = form.get_user()
            SessionStore.clear_expired()
            who = of_user(user, authenticated_by="session", address=self.request.META.get("REMOTE_ADDR", ""))
            chain.record(who, "user.sign_in", "user", user.get_username())
        return answer

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add where this is, what failing too often means, and why an earlier session ended."""
        return super().get_context_data(
            environment=settings.ORCH_ENVIRONMENT_NAME,
            host=self.request.get_host(),
            failures=settings.ORCH_SIGN_IN_FAILURES,
            minutes=settings.ORCH_SIGN_IN_COOL_OFF_MINUTES,
            ended=_ended(self.request.GET.get("ended", "")),
            **kwargs,
        )


class SignOutView(LogoutView):
    """Ends the session; by POST only, so that no link of another site can."""

    http_method_names = ["post", "options"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Sign out; whoever is not signed in changes nothing by it."""
        if request.user.is_authenticated:
            chain.record(of_request(request), "user.sign_out", "user", request.user.get_username())
        return super().post(request, *args, **kwargs)


def admin_sign_in(request: HttpRequest) -> HttpResponse:
    """The Django admin's sign-in is ours, with its throttle; who is signed in already lacks the role for the admin."""
    if request.user.is_authenticated:
        return refusal(request, AccessDeniedError("The admin is for operators and administrators."))
    return redirect_to_login(request.GET.get("next") or reverse("admin:index"))


def _ended(reason: str) -> str:
    """Why a session ended, for whoever is asked to sign in again; empty for a reason that is none of ours."""
    return {
        IDLE: f"You were signed out after {settings.ORCH_SESSION_IDLE_MINUTES} minutes without activity.",
        AGE: f"You were signed out: a session lasts {settings.ORCH_SESSION_HOURS} hours at most.",
        EVERYWHERE: "You are signed out everywhere.",
    }.get(reason, "")
