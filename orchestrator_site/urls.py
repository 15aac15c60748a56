"""Every address of the site. The API's paths have no trailing slash and no redirect."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from orchestrator_site.accounts.sign_in import admin_sign_in
from orchestrator_site.accounts.user_admin import RolesAdmin
from orchestrator_site.operations import health
from orchestrator_site.web.api_docs import DocsView, SchemaView
from orchestrator_site.web.csp_reports import csp_report

admin.site.site_title = admin.site.site_header = "RansomEye Orchestrator: admin"
admin.site.index_title = "Jobs, workers, users and tokens"
admin.site.enable_nav_sidebar = False  # the tables need its room; the breadcrumbs lead back
admin.site.unregister(User)
admin.site.register(User, RolesAdmin)

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("jobs.rest.urls")),
    path("", include("bundles.rest.urls")),
    path("", include("rehydration.rest.urls")),
    path("", include("incidents.rest.urls")),
    path("health", health.health, name="health"),
    path("ready", health.ready, name="ready"),
    path("schema", SchemaView.as_view(), name="api-schema"),
    path("docs", DocsView.as_view(), name="api-docs"),
    path("csp-report", csp_report, name="csp-report"),
    # What browsers ask for on pages that name no icon: the Django admin and the API's page.
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}favicon.svg", permanent=True), name="favicon"),
    path("", include("orchestrator_site.console.urls")),
    path("admin/login/", admin_sign_in),  # before the admin's own: there is one door
    path("admin/", admin.site.urls),
]
