"""A full disk is recognized by its errnos, in the same way as by the bundle format."""

from __future__ import annotations

import errno
import os

import pytest

from bundles.format.writing.packing import write_error
from foundation.disk import is_disk_full


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_space_a_used_up_quota_and_a_size_limit_are_a_full_disk(number: int) -> None:
    assert is_disk_full(OSError(number, os.strerror(number)))


def test_the_bundle_format_has_the_same_errnos() -> None:
    errors = [OSError(number, os.strerror(number)) for number in errno.errorcode]
    assert [one for one in errors if is_disk_full(one) is not (write_error(one).code == "storage_full")] == []
