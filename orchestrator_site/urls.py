"""Every address of the site. The API's paths have no trailing slash and no redirect."""

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from bundles.rest import api as bundles
from jobs.rest import api as jobs
from orchestrator_site.accounts.sign_in import admin_sign_in
from orchestrator_site.operations import health
from orchestrator_site.web.api_docs import DocsView, SchemaView
from orchestrator_site.web.csp_reports import csp_report
from rehydration import api as rehydration

urlpatterns: list[URLPattern | URLResolver] = [
    path("bundle/create", bundles.BundleCreateView.as_view(), name="api-bundle-create"),
    path("rehydrate/start", rehydration.RehydrateStartView.as_view(), name="api-rehydrate-start"),
    path("jobs", jobs.JobsView.as_view(), name="api-jobs"),
    path("jobs/<str:job_id>", jobs.JobView.as_view(), name="api-job"),
    path("jobs/<str:job_id>/cancel", jobs.JobCancelView.as_view(), name="api-job-cancel"),
    path("jobs/<str:job_id>/retry", jobs.JobRetryView.as_view(), name="api-job-retry"),
    path("bundles", bundles.BundlesView.as_view(), name="api-bundles"),
    path("bundles/<str:bundle_id>", bundles.BundleView.as_view(), name="api-bundle"),
    path("bundles/<str:bundle_id>/manifest", bundles.BundleManifestView.as_view(), name="api-bundle-manifest"),
    path("bundles/<str:bundle_id>/download", bundles.BundleDownloadView.as_view(), name="bundle-download"),
    path("bundles/<str:bundle_id>/verify", bundles.BundleVerifyView.as_view(), name="api-bundle-verify"),
    path("incidents", rehydration.IncidentsView.as_view(), name="api-incidents"),
    path("incidents/<str:incident_id>", rehydration.IncidentView.as_view(), name="api-incident"),
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
