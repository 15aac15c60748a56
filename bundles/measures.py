"""The metrics of bundles and their buckets. `bundle_made` is called in the transaction that registers a bundle."""

from __future__ import annotations

from jobs.measures import observe

SIZE_NAME = "orch_bundle_size_bytes"
SIZE_BUCKETS_BYTES = tuple(float(4**power) for power in range(7, 21))  # 16 KiB to 1 TiB, by factors of four
DURATION_NAME = "orch_bundle_duration_seconds"
DURATION_BUCKETS_S = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0)


def bundle_made(*, size_bytes: int, duration_s: float) -> None:
    """Observe a bundle that is registered in this transaction.

    Args:
        size_bytes: size of the bundle's file.
        duration_s: from the start of the job's last attempt until now.
    """
    observe(SIZE_NAME, size_bytes, SIZE_BUCKETS_BYTES)
    observe(DURATION_NAME, max(0.0, duration_s), DURATION_BUCKETS_S)
