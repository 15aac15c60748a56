"""Reads a JSON body strictly and never more of it than a request of ours can need.

What passes is one JSON object in UTF-8 without repeated names, NaN, NUL or lone surrogates, so that what is checked,
hashed for idempotency and stored is one and the same thing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.conf import settings
from django.http.request import RawPostDataException, UnreadablePostError
from rest_framework import exceptions
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class BodyTooLargeError(exceptions.APIException):
    """The body is larger than any request of ours."""

    status_code = 413
    default_code = "body_too_large"
    default_detail = "The body is larger than this call accepts."


class StrictJSONParser(BaseParser):
    """The parser of every call, by REST framework's protocol."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Read one JSON object.

        Args:
            stream: the body, at most DATA_UPLOAD_MAX_MEMORY_SIZE bytes of it.
            media_type: as sent.
            parser_context: holds the request, whose Content-Length is believed before a byte is read.

        Raises:
            BodyTooLargeError: too large.
            ParseError: not one strict JSON object.
        """
        del media_type
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        request: Request = (parser_context or {})["request"]
        if int(request.META.get("CONTENT_LENGTH") or 0) > limit:
            raise BodyTooLargeError
        try:
            body = stream.read(limit + 1)
        except (UnreadablePostError, RawPostDataException) as error:
            raise exceptions.ParseError("The body could not be read.") from error
        if len(body) > limit:
            raise BodyTooLargeError
        return parse_object(body)


class AlwaysJson(BaseContentNegotiation):
    """Answers every Accept header alike: with JSON, which is all there is (RFC 9110, section 12.1 allows it)."""

    def select_parser(self, request: Request, parsers: Any) -> BaseParser | None:
        """The parser for the body's media type; None makes it a 415."""
        sent = request.content_type.partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == sent), None)

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """The only renderer."""
        del request, format_suffix
        return renderers[0], renderers[0].media_type


def parse_object(body: bytes) -> dict[str, Any]:
    """One strict JSON object.

    Raises:
        ParseError: it is not one; the message says why.
    """
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant)
        _refuse_unstorable(value)
    except UnicodeDecodeError as error:
        raise exceptions.ParseError("The body must be JSON in UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise exceptions.ParseError(f"The body must be one JSON object: {_reason(error)}.") from error
    if not isinstance(value, dict):
        raise exceptions.ParseError("The body must be one JSON object.")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is repeated")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _refuse_unstorable(value: Any) -> None:
    if isinstance(value, str) and _UNSTORABLE.search(value):
        raise ValueError("text must not hold NUL or lone surrogates")
    if isinstance(value, dict):
        for name, inner in value.items():
            _refuse_unstorable(name)
            _refuse_unstorable(inner)
    elif isinstance(value, list):
        for inner in value:
            _refuse_unstorable(inner)


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
