"""The artifacts of the synthetic incident: name, kind, origin and content."""

from __future__ import annotations

from dataclasses import dataclass

from bundles.samples import contents, scenario
from bundles.samples.contents import MIB, Maker
from bundles.samples.scenario import BACKUP, CONTROLLER, DATABASE, FILES, FINANCE, HELPDESK, MAIL

KIB = 1024
LONG_NAME = "screenshot of the ransom desktop " + "as the night shift found it on the wall display " * 4 + ".bmp"


@dataclass(frozen=True)
class Collected:
    """The description of one artifact.

    Attributes:
        name: its file name.
        kind: `artifact_type` of its record.
        host: where it was collected.
        original_path: its path on that host; empty if not known.
        make: generates its bytes.
    """

    name: str
    kind: str
    host: str
    original_path: str
    make: Maker


LOGS = "C:\\Windows\\System32\\winevt\\Logs\\"
COLLECTED = (
    Collected(scenario.MAIL_LOG, "mail_log", MAIL, "", contents.table(("number", "host", "address", "note"), 1800)),
    Collected("Invoice 88412.eml", "mail", MAIL, "", contents.text(contents.MAIL)),
    Collected(scenario.FIN_LOG, "windows_event_log", FINANCE, LOGS + "Security.evtx", contents.event_log(MIB + 4096)),
    Collected(scenario.PS_LOG, "windows_event_log", FINANCE, LOGS, contents.event_log(580 * KIB)),
    Collected(scenario.DC_LOG, "windows_event_log", CONTROLLER, LOGS + "Security.evtx", contents.event_log(2 * MIB)),
    Collected(scenario.FS_LOG, "windows_event_log", FILES, LOGS + "Security.evtx", contents.event_log(MIB)),
    Collected(scenario.BACKUP_LOG, "windows_event_log", BACKUP, LOGS + "Security.evtx", contents.event_log(69632)),
    Collected("sql-01 System.evtx", "windows_event_log", DATABASE, LOGS + "System.evtx", contents.event_log(69632)),
    Collected(scenario.PCAP, "pcap", FILES, "", contents.capture(4200)),
    Collected("c2 sample 2026-01-12.pcap", "pcap", FINANCE, "", contents.capture(160)),
    Collected(scenario.PROXY_LOG, "network_log", MAIL, "/var/log/squid/access.log", contents.proxy_log),
    Collected(scenario.EDR, "edr_event_export", FINANCE, "", contents.detections),
    Collected(scenario.MEMORY, "memory_dump", FINANCE, "", contents.memory(24 * MIB)),
    Collected("stage2.ps1", "script", FINANCE, "C:\\Users\\Public\\stage2.ps1", contents.text(contents.SCRIPT)),
    Collected("README_NIGHTGLASS.txt", "ransom_note", FILES, "D:\\Shares", contents.text(contents.RANSOM_NOTE)),
    Collected("empty_file", "other", FILES, "D:\\Shares\\Finance\\empty_file", contents.text("")),
    Collected("scheduled task.xml", "scheduled_task", FINANCE, "", contents.text("<Task version='1.2'></Task>\n")),
    Collected("NTUSER.DAT", "registry_hive", FINANCE, "C:\\Users\\ana.torres", contents.memory(256 * KIB)),
    Collected("Überweisungen März (財務).csv", "document", FILES, "", contents.table(("nr", "wo", "ip", "was"), 240)),
    Collected(LONG_NAME, "screenshot", FINANCE, "", contents.memory(48 * KIB)),
    Collected("rclone.conf", "configuration", FILES, "", contents.text("[remote]\ntype = sftp\nhost = 203.0.113.66\n")),
    Collected("archive list.json", "file_index", FILES, "", contents.detections),
    Collected("prefetch RUNDLL32.EXE.pf", "prefetch", FINANCE, "C:\\Windows\\Prefetch", contents.memory(24 * KIB)),
    Collected("analyst notes.md", "analyst_note", HELPDESK, "", contents.text("# Notes\nfin-ws-07 isolated 03:41\n")),
)  # fmt: skip
