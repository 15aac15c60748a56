"""The addresses of the API of incidents."""

from django.urls import path

from incidents.rest import api, search_api, sources_api

urlpatterns = [
    path("sources/incidents", sources_api.SourceIncidentsView.as_view(), name="api-source-incidents"),
    path("incidents/<str:incident_id>/elsewhere", search_api.ElsewhereView.as_view(), name="api-incident-elsewhere"),
    path("search", search_api.SearchView.as_view(), name="api-search"),
    path("incidents", api.IncidentsView.as_view(), name="api-incidents"),
    path("incidents/<str:incident_id>", api.IncidentView.as_view(), name="api-incident"),
    path("incidents/<str:incident_id>/facts", api.FactsView.as_view(), name="api-incident-facts"),
    path("incidents/<str:incident_id>/records", api.RecordsView.as_view(), name="api-incident-records"),
    path("incidents/<str:incident_id>/attack-layer", api.AttackLayerView.as_view(), name="api-attack-layer"),
    path("views", api.ViewsView.as_view(), name="api-views"),
    path("views/<str:name>", api.ViewView.as_view(), name="api-view"),
]
