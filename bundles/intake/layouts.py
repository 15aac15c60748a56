"""Which collector an archive is from, told by the layout of its members, in words for people."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bundles.intake import velociraptor

SINGLE = "file"
_KAPE = re.compile(
    r"(?:.*/)?\d{4}-\d\d-\d\dT[0-9_]{6,16}_(?:CopyLog\.csv|SkipLog\.csv(?:\.csv)?|ConsoleLog\.txt)", re.ASCII
)
_UAC_FOLDERS = ("live_response/", "[root]/", "bodyfile/")
_OF_A_DRIVE = re.compile(r"[A-Z]/(?:\$MFT|\$LogFile|Windows/System32/.+)", re.ASCII | re.IGNORECASE)


def words_of(container: str, names: Iterable[str]) -> str:
    """What an archive with members of these names is.

    Args:
        container: `file` for what is no archive.
        names: of its members.
    """
    if container == SINGLE:
        return "a file"
    found = [name.removeprefix("./").replace("\\", "/") for name in names]
    if velociraptor.is_collection(found):
        return "a collection of Velociraptor"
    if any(_KAPE.fullmatch(name) for name in found):
        return "a collection of KAPE"
    if "uac.log" in found and any(name.startswith(_UAC_FOLDERS) for name in found):
        return "a collection of UAC"
    if any(_OF_A_DRIVE.fullmatch(name) for name in found):
        return "files of a Windows drive, as CyLR collects them"
    return "an archive"
