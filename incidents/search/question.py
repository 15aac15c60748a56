"""What a person typed into the search, as the kinds of search need it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from foundation.hex_prefix import DIGEST_PREFIX

MAX_LENGTH = 200
SEPARATORS = re.compile(r"[\s:-]")  # between the digits of a copied digest or id


@dataclass(frozen=True)
class Question:
    """A search text.

    Attributes:
        text: without spaces around it and NUL, at most 200 characters.
        hex_digits: the hex digits of a copied digest or id, without separators; empty if it is neither.
    """

    text: str
    hex_digits: str


def question_of(typed: str) -> Question:
    """Read a search text as it was typed."""
    text = typed.strip().replace("\x00", "")[:MAX_LENGTH]
    return Question(text=text, hex_digits=hex_digits(text))


def hex_digits(text: str) -> str:
    """The hex digits of a copied digest or id, without separators; empty if it is neither."""
    digits = SEPARATORS.sub("", text.lower().removeprefix("sha256:"))
    return digits if DIGEST_PREFIX.fullmatch(digits) else ""
