"""Every address of the site. The API's paths have no trailing slash and no redirect."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("orchestrator_site.console_urls")),
    path("admin/", admin.site.urls),
]
