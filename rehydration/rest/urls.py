"""The addresses of the API of restores."""

from django.urls import path

from rehydration.rest import api

urlpatterns = [path("rehydrate/start", api.RehydrateStartView.as_view(), name="api-rehydrate-start")]
