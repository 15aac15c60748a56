"""The addresses of the API of incidents."""

from django.urls import path

from incidents.rest import api

urlpatterns = [
    path("incidents", api.IncidentsView.as_view(), name="api-incidents"),
    path("incidents/<str:incident_id>", api.IncidentView.as_view(), name="api-incident"),
]
