"""Seeds: what DNS says, said once, and again when it changes."""

import logging
import socket
from collections.abc import Iterator

import pytest

from lab.dnsbox import DnsBox, Record
from pbxfed_ari.core.events import Address
from pbxfed_ari.links.seeds import RETRY, SHORTEST, Seeds

SERVICE = "_pbxfed._udp.pbx.example"


@pytest.fixture
def dns() -> Iterator[DnsBox]:
    """A DNS server of our own, with two hosts."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    records: dict[str, list[Record]] = {
        "a.pbx.example.": ["10.0.0.1"],
        "b.pbx.example.": ["10.0.0.2"],
        f"{SERVICE}.": [("a.pbx.example.", 8781), ("b.pbx.example.", 9000)],
    }
    with DnsBox(sock, records) as box:
        yield box


def made(dns: DnsBox, *peers: str, srv: str = "") -> tuple[Seeds, list[tuple[Address, ...]]]:
    told: list[tuple[Address, ...]] = []
    return Seeds(peers, srv, 8781, told.append, servers=[f"127.0.0.1:{dns.port}"]), told


async def test_a_list_of_addresses_asks_nobody(dns: DnsBox) -> None:
    """With a port of its own, or the federation's."""
    seeds, told = made(dns, "10.0.0.7", "10.0.0.8:9000")
    await seeds.look()
    assert told == [(("10.0.0.7", 8781), ("10.0.0.8", 9000))]
    assert dns.asked == []


async def test_names_are_looked_up(dns: DnsBox) -> None:
    """Each of the list."""
    seeds, told = made(dns, "b.pbx.example:9001", "a.pbx.example")
    await seeds.look()
    assert told == [(("10.0.0.2", 9001), ("10.0.0.1", 8781))]


async def test_service_records_name_hosts_and_ports(dns: DnsBox) -> None:
    """RFC 2782."""
    seeds, told = made(dns, srv=SERVICE)
    await seeds.look()
    assert told == [(("10.0.0.1", 8781), ("10.0.0.2", 9000))]
    assert seeds.pause >= SHORTEST


async def test_one_target_that_has_no_address_does_not_hide_the_others(dns: DnsBox) -> None:
    """A host was taken away and its record forgotten."""
    seeds, told = made(dns, srv=SERVICE)
    del dns.records["a.pbx.example."]
    await seeds.look()
    assert told == [(("10.0.0.2", 9000),)]


async def test_only_what_changes_is_told(dns: DnsBox) -> None:
    """And a record that is gone is no seed any more."""
    seeds, told = made(dns, srv=SERVICE)
    await seeds.look()
    await seeds.look()
    dns.records[f"{SERVICE}."] = [("b.pbx.example.", 9000)]
    await seeds.look()
    assert told == [(("10.0.0.1", 8781), ("10.0.0.2", 9000)), (("10.0.0.2", 9000),)]


async def test_a_failure_is_logged_once_and_what_was_found_stands(
    dns: DnsBox, caplog: pytest.LogCaptureFixture
) -> None:
    """The list beside it goes on working; when the name is back that is said too."""
    caplog.set_level(logging.INFO)
    seeds, told = made(dns, "10.0.0.7", srv=SERVICE)
    await seeds.look()
    found = dns.records.pop(f"{SERVICE}.")
    for _ in range(3):
        await seeds.look()
        assert seeds.pause == RETRY
    dns.records[f"{SERVICE}."] = found
    await seeds.look()
    assert told == [(("10.0.0.7", 8781), ("10.0.0.1", 8781), ("10.0.0.2", 9000))]
    lines = [record.getMessage() for record in caplog.records if "lan.srv" in record.getMessage()]
    assert len(lines) == 2
    assert f"lan.srv: {SERVICE} cannot be looked up" in lines[0]
    assert "again" in lines[1]
