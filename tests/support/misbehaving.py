"""Records as real sources send them, good and bad, and answers of services that are made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from bundles.format.model.canonical import RECORD_DEPTH
from tests.support.upstreams import Answer

BOUND = 600  # characters; a record of `too_large` has more, all others have fewer


def good(number: int) -> bytes:
    """A record with text that is not ASCII, escapes, brackets in texts and a number that a double cannot hold."""
    text = (
        f'{{"id":"r{number}","n":{number},"t":"é \\ud83d ]}},{{[ \\" \\\\","at":1486215887.584922537,"deep":[[{{}}]]}}'
    )
    return text.encode()


def duplicate_key(number: int) -> bytes:
    return b'{"id":"r%d","raw":{"tls":{"subject":"a","x":1,"subject":"a"}}}' % number


def not_a_number(number: int) -> bytes:
    return b'{"score":NaN,"id":"r%d"}' % number


def infinite(number: int) -> bytes:
    return b'{"id":"r%d","list":[1,{"x":-Infinity}]}' % number


def control_character(number: int) -> bytes:
    return b'{"id":"r%d","name":"svc\x03name"}' % number


def not_utf8(number: int) -> bytes:
    return b'{"id":"r%d","path":"C:\xed\xa0\x80.exe"}' % number


def too_deep(number: int) -> bytes:
    return b'{"id":"r%d","tree":' % number + b"[" * RECORD_DEPTH + b"]" * RECORD_DEPTH + b"}"


def too_large(number: int) -> bytes:
    return b'{"id":"r%d","eml":"' % number + b'\\"],{' * (BOUND // 4) + b'"}'


def syntax(number: int) -> bytes:
    return b'{"id":"r%d","code":[007]}' % number


# What is wrong → how to make such a record, and the field and a part of the reason by which it is named.
BAD: dict[str, tuple[Callable[[int], bytes], str, str]] = {
    "a key twice": (duplicate_key, "raw.tls.subject", "twice"),
    "NaN": (not_a_number, "score", "NaN"),
    "Infinity": (infinite, "list[1].x", "-Infinity"),
    "a control character": (control_character, "name", "U+0003"),
    "not UTF-8": (not_utf8, "path", "not UTF-8"),
    "too deep": (too_deep, "tree", "nested more"),
    "too large": (too_large, "", "larger than"),
    "not JSON": (syntax, "code[0]", "not JSON"),
}


def listed(key: str, records: list[bytes], **others: Any) -> bytes:
    """An answer with a list of records under `key`, and the other members behind it."""
    rest = json.dumps(others)[1:-1]
    return b'{"%b":[%b]%b}' % (key.encode(), b",".join(records), (", " + rest).encode() if rest else b"")


def sends(body: bytes) -> Answer:
    """Answers a request for a list with `body`, and one for an artifact's content with an empty file."""

    def answer(exchange: Any) -> bool:
        sent = b"" if exchange.path.endswith("/content") else body
        exchange.send_head(200, len(sent), "application/json")
        exchange.wfile.write(sent)
        return True

    return answer
