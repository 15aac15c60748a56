"""URLs of the console: sign-in, and the guarded pages of the apps and of the site."""

from django.urls import URLPattern, URLResolver, path

from bundles.console import urls as bundles
from custody import console_urls as custody
from foundation.console_page import ConsolePage
from incidents import console_urls as incidents
from jobs.console import urls as jobs
from orchestrator_site.accounts import account_pages
from orchestrator_site.accounts.sign_in import SignInView, SignOutView
from orchestrator_site.configuration import settings_pages
from orchestrator_site.console import find, help_pages, home
from orchestrator_site.console.page_guard import page
from rehydration import console_urls as rehydration

OWN = (
    ConsolePage("", home.home, "home"),
    ConsolePage("console/find", find.find, "find"),
    ConsolePage("console/settings", settings_pages.settings_page, "settings-page", needs=settings_pages.VIEW),
    ConsolePage("console/settings.txt", settings_pages.settings_text, "settings-text", needs=settings_pages.VIEW),
    ConsolePage("console/help", help_pages.help_page, "help-page"),
    ConsolePage("console/help/errors", help_pages.errors_page, "errors-page"),
    ConsolePage("console/account", account_pages.account_page, "account-page"),
    ConsolePage("console/account/tokens", account_pages.tokens_page, "tokens-page"),
    ConsolePage("console/account/tokens/revoke", account_pages.revoke_token, "revoke-token"),
)
PAGES = (*OWN, *jobs.PAGES, *bundles.PAGES, *incidents.PAGES, *rehydration.PAGES, *custody.PAGES)

urlpatterns: list[URLPattern | URLResolver] = [
    path("sign-in", SignInView.as_view(), name="sign-in"),
    path("sign-out", SignOutView.as_view(), name="sign-out"),
    *(path(one.route, page(one.view, needs=one.needs, is_unchanged=one.is_unchanged), name=one.name) for one in PAGES),
]
