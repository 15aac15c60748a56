"""Writes bundles to pipes and reads them from pipes.

To a pipe, the payload is written first; manifest and signature follow once its digests are known. From a pipe, a bundle
is spooled to a file without a name and verified there, so that the whole reading plan applies.
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
from bundles.format.writing.assembly import prepare
from bundles.format.writing.packing import write_all, write_error
from bundles.format.writing.payload import Payload
from bundles.format.writing.writer import WrittenBundle

PIECE_BYTES = MIB
STANDARD_STREAM = Path("-")


@contextmanager
def spooled(descriptor: int, directory: Path | None = None, limits: Limits = DEFAULT_LIMITS) -> Iterator[Opened]:
    """Read a pipe to its end into a file without a name.

    Args:
        descriptor: the pipe.
        directory: where to spool; `$TMPDIR` by default.
        limits: `total_bytes` bounds the size, `stall_s` the wait for more bytes.

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
                    raise BundleRejectedError("size_exceeded", "The input is larger than allowed.")
                view = memoryview(piece)
                while view:
                    view = view[os.write(spool, view) :]
        except OSError as error:
            raise CannotCheckError("cannot_spool", f"The piped input cannot be stored: {error.strerror}.") from error
        yield Opened(spool, "-")


def _next_piece(descriptor: int, stall_s: float) -> bytes:
    readable, _, _ = select.select([descriptor], [], [], stall_s)
    if not readable:
        raise CannotCheckError("stalled", f"The pipe delivered nothing for {stall_s:g} seconds.")
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
    """Write a signed bundle to a pipe: payload, manifest, signature.

    Args:
        out: an open descriptor; it stays open.
        incident_id: the incident.
        payloads: the members, in any order.
        key: signs the manifest.
        chunk_size: files larger than this many bytes get chunk digests.
        compression: `zstd` or `gzip`; by default zstd if available.
        progress: called with payload bytes done and in all.

    Raises:
        CannotWriteError: as `write_bundle`. The output is then truncated, and readers refuse it.
    """
    assembly = prepare(
        incident_id=incident_id,
        payloads=payloads,
        key=key,
        chunk_size=chunk_size,
        compression=compression,
        progress=progress,
    )
    with _Meter(out) as meter:
        write = assembly.write_zstd_last if assembly.compression == "zstd" else assembly.write_gzip
        signed = write(meter.inlet)
    return WrittenBundle(
        path=STANDARD_STREAM,
        size=meter.size,
        sha256=meter.sha256.hexdigest(),
        manifest=signed.manifest,
        manifest_bytes=signed.raw,
        key_id=key.key_id,
    )


class _Meter:
    """Forwards what is written to `inlet`, and counts and hashes it on a thread; buffers only what a pipe holds."""

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
        except BaseException as error:  # noqa: BLE001 # raised in the writer's thread by __exit__
            self._failure = error
        finally:
            with suppress(OSError):
                os.close(self._outlet)  # a writer that continues gets a broken pipe
