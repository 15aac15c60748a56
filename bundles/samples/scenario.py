"""The scenario of the synthetic incident: hosts, addresses, and the steps of a ransomware attack in order.

Everything is fictitious. Names end in example.com, addresses are reserved for documentation (RFC 5737), and techniques
have their MITRE ATT&CK names.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

INCIDENT_ID = "incident-123"
BEGAN = datetime(2026, 1, 12, 8, 14, 5, tzinfo=UTC)
ATTACKER = "203.0.113.66"
RELAY = "198.51.100.23"

FINANCE = "fin-ws-07.corp.example.com"
HELPDESK = "it-ws-02.corp.example.com"
MAIL = "mail-01.corp.example.com"
CONTROLLER = "dc-01.corp.example.com"
FILES = "fs-01.corp.example.com"
BACKUP = "backup-01.corp.example.com"
DATABASE = "sql-01.corp.example.com"
ADDRESSES = {
    FINANCE: "192.0.2.17",
    HELPDESK: "192.0.2.22",
    MAIL: "192.0.2.25",
    CONTROLLER: "192.0.2.10",
    FILES: "192.0.2.30",
    BACKUP: "192.0.2.40",
    DATABASE: "192.0.2.50",
}
SYSMON = "Microsoft-Windows-Sysmon/Operational"
POWERSHELL = "Microsoft-Windows-PowerShell/Operational"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One action of the attacker and its traces.

    Attributes:
        tactic: the ATT&CK tactic.
        technique: the ATT&CK technique's id.
        name: the technique's name.
        alert_type: the name of the detection.
        severity: of its alerts.
        hosts: source and target; the same host twice if only one is involved.
        after: time since the start of the incident.
        lasts: duration.
        alerts: number of alerts.
        event_id: of the log record.
        channel: of the log record.
        command: the command, or what was observed.
        artifact: the name of the artifact with the evidence.
    """

    tactic: str
    technique: str
    name: str
    alert_type: str
    severity: str
    hosts: tuple[str, str]
    after: timedelta
    lasts: timedelta
    alerts: int
    event_id: int
    channel: str
    command: str
    artifact: str


def _step(row: str, hosts: tuple[str, str], shown: tuple[float, int, int], command: str) -> Step:
    """A step from two lines of the table below.

    Args:
        row: `tactic | technique | name | alert_type | severity | event_id | channel | artifact`.
        hosts: source and target.
        shown: hours since the start, duration in minutes, number of alerts.
        command: the command, or what was observed.
    """
    after_h, lasts_m, alerts = shown
    tactic, technique, name, alert_type, severity, event_id, channel, artifact = row.split(" | ")
    return Step(
        tactic=tactic,
        technique=technique,
        name=name,
        alert_type=alert_type,
        severity=severity,
        hosts=hosts,
        after=timedelta(hours=after_h),
        lasts=timedelta(minutes=lasts_m),
        alerts=alerts,
        event_id=int(event_id),
        channel=channel,
        command=command,
        artifact=artifact,
    )


FIN_LOG, DC_LOG, FS_LOG, BACKUP_LOG = (
    f"{host.split('.')[0]} Security.evtx" for host in (FINANCE, CONTROLLER, FILES, BACKUP)
)
PS_LOG = "fin-ws-07 PowerShell Operational.evtx"
MAIL_LOG = "mail-gateway.csv"
PCAP = "egress capture 2026-01-14.pcap"
PROXY_LOG = "proxy-access.log"
EDR = "edr-detections.json"
MEMORY = "lsass memory of fin-ws-07.dmp"
SHARES = "SMB/Windows Admin Shares"

