"""Strict input: only declared fields, each of exactly its type.

Nothing is converted: "100" is not a number, 1 not a boolean, 3.0 not an integer. Mistakes are reported, not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from django.core.validators import RegexValidator
from django.http import QueryDict
from rest_framework import exceptions, serializers
from rest_framework.request import Request

from foundation.keyset import DEFAULT_LIMIT, MAX_LIMIT

MAX_CURSOR_CHARS = 1024

S = TypeVar("S", bound="StrictSerializer")


class LengthRequiredError(exceptions.APIException):
    """The body comes without Content-Length, so its size is not known before it is read."""

    status_code = 411
    default_code = "length_required"
    default_detail = "Send the body with Content-Length; chunked transfer is not accepted."


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses names that it does not declare."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """The checked values.

        Raises:
            ValidationError: an unknown name, or a value that is not exactly right.
        """
        if not isinstance(data, Mapping):
            raise serializers.ValidationError({"body": ["Expected a JSON object."]})
        unknown = sorted(set(data) - set(self.fields))
        if unknown:
            raise serializers.ValidationError({str(name): ["There is no such field."] for name in unknown})
        checked: dict[str, Any] = super().to_internal_value(data)
        return checked


class StrictIntegerField(serializers.IntegerField):
    """An integer of JSON: no text, no boolean, no fraction."""

    def to_internal_value(self, data: Any) -> int:
        """The integer itself."""
        if type(data) is not int:
            self.fail("invalid")
        return data


class StrictBooleanField(serializers.BooleanField):
    """`true` or `false`, no word for them."""

    def to_internal_value(self, data: Any) -> bool:
        """The boolean itself."""
        if type(data) is not bool:
            self.fail("invalid", input=str(data)[:64])
        return data


class StrictTextField(serializers.CharField):
    """Text as it stands: no number made text, no blank trimmed, and of one pattern when there is one.

    Args:
        pattern: a regular expression for the whole text.
        kwargs: as for CharField.
    """

    def __init__(self, *, pattern: str = "", **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)
        if pattern:
            self.validators.append(RegexValidator(rf"\A(?:{pattern})\Z", f"Must match {pattern}."))

    def to_internal_value(self, data: Any) -> str:
        """The text itself."""
        if type(data) is not str:
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictChoiceField(serializers.ChoiceField):
    """One of a few words, as text."""

    def to_internal_value(self, data: Any) -> str:
        """The word itself."""
        if type(data) is not str:
            self.fail("invalid_choice", input=str(data)[:64])
        return str(super().to_internal_value(data))


class NoBody(StrictSerializer):
    """A call that takes nothing: an empty body or `{}`."""


class PageQuery(StrictSerializer):
    """What every list takes."""

    cursor = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=MAX_CURSOR_CHARS, help_text="`next` of the page before"
    )
    limit = serializers.IntegerField(
        required=False, default=DEFAULT_LIMIT, min_value=1, max_value=MAX_LIMIT, help_text="rows a page"
    )


def body_of(request: Request, serializer: type[S]) -> dict[str, Any]:
    """The request's body, checked by `serializer`; an absent one counts as `{}`.

    Raises:
        ValidationError: a field is wrong.
        LengthRequiredError: it has no Content-Length.
    """
    require_length(request)
    data = request.data
    return checked({} if isinstance(data, QueryDict) else data, serializer)


def query_of(request: Request, serializer: type[S]) -> dict[str, Any]:
    """The query's parameters, each at most once, checked by `serializer`.

    Raises:
        ValidationError: a parameter is wrong, unknown or repeated.
    """
    repeated = [name for name, values in request.query_params.lists() if len(values) > 1]
    if repeated:
        raise serializers.ValidationError({name: ["Give this once."] for name in repeated})
    return checked(request.query_params.dict(), serializer)


def checked(data: Any, serializer: type[S]) -> dict[str, Any]:
    """`data`, checked by `serializer`.

    Raises:
        ValidationError: a field is wrong.
    """
    valid: dict[str, Any] = _checker(serializer).run_validation(data)
    return valid


@cache
def _checker(serializer: type[StrictSerializer]) -> StrictSerializer:
    """One for all requests: making its fields takes longer than checking a body, which changes nothing in it."""
    return serializer()


def require_length(request: Request) -> None:
    """Pass when the body's size is known before it is read.

    Raises:
        LengthRequiredError: it comes in chunks.
    """
    if request.META.get("HTTP_TRANSFER_ENCODING"):
        raise LengthRequiredError
