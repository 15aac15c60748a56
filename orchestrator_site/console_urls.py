"""The console's addresses: pages for people. The API's addresses are in `orchestrator_site.urls`."""

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
