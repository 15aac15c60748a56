"""Bundles to and from pipes, which cannot be read twice or written backwards.

To a pipe, the payload goes first; manifest and signature follow when its digests are known. From a pipe, a bundle is
spooled into a file without a name and verified from there, so that every rule of the reading plan holds.
"""

from __future__ import annotations

import hashlib
import os
import select
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from bundles.format.model.errors import BundleRejectedError, CannotCheckError
from bundles.format.model.limits import DEFAULT_CHUNK_MIB, DEFAULT_LIMITS, MIB, Limits
from bundles.format.model.signing import SigningKey
from bundles.format.reading.container import Opened
from bundles.format.writing.packing import write_all, write_error
from bundles.format.writing.payload import Payload
from bundles.format.writing.writer import WrittenBundle
from bundles.format.writing.writing import prepare

PIECE_BYTES = MIB
STANDARD_STREAM = Path("-")


@contextmanager
def spooled(descriptor: int, directory: Path | None = None, limits: Limits = DEFAULT_LIMITS) -> Iterator[Opened]:
    """Everything that can be read from `descriptor`, as a file without a name.

    Args:
        descriptor: a pipe, read to its end.
        directory: where there is room; `$TMPDIR` unless given.
        limits: `total_bytes` bounds what is spooled, `stall_s` how long to wait for more.

    Raises:
        BundleRejectedError: `size_exceeded`.
        CannotCheckError: `cannot_spool`, or `stalled`.
    """
    with ExitStack() as stack:
        try:
            spool = stack.enter_context(tempfile.TemporaryFile(dir=directory, buffering=0)).fileno()
            total = 0
            while piece := _next_piece(descriptor, limits.stall_s):
                total += len(piece)
                if total > limits.total_bytes:
                    raise BundleRejectedError("size_exceeded", "There is more to read than is allowed.")
                view = memoryview(piece)
                while view:
                    view = view[os.write(spool, view) :]
        except OSError as error:
            raise CannotCheckError("cannot_spool", f"What was piped in cannot be kept: {error.strerror}.") from error
        yield Opened(spool, "-")


def _next_piece(descriptor: int, stall_s: float) -> bytes:
    readable, _, _ = select.select([descriptor], [], [], stall_s)
    if not readable:
        raise CannotCheckError("stalled", f"Nothing has come through the pipe for {stall_s:g} seconds.")
    return os.read(descriptor, PIECE_BYTES)


def stream_bundle(
    out: int,
    *,
    incident_id: str,
    payloads: Sequence[Payload],
    key: SigningKey,
    chunk_size: int = DEFAULT_CHUNK_MIB * MIB,
    compression: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> WrittenBundle:
    """Write a signed bundle to a pipe, front to back: payload, manifest, signature.

    Args:
        out: an open descriptor; it stays open.
        incident_id: whose evidence it is.
        payloads: the members, in any order.
        key: signs the manifest.
        chunk_size: files larger than this many bytes get chunk digests.
        compression: `zstd` or `gzip`; what is available unless given.
        progress: called with payload bytes done and in all.

    Raises:
        CannotWriteError: as `write_bundle`. What was written then is cut off, and no reader takes it for a bundle.
    """
    job = prepare(
        incident_id=incident_id,
        payloads=payloads,
        key=key,
        chunk_size=chunk_size,
        compression=compression,
        progress=progress,
    )
    with _Meter(out) as meter:
        signed = job.write_zstd_last(meter.inlet) if job.compression == "zstd" else job.write_gzip(meter.inlet)
    return WrittenBundle(
        path=STANDARD_STREAM,
        size=meter.size,
        sha256=meter.sha256.hexdigest(),
        manifest=signed.manifest,
        manifest_bytes=signed.raw,
        key_id=key.key_id,
    )


class _Meter:
    """Passes on what is written to `inlet`, counted and hashed on a thread; no more waits in it than a pipe holds."""

    def __init__(self, out: int) -> None:
        self._out = out
        self._outlet, self.inlet = os.pipe2(os.O_CLOEXEC)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="meter")
        self.size = 0
        self.sha256 = hashlib.sha256()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        os.close(self.inlet)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while piece := os.read(self._outlet, PIECE_BYTES):
                self.sha256.update(piece)
                self.size += len(piece)
                write_all(self._out, piece)
        except OSError as error:
            self._failure = write_error(error)
        except BaseException as error:  # noqa: BLE001 # told to the writer's thread by __exit__
            self._failure = error
        finally:
            with suppress(OSError):
                os.close(self._outlet)  # a writer that goes on is told by a broken pipe
