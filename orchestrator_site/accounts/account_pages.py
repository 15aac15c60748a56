"""Account pages of the signed-in user: role, password, sessions, API tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate, logout, update_session_auth_hash
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import password_validators_help_texts
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from foundation.errors import InvalidRequestError
from foundation.principal import of_request
from orchestrator_site.accounts import own_account, time_zone, tokens
from orchestrator_site.accounts.roles import ADDS, role_of
from orchestrator_site.accounts.sign_in import EVERYWHERE

DAYS = (("1", "1 day"), ("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "1 year"))
# The order matters: a user agent also names the browsers that follow its own here.
BROWSERS = (("Edg/", "Edge"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"), ("curl/", "curl"))
SYSTEMS = (
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)
MAY = {
    "viewer": "see incidents, jobs, bundles, restores, workers and custody",
    "analyst": "bundle incidents, verify and download bundles",
    "operator": "restore bundles; cancel, retry and free jobs; see settings and checks",
    "admin": "manage users and tokens; restore without a signature, if the deployment allows that",
}


class OwnPasswordForm(PasswordChangeForm):
    """Django's form; a wrong old password counts as a failed sign-in, so that it cannot be guessed here."""

    def __init__(self, request: HttpRequest, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self.request = request

    def clean_old_password(self) -> str:
        """Return the old password if it is right and sign-in is not locked."""
        old: str = self.cleaned_data["old_password"]
        if authenticate(self.request, username=self.user.get_username(), password=old) != self.user:
            minutes = settings.ORCH_SIGN_IN_COOL_OFF_MINUTES
            raise forms.ValidationError(f"This is not your password. After too many failures, wait {minutes} minutes.")
        return old


class TokenForm(forms.Form):
    """The form for a new token."""

    name = forms.CharField(max_length=tokens.MAX_NAME)
    role = forms.ChoiceField(required=False)
    days = forms.TypedChoiceField(choices=DAYS, coerce=int, initial=30)

    def __init__(self, *args: Any, scopes: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].choices = [("", "My own role"), *((role, role) for role in scopes)]  # type: ignore[attr-defined]


@sensitive_post_parameters("old_password", "new_password1", "new_password2")
@require_http_methods(["GET", "HEAD", "POST"])
def account_page(request: HttpRequest) -> HttpResponse:
    """Show the account; POST changes the password or the time zone, or signs out everywhere."""
    principal, user = of_request(request), _user(request)
    form: OwnPasswordForm | None = None
    zone_error = ""
    if request.POST.get("action") == EVERYWHERE:
        own_account.sign_out_everywhere(principal, user, tokens="tokens" in request.POST)
        logout(request)
        return redirect(f"{reverse('sign-in')}?ended={EVERYWHERE}")
    if request.POST.get("action") == "time_zone":
        try:
            time_zone.choose(request, user, request.POST.get("time_zone", ""))
        except InvalidRequestError as error:
            zone_error = str(error)
        else:
            messages.success(request, "Your time zone was saved.")
            return redirect("account-page")
    elif request.method == "POST":
        form = OwnPasswordForm(request, user, request.POST)
        if form.is_valid():
            key = request.session.session_key
            ended = own_account.change_password(principal, user, form.cleaned_data["new_password1"], keep=key)
            update_session_auth_hash(request, user)
            others = f" {ended} other sessions were ended." if ended else ""
            messages.success(request, f"Your password was changed.{others} Your API tokens still work.")
            return redirect("account-page")
    context = {
        "form": form,
        "rules": password_validators_help_texts(),
        "role": role_of(user),
        "may": [(role, MAY[role], bool(ADDS[role] <= user.get_all_permissions())) for role in MAY],
        "sessions": [(one, browser_of(one.agent)) for one in own_account.sessions_of(user)],
        "this": request.session.session_key,
        "how": principal.authenticated_by,
        "token_count": len(tokens.tokens_of(user)),
        "zones": [("", "UTC only"), *((name, name.replace("_", " ")) for name in time_zone.names())],
        "zone": time_zone.chosen_by(request),
        "zone_error": zone_error,
        "idle": settings.ORCH_SESSION_IDLE_MINUTES,
        "hours": settings.ORCH_SESSION_HOURS,
    }
    return render(request, "account/account.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def tokens_page(request: HttpRequest) -> HttpResponse:
    """List the user's tokens; POST creates one and shows its secret in this response only."""
    principal, user = of_request(request), _user(request)
    scopes = tokens.scopes_for(principal)
    form = TokenForm(request.POST or None, scopes=scopes)
    made, secret = None, ""
    if request.method == "POST" and form.is_valid():
        try:
            made, secret = tokens.create(principal, user, **form.cleaned_data)
            form = TokenForm(scopes=scopes)
        except tokens.TokenRefusedError as error:
            form.add_error("name", str(error))
    context = {
        "form": form,
        "tokens": tokens.tokens_of(user),
        "made": made,
        "secret": secret,
        "soon": timezone.now() + timedelta(days=7),
    }
    return render(request, "account/tokens.html", context)


@require_http_methods(["POST"])
def revoke_token(request: HttpRequest) -> HttpResponse:
    """Revoke one of the user's tokens."""
    if tokens.revoke(of_request(request), _user(request), request.POST.get("token", "")):
        messages.success(request, "The token is revoked. Requests that use it now get 401.")
    else:
        messages.info(request, "You no longer have this token.")
    return redirect("tokens-page")


def browser_of(agent: str) -> str:
    """Browser and system from a user agent. It may be forged, so the page also shows the full text."""
    browser = next((name for sign, name in BROWSERS if sign in agent), "")
    system = next((name for sign, name in SYSTEMS if sign in agent), "")
    return f"{browser} on {system}" if browser and system else browser or agent[:40]


def _user(request: HttpRequest) -> User:
    return User.objects.get(username=request.user.get_username())
