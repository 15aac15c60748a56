"""Generates the bytes of the synthetic incident's artifacts: realistic in structure and compressibility, but harmless.

Generators have fixed seeds, so the bytes are always the same.
"""

from __future__ import annotations

import csv
import io
import json
import struct
from collections.abc import Callable
from random import Random

from bundles.samples import scenario

MIB = 1024 * 1024
PAGE_BYTES = 4096

Maker = Callable[[Random], bytes]


def event_log(size_bytes: int) -> Maker:
    """A simplified Windows event log: file header, then chunks of records with UTF-16 text."""

    def make(random: Random) -> bytes:
        out = bytearray(b"ElfFile\0".ljust(PAGE_BYTES, b"\0"))
        number = 0
        while len(out) < size_bytes:
            chunk = bytearray(b"ElfChnk\0".ljust(512, b"\0"))
            while len(chunk) < 62 * 1024:
                number += 1
                step = random.choice(scenario.STEPS)
                text = f"{step.event_id} {step.channel} {step.command} {random.getrandbits(64):016x}".encode(
                    "utf-16-le"
                )
                chunk += struct.pack("<IIQQ", 0x2A2A, len(text) + 28, number, random.getrandbits(48)) + text
                chunk += struct.pack("<I", len(text) + 28)
            out += chunk[: 64 * 1024].ljust(64 * 1024, b"\0")
        return bytes(out[:size_bytes])

    return make


def capture(packets: int) -> Maker:
    """A packet capture: the classic pcap header and UDP datagrams between documentation addresses."""

    def make(random: Random) -> bytes:
        out = bytearray(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        ends = [_address(scenario.ADDRESSES[scenario.FILES]), _address(scenario.ATTACKER)]
        seconds = int(scenario.BEGAN.timestamp()) + 47 * 3600
        for number in range(packets):
            payload = random.randbytes(random.randint(40, 900))
            udp = struct.pack(">HHHH", 51820, 443, 8 + len(payload), 0) + payload
            source, target = ends if number % 5 else reversed(ends)
            ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), number & 0xFFFF, 0, 64, 17, 0) + source + target
            frame = bytes.fromhex("02005e000001 02005e000002 0800") + ip + udp
            out += struct.pack("<IIII", seconds + number // 50, number % 50 * 20000, len(frame), len(frame)) + frame
        return bytes(out)

    return make


def memory(size_bytes: int) -> Maker:
    """A simplified memory dump: every other page is random, the others are text or empty."""

    def make(random: Random) -> bytes:
        out = bytearray(b"MDMP".ljust(PAGE_BYTES, b"\0"))
        words = "lsass.exe wdigest kerberos msv1_0 CORP svc-backup ".encode("utf-16-le")
        text = (words * (PAGE_BYTES // len(words) + 1))[:PAGE_BYTES]
        while len(out) < size_bytes:
            out += random.randbytes(PAGE_BYTES)
            out += text if random.random() < 0.5 else bytes(PAGE_BYTES)
        return bytes(out[:size_bytes])

    return make


def table(fields: tuple[str, ...], rows: int) -> Maker:
    """A CSV file with a header."""

    def make(random: Random) -> bytes:
        out = io.StringIO(newline="")
        writer = csv.writer(out)
        writer.writerow(fields)
        hosts = list(scenario.ADDRESSES)
        for number in range(rows):
            host = random.choice(hosts)
            writer.writerow([number, host, scenario.ADDRESSES[host], random.choice(scenario.STEPS).command])
        return out.getvalue().encode()

    return make


def detections(random: Random) -> bytes:
    """An endpoint agent's export: a JSON array."""
    found = [
        {
            "number": number,
            "host": step.hosts[0],
            "technique": step.technique,
            "score": round(random.random(), 3),
            "command": step.command,
        }
        for number, step in enumerate(random.choices(scenario.STEPS, k=900))
    ]
    return json.dumps(found, indent=1).encode()


def proxy_log(random: Random) -> bytes:
    """Lines of a web proxy's access log."""
    source = scenario.ADDRESSES[scenario.FINANCE]
    lines = [
        f"{1768205645 + number * 60}.{random.randint(0, 999):03d} {random.randint(20, 900)} {source} TCP_TUNNEL/200 "
        f"{random.randint(900, 9000)} CONNECT cdn.example.net:443 - HIER_DIRECT/{scenario.RELAY} -"
        for number in range(6000)
    ]
    return ("\n".join(lines) + "\n").encode()


def text(content: str) -> Maker:
    """A text file."""
    return lambda _random: content.encode()


RANSOM_NOTE = """NIGHTGLASS

Your files are encrypted. Copies of them are with us.
Write to nightglass@example.net and name the number below. Do not call the police.

Number: 7F3A-0042-EXAMPLE

(This note belongs to a synthetic incident. Nothing was encrypted.)
"""

SCRIPT = """# Stage 2 of the synthetic incident. It only prints: there is nothing in it that does harm.
$Target = 'https://cdn.example.net/updates/'
Write-Output "would ask $Target for work"
Write-Output 'would sleep for 60 seconds'
"""

MAIL = """From: Billing <billing@supplier.example.com>
To: Ana Torres <ana.torres@corp.example.com>
Subject: =?utf-8?q?Overdue_invoice_88412?=
Date: Mon, 12 Jan 2026 08:14:05 +0000
Message-ID: <88412@supplier.example.com>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8

Dear Ana,

please find our invoice attached and enable editing to see the amount.

[attachment removed: Invoice 88412.docm]
"""


def _address(dotted: str) -> bytes:
    return bytes(int(part) for part in dotted.split("."))
