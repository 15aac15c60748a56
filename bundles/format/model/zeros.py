"""A fast check for zero bytes."""


def is_zero(data: bytes | memoryview) -> bool:
    """Whether every byte is zero (true for no bytes)."""
    return not bytes(data).strip(b"\0")
