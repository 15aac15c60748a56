"""Hashes and addresses are read from records exactly, and nothing that only looks like one."""

from __future__ import annotations

import pytest

from bundles.timelines.observables import observables_in

MD5, SHA1, SHA256 = "0123456789abcdef" * 2, "0123456789" * 4, "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (f"MD5={MD5.upper()},SHA256={SHA256}", {MD5, SHA256}),
        (f"sha1:{SHA1}", {SHA1}),
        (f"{MD5}0", set()),
        (f"x{MD5}", set()),
        ("connected to 203.0.113.7:443, then 203.0.113.8.", {"203.0.113.7", "203.0.113.8"}),
        ("(10.0.0.5)", {"10.0.0.5"}),
        ("version 10.0.19041.1 of 1.2.3.4.5", set()),
        ("from 2001:DB8:0:0::7 to [fd00::1]", {"2001:db8::7", "fd00::1"}),
        ("::ffff:203.0.113.7", {"203.0.113.7"}),
        ("12:34:56 aa:bb:cc:dd:ee:ff", set()),
        ("127.0.0.1 ::1 0.0.0.0 224.0.0.251 fe80::1 169.254.1.1 255.255.255.255", set()),
        ("d41d8cd98f00b204e9800998ecf8427e " + "0" * 64, set()),
    ],
)
def test_hashes_and_addresses_are_read_in_one_form(text: str, values: set[str]) -> None:
    assert observables_in([text]) == values


def test_values_do_not_run_into_each_other() -> None:
    assert observables_in(["10.0.0.5", "10.0.0.6", "end"]) == {"10.0.0.5", "10.0.0.6"}
