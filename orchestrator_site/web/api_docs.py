"""The API's schema and its page, for callers who are signed in; the page loads nothing from another origin."""

from __future__ import annotations

from typing import Any

from csp.decorators import csp_update
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.utils.decorators import method_decorator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularJSONAPIView
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.views import APIView


class SchemaView(SpectacularJSONAPIView):
    """`/schema`: OpenAPI 3.1 as JSON, for those whom the API lets in; the view's own default is everybody."""

    permission_classes = APIView.permission_classes


# Swagger UI's style sheet draws its arrows from data: images.
@method_decorator(csp_update({"img-src": ["data:"]}), name="dispatch")
class DocsView(APIView):
    """`/docs`: Swagger UI over `/schema`."""

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        """The page."""
        get_token(request._request)  # noqa: SLF001 # sets the CSRF cookie for the page's own calls
        context = {"csrf_cookie_name": settings.CSRF_COOKIE_NAME}
        return render(request._request, "api_docs.html", context)  # noqa: SLF001

    def handle_exception(self, exc: Exception) -> Any:
        """Send a browser without a session to the sign-in page; whatever else is a problem document."""
        request: HttpRequest = self.request._request  # noqa: SLF001
        if isinstance(exc, exceptions.NotAuthenticated) and "text/html" in request.headers.get("Accept", ""):
            return redirect_to_login(request.get_full_path())
        return super().handle_exception(exc)
