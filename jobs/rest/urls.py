"""The URLs of the API of jobs."""

from django.urls import path

from jobs.rest import api

urlpatterns = [
    path("jobs", api.JobsView.as_view(), name="api-jobs"),
    path("jobs/<str:job_id>", api.JobView.as_view(), name="api-job"),
    path("jobs/<str:job_id>/cancel", api.JobCancelView.as_view(), name="api-job-cancel"),
    path("jobs/<str:job_id>/retry", api.JobRetryView.as_view(), name="api-job-retry"),
]