STEPS = (
    _step(
        f"initial-access | T1566.001 | Spearphishing Attachment | phishing | medium | 1001 | MailGateway | {MAIL_LOG}",
        (MAIL, FINANCE), (0, 20, 9), "Invoice 88412.docm from billing@supplier.example.com",
    ),
    _step(
        f"execution | T1204.002 | Malicious File | office_child_process | high | 1 | {SYSMON} | {FIN_LOG}",
        (FINANCE, FINANCE), (0.6, 12, 14), "WINWORD.EXE started powershell.exe",
    ),
    _step(
        f"execution | T1059.001 | PowerShell | powershell_script_block | high | 4104 | {POWERSHELL} | {PS_LOG}",
        (FINANCE, FINANCE), (0.8, 180, 58), "powershell.exe -NoProfile -WindowStyle Hidden",
    ),
    _step(
        f"command-and-control | T1071.001 | Web Protocols | beacon | high | 3 | {SYSMON} | {PROXY_LOG}",
        (FINANCE, RELAY), (1.1, 5400, 62), "HTTPS to cdn.example.net every 60 s",
    ),
    _step(
        f"persistence | T1053.005 | Scheduled Task | task_created | medium | 4698 | Security | {FIN_LOG}",
        (FINANCE, FINANCE), (1.5, 8, 6), "Task OneDrive Standalone Updater v2",
    ),
    _step(
        f"persistence | T1547.001 | Registry Run Keys | run_key_set | medium | 13 | {SYSMON} | {EDR}",
        (FINANCE, FINANCE), (1.7, 5, 5), "HKCU Run value Updater",
    ),
    _step(
        f"defense-evasion | T1562.001 | Disable or Modify Tools | defender_tampering | high | 5001 | Defender | {EDR}",
        (FINANCE, FINANCE), (3.2, 10, 9), "Real-time protection was turned off",
    ),
    _step(
        f"discovery | T1087.002 | Domain Account | account_discovery | low | 4688 | Security | {FIN_LOG}",
        (FINANCE, CONTROLLER), (20.5, 45, 38), "net group of the domain administrators",
    ),
    _step(
        f"discovery | T1018 | Remote System Discovery | host_discovery | low | 4688 | Security | {FIN_LOG}",
        (FINANCE, CONTROLLER), (21.4, 35, 22), "nltest asks for the domain's controllers",
    ),
    _step(
        f"credential-access | T1003.001 | LSASS Memory | lsass_access | critical | 10 | {SYSMON} | {MEMORY}",
        (FINANCE, FINANCE), (23.1, 6, 8), "rundll32.exe opened lsass.exe",
    ),
    _step(
        f"credential-access | T1558.003 | Kerberoasting | kerberos_ticket_requests | high | 4769 | Security | {DC_LOG}",
        (FINANCE, CONTROLLER), (24.0, 14, 27), "Service tickets with RC4 for 19 accounts",
    ),
    _step(
        f"lateral-movement | T1021.002 | {SHARES} | share_object_access | medium | 5145 | Security | {FS_LOG}",
        (FINANCE, FILES), (26.2, 95, 36), "ADMIN$ was opened by svc-backup",
    ),
    _step(
        f"lateral-movement | T1021.001 | Remote Desktop Protocol | rdp_logon | medium | 4624 | Security | {DC_LOG}",
        (HELPDESK, CONTROLLER), (28.7, 60, 16), "Interactive logon of adm-jensen at night",
    ),
    _step(
        f"privilege-escalation | T1078.002 | Domain Accounts | admin_added | critical | 4728 | Security | {DC_LOG}",
        (CONTROLLER, CONTROLLER), (29.9, 4, 4), "svc-backup was added to Domain Admins",
    ),
    _step(
        f"collection | T1560.001 | Archive via Utility | archive_created | medium | 11 | {SYSMON} | {FS_LOG}",
        (FILES, FILES), (44.0, 120, 20), "7z.exe packed D:\\Shares\\Finance",
    ),
    _step(
        f"exfiltration | T1567.002 | Exfiltration to Cloud Storage | large_upload | high | 3 | {SYSMON} | {PCAP}",
        (FILES, ATTACKER), (47.3, 260, 24), "rclone.exe sent 41 GB in 4 hours",
    ),
    _step(
        f"impact | T1490 | Inhibit System Recovery | shadow_copies_deleted | critical | 4688 | Security | {BACKUP_LOG}",
        (BACKUP, BACKUP), (66.4, 9, 12), "Volume shadow copies were removed",
    ),
    _step(
        f"impact | T1489 | Service Stop | services_stopped | high | 7036 | System | {BACKUP_LOG}",
        (CONTROLLER, DATABASE), (66.7, 11, 18), "MSSQLSERVER entered the stopped state",
    ),
    _step(
        f"impact | T1486 | Data Encrypted for Impact | mass_file_rename | critical | 11 | {SYSMON} | {FS_LOG}",
        (FILES, FILES), (67.0, 48, 32), "Files were renamed to *.nightglass",
    ),
)  # fmt: skip
