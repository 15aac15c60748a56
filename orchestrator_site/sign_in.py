"""Sign-in and sign-out. Every failure gives the same message, so that no answer tells which user names exist."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache

REFUSED = "This user name and password do not match an active account."


class SignInForm(AuthenticationForm):
    """User name and password; one sentence for whatever is wrong with them."""

    error_messages = {"invalid_login": REFUSED, "inactive": REFUSED}


@method_decorator(never_cache, name="dispatch")
class SignInView(LoginView):
    """Asks who it is, then goes on to the page that was wanted."""

    form_class = SignInForm
    template_name = "sign_in.html"
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the environment's name, so that nobody signs in to the wrong one."""
        return super().get_context_data(environment=settings.ORCH_ENVIRONMENT_NAME, **kwargs)


class SignOutView(LogoutView):
    """Ends the session; by POST only, so that no link of another site can."""

    http_method_names = ["post", "options"]
