"""Shared by the command-line tools: exit codes, progress on a terminal, reports as text."""

from __future__ import annotations

import json
import os
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

from bundles.format.model.errors import STEPS
from bundles.format.model.signing import TrustedKey

VERIFIED, NOT_VERIFIED, CANNOT_CHECK = 0, 1, 2


def printable(text: str) -> str:
    """`text` with control and format characters escaped, so that it cannot steer a terminal."""
    return "".join(
        character if character.isprintable() and unicodedata.category(character) != "Cf" else repr(character)[1:-1]
        for character in text
    )


def say(text: str) -> None:
    """Print one line on standard output; characters outside its encoding are escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader closed the pipe. The exit code still gives the verdict.
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def say_json(value: Any) -> None:
    """Print a JSON document on standard output."""
    say(json.dumps(value, indent=2))


def complain(code: str, detail: str) -> None:
    """Print one line on standard error."""
    sys.stderr.write(f"error: {printable(detail)} [{code}]\n")


def progress_on_stderr(verb: str) -> Callable[[int, int], None] | None:
    """A progress callback that writes to standard error; None if that is not a terminal."""
    if not sys.stderr.isatty():
        return None
    last = 0.0

    def show(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done == total or now - last > 0.2:
            last = now
            share = 100 * done // total if total else 100
            sys.stderr.write(
                f"\r{verb}: {share:3d} % ({done >> 20} of {total >> 20} MiB)" + ("\n" if done == total else "")
            )
            sys.stderr.flush()

    return show


def say_report(report: dict[str, Any], cosigners: Iterable[TrustedKey] = ()) -> None:
    """Print a verification report and the co-signers."""
    verdict = "VERIFIED" if report["verified"] else "NOT VERIFIED"
    say(f"{verdict}: {printable(report['bundle'])}")
    if report["error"]:
        say(f"  because: {printable(report['error']['detail'])} [{report['error']['code']}]")
    for check in report["checks"]:
        mark = {True: "ok", False: "FAILED", None: "not checked"}[check["ok"]]
        say(f"  {mark:11}  {STEPS[check['name']]}")
    if report["incident_id"] is None:
        return
    note = "" if report["verified"] else " (as signed; the payload is not verified)"
    say(f"  incident        {report['incident_id']}, bundled {printable(report['created_at'])}{note}")
    say(f"  content         {report['files']} files, {report['bytes']} bytes")
    say(f"  content digest  {report['content_digest']}")
    if report["sha256"]:
        say(f"  bundle SHA-256  {report['sha256']}")
    if report["key_id"]:
        say(f"  signed by       {printable(report['signer'])}, key {report['key_id']}")
    for key in cosigners:
        say(f"  co-signed by    {printable(key.name)}, key {key.key_id}")
    say_weak_keys(report)
    if not report["complete"]:
        say(f"  NOT COMPLETE: {len(report['missing'])} missing")
        for gap in report["missing"]:
            name = gap.get("path") or "source " + gap.get("source", "")
            say(f"    {printable(name)}: {printable(gap['reason'])}")


def say_weak_keys(report: dict[str, Any]) -> None:
    """Print the signatures that count only because weak keys are allowed."""
    for key in report.get("weak_keys", ()):
        say(f"  WEAK KEY        {key['weakness']}: counts because of --allow-weak-keys; key {key['key_id']}")
