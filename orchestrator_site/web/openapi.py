"""Adds to the generated OpenAPI schema: errors, response headers, and the health calls.

Every operation gets the problem document for its possible error statuses, so that generated clients know the shape of
errors.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.generators import SchemaGenerator

from orchestrator_site.errors.catalogue import OF_REQUESTS
from orchestrator_site.errors.problems import MEDIA_TYPE

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457. `code` is stable and tells what happened; docs/api.md lists every code.",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": sorted(OF_REQUESTS)},
        "request_id": {"type": "string", "format": "uuid"},
        "errors": {
            "type": "object",
            "description": "What is wrong, by field.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
    },
}
HEALTH: dict[str, Any] = {
    "type": "object",
    "description": "The state of each part.",
    "additionalProperties": True,
}
SECURITY: dict[str, Any] = {
    "token": {
        "type": "apiKey",  # OpenAPI has no word for the scheme `Token`
        "in": "header",
        "name": "Authorization",
        "description": "`Token <token>`, as `manage.py create_api_token` printed it.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": settings.SESSION_COOKIE_NAME,
        "description": "The console's session; requests that change something also need `X-CSRFToken`.",
    },
    "certificate": {"type": "mutualTLS", "description": "A client certificate, where MTLS_ENABLED is set."},
}
ALWAYS = (400, 401, 403, 405, 500, 503)
WITH_BODY = (411, 413, 415)
WITH_ID = (404,)
CHANGES_STATE = (409,)


def add_errors_and_health(result: dict[str, Any], generator: SchemaGenerator, **kwargs: Any) -> dict[str, Any]:
    """Add errors and the health calls to a generated schema; a hook of drf-spectacular."""
    del generator, kwargs
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = PROBLEM
    components["schemas"]["Health"] = HEALTH
    components["securitySchemes"] = SECURITY
    result["security"] = [{name: []} for name in SECURITY]
    components["headers"] = {
        "RequestId": {"description": "This request's id, as the log has it.", "schema": {"type": "string"}}
    }
    for address, operations in result["paths"].items():
        for method, operation in operations.items():
            _describe(address, method, operation)
    result["paths"]["/health"] = {"get": _health("health", "Whether this process answers", "alive")}
    result["paths"]["/ready"] = {"get": _health("ready", "Whether work can be done now", "ready")}
    result["paths"] = dict(sorted(result["paths"].items()))
    return result


def _describe(address: str, method: str, operation: dict[str, Any]) -> None:
    numbers = [*ALWAYS]
    if "{" in address or address in {"/bundle/create", "/rehydrate/start"}:
        numbers += WITH_ID
    if address.endswith("/download"):
        numbers += (410, 412, 416)
    if method == "post":
        numbers += (*WITH_BODY, *CHANGES_STATE, 507)
    responses = operation["responses"]
    for number in numbers:
        responses.setdefault(str(number), _problem(number))
    for number, response in responses.items():
        if not str(number).startswith("x-"):
            response.setdefault("headers", {})["X-Request-ID"] = {"$ref": "#/components/headers/RequestId"}
    operation["responses"] = dict(sorted(responses.items()))


def _problem(number: int) -> dict[str, Any]:
    codes = [entry for entry in OF_REQUESTS.values() if number == entry.status]
    return {
        "description": "; ".join(f"`{entry.code}`: {entry.title}" for entry in codes),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _health(name: str, summary: str, word: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Health"}}}
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["Health"],
        "security": [{}],
        "responses": {
            "200": {"description": f"It is {word}.", "content": content},
            "503": {"description": f"It is not {word}; each part says why.", "content": content},
        },
    }
