"""The migrations give exactly the schema that is written down: a change of it is seen in review, and none is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import schema

KNOWN = Path(__file__).with_name("schema.txt")


@pytest.mark.django_db
def test_the_migrations_give_the_schema_that_is_written_down():
    assert schema.lines() == KNOWN.read_text(encoding="utf-8").splitlines()
