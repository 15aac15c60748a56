"""The fields by which a request chooses where its evidence is read; `bundles.services` checks their values."""

from __future__ import annotations

from rest_framework import serializers

from bundles.sources.configured import MOST_REF_CHARS
from bundles.sources.sources_file import NAME
from foundation.strict_input import StrictTextField


class RefsField(serializers.DictField):
    """System → the incident's id there."""

    child = StrictTextField(max_length=MOST_REF_CHARS)


def profile_field() -> StrictTextField:
    """The source profile of a request."""
    return StrictTextField(
        required=False, pattern=NAME.pattern, help_text="the source profile; the default one without it"
    )


def refs_field() -> RefsField:
    """The ids of an incident in the systems of a profile."""
    return RefsField(
        required=False, help_text="system of the profile: the incident's id there, where it is another one"
    )
