"""Times of the file system as text."""

from __future__ import annotations

from datetime import datetime, timedelta

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 # UTC, without an offset in its text
_SECOND = 1_000_000_000  # nanoseconds


def utc_text(nanoseconds: int) -> str | int:
    """A time in RFC 3339 UTC, such as `2019-03-04T05:06:07Z`, with nine decimals unless they are zero.

    Args:
        nanoseconds: since 1970-01-01 UTC; may be negative.

    Returns:
        The text; for a year outside 1 to 9999, which RFC 3339 cannot write, the nanoseconds.
    """
    seconds, rest = divmod(nanoseconds, _SECOND)
    try:
        moment = _EPOCH + timedelta(seconds=seconds)  # not `fromtimestamp`, which some systems refuse for old years
    except OverflowError:
        return nanoseconds
    decimals = f".{rest:09d}" if rest else ""
    return moment.isoformat() + decimals + "Z"
