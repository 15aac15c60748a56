"""Gives one mutant to the reader: returns its verdict, or raises if the reader failed.

The reader fails if it accepts content that is not the original's (unless the trusted key signed it and the oracle finds
it consistent), raises anything but `BundleRejectedError` or `CannotCheckError`, or takes too much time or memory.
"""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bundles.format import BundleRejectedError, CannotCheckError, KeyRing, TrustedKey, VerifiedBundle, verify_bundle
from fuzz import oracle, signer
from fuzz.corpus import original_listing
from fuzz.mutants import Mutant

MOST_SECONDS = 10
MOST_GROWTH_KIB = 256 * 1024


class ReaderFailedError(Exception):
    """The reader accepted, raised or took what it must not."""


class Judge:
    """Reads mutants through one file.

    Args:
        path: the file, overwritten for each mutant; best on a tmpfs.
        read: the reader; replaced in tests of this class.
    """

    def __init__(self, path: Path, read: Callable[[Path, KeyRing], VerifiedBundle] = verify_bundle) -> None:
        self._path, self._read = path, read
        self._keys = KeyRing(
            (TrustedKey(signer.key_id(), "fuzz", revoked=False, public=signer.private_key().public_key()),),
            allow_weak=True,
        )
        self._idle_kib = peak_kib()

    def verdict(self, mutant: Mutant) -> str:
        """`verified`, or the code with which it was refused.

        Raises:
            ReaderFailedError: as the module's docstring says.
        """
        self._path.write_bytes(mutant.bundle)
        started, accepted, code = time.monotonic(), None, "verified"
        before = signal.signal(signal.SIGALRM, _too_long)
        signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
        try:
            accepted = self._read(self._path, self._keys)
        except (BundleRejectedError, CannotCheckError) as error:
            code = error.code
        except Exception as error:
            raise ReaderFailedError(f"{type(error).__name__}: {error}"[:300]) from error
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        if time.monotonic() - started > MOST_SECONDS:
            raise ReaderFailedError("the reading took too long")
        if peak_kib() - self._idle_kib > MOST_GROWTH_KIB:
            raise ReaderFailedError("the reading took too much memory")
        if accepted is not None:
            self._check(mutant, accepted)
        return code

    def _check(self, mutant: Mutant, accepted: VerifiedBundle) -> None:
        rows = sorted((entry.path, entry.size, entry.sha256) for entry in accepted.manifest.files)
        said = (accepted.manifest.incident_id, tuple(rows))
        try:
            held = oracle.read(mutant.bundle)
        except Exception as error:
            raise ReaderFailedError(f"accepted, but the oracle says: {error}"[:300]) from error
        if said != held:
            raise ReaderFailedError("accepted, but the oracle reads something else in it")
        if not mutant.resigned and said != original_listing():
            raise ReaderFailedError("accepted, though its content is not the original's and nobody signed it")


def peak_kib() -> int:
    """The peak resident memory of this process, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _too_long(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise TimeoutError(f"no verdict after {MOST_SECONDS} s")
