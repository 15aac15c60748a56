"""Every address of the site. The API's paths have no trailing slash and no redirect."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from jobs import api as jobs
from orchestrator_site.api_docs import DocsView, SchemaView

handler400 = "orchestrator_site.problems.bad_request"
handler403 = "orchestrator_site.problems.permission_denied"
handler404 = "orchestrator_site.problems.not_found"
handler500 = "orchestrator_site.problems.server_error"

urlpatterns: list[URLPattern | URLResolver] = [
    path("jobs", jobs.JobsView.as_view(), name="api-jobs"),
    path("jobs/<str:job_id>", jobs.JobView.as_view(), name="api-job"),
    path("jobs/<str:job_id>/cancel", jobs.JobCancelView.as_view(), name="api-job-cancel"),
    path("jobs/<str:job_id>/retry", jobs.JobRetryView.as_view(), name="api-job-retry"),
    path("schema", SchemaView.as_view(), name="api-schema"),
    path("docs", DocsView.as_view(), name="api-docs"),
    path("", include("orchestrator_site.console_urls")),
    path("admin/", admin.site.urls),
]
