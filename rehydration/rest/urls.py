"""The addresses of the API of restores."""

from django.urls import path

from rehydration.rest import api, requests_api

urlpatterns = [
    path("rehydrate/start", api.RehydrateStartView.as_view(), name="api-rehydrate-start"),
    path("rehydrate/requests", requests_api.RestoreRequestsView.as_view(), name="api-restore-requests"),
    path("rehydrate/requests/<str:request_id>", requests_api.RestoreRequestView.as_view(), name="api-restore-request"),
    path(
        "rehydrate/requests/<str:request_id>/decline",
        requests_api.RestoreRequestDeclineView.as_view(),
        name="api-restore-request-decline",
    ),
]
