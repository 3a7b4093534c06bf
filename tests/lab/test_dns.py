"""What DNS says at real daemons: the living, in the order of the asker's site; a death and a return within seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from lab.node import DOMAIN
from tests.lab.conftest import Federation, a_lab
from tests.lab.naming import (
    UDP,
    Change,
    address,
    asterisk_killed,
    cut,
    dig,
    killed,
    listen,
    services,
)

WITHIN = 2.0  # seconds until the last of all nodes says so
SETTLED = 3.0  # seconds after which who has just joined can speak for its site (core/replication/sites.py)


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    """Two sites of two nodes, all of which answer; d takes TLS and has an IPv6 address, too."""
    with a_lab("dns", 4, sites=2) as lab:
        found = Federation(lab, "".join(node.name for node in lab.nodes()))
        listen(found, "127.0.0.1:5353")
        lab.configure("d", "asterisk", "phones", ["tls", "udp"])
        lab.configure("d", "asterisk", "phone_addresses", ["2001:db8::4", address(found, "d")])
        lab.start_all(found.names, "daemon")
        found.until(found.whole, 60)
        time.sleep(SETTLED)
        yield found


def of_the_site_of_a(federation: Federation, *, forwards: bool) -> str:
    """Its node that speaks for it, or its other one."""
    ours, speaker = sites(federation), federation.get("a", "/status")["sites"][0]["forwarder"]
    return next(n for n in ours if ours[n] == ours["a"] and (n == speaker) is forwards)


def sites(federation: Federation) -> dict[str, str]:
    return {m["node"]: m["site"] for m in federation.get("a", "/members")}


def expected(federation: Federation, site: str) -> dict[str, int]:
    return {n: 10 if s == site else 20 for n, s in sites(federation).items()}


def test_every_node_names_all_nodes_those_of_its_site_first(federation: Federation) -> None:
    """By UDP and by TCP, to whomever no network of a site names."""
    for node, site in sites(federation).items():
        for how, at in ((), {}), (("+tcp",), {}), (("-p", "5353"), {"at": "127.0.0.1"}):
            federation.until(
                lambda node=node, site=site, how=how, at=at: (  # type: ignore[misc]
                    services(federation, node, *how, **at) == expected(federation, site)
                ),
                what=f"{node} {how}",
            )
    assert len(set(sites(federation).values())) == 2


def test_the_site_of_an_asker_is_that_of_its_network(federation: Federation) -> None:
    """An edit anywhere, known everywhere: a of one site asks d of the other."""
    mine, other = sites(federation)["a"], sites(federation)["d"]
    assert services(federation, "d", asker="a") == expected(federation, other)
    federation.lab.exec(
        "b", ["pbxfed", "site", "add", mine, "--nets", f"{address(federation, 'a')}/32"]
    )
    federation.until(lambda: services(federation, "d", asker="a") == expected(federation, mine), 10)
    federation.lab.exec("b", ["pbxfed", "site", "rm", mine])


def test_all_kinds_of_records(federation: Federation) -> None:
    """As RFC 3263 has a client ask for them."""
    naptr = dig(federation, "d", "+short", DOMAIN, "NAPTR").splitlines()
    assert f'10 10 "s" "SIPS+D2T" "" _sips._tcp.{DOMAIN}.' in naptr
    assert f'10 20 "s" "SIP+D2U" "" _sip._udp.{DOMAIN}.' in naptr
    assert dig(federation, "a", "+short", f"_sips._tcp.{DOMAIN}", "SRV").endswith(
        f"100 5061 d.{DOMAIN}."
    )
    assert dig(federation, "a", "+short", f"d.{DOMAIN}", "AAAA") == "2001:db8::4"
    assert dig(federation, "a", "+short", f"d.{DOMAIN}", "A") == address(federation, "d")
    servers = dig(federation, "a", "+short", DOMAIN, "NS").splitlines()
    assert sorted(servers) == [f"{name}.{DOMAIN}." for name in federation.names]
    assert dig(federation, "a", "+short", DOMAIN, "SOA").startswith(f"a.{DOMAIN}. hostmaster.")
    near = [n for n, s in sites(federation).items() if s == sites(federation)["a"]]
    found = dig(federation, "a", "+short", DOMAIN, "A").splitlines()
    assert sorted(found) == sorted(address(federation, name) for name in near)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ((DOMAIN, "TXT"), "NOERROR"),
        ((f"nobody.{DOMAIN}", "A"), "NXDOMAIN"),
        (("example.org", "A"), "REFUSED"),
        ((DOMAIN, "ANY", "+notcp"), "NOERROR"),
        ((DOMAIN, "TXT", "-c", "CH"), "REFUSED"),
        ((DOMAIN, "SOA", "+opcode=NOTIFY"), "NOTIMP"),
        ((DOMAIN, "SOA", "+opcode=UPDATE"), "NOTIMP"),
        ((DOMAIN, "SOA", "+edns=1", "+noednsneg"), "BADVERS"),
        ((UDP, "SRV", "+bufsize=512", "+cookie", "+dnssec"), "NOERROR"),
    ],
)
def test_odd_questions(federation: Federation, words: tuple[str, ...], status: str) -> None:
    """Each gets its code; none is recursed for."""
    said = dig(federation, "b", *words)
    assert f"status: {status}" in said
    flags = said.partition(";; flags:")[2].partition(";")[0].split()
    assert "ra" not in flags
    assert "Warning: Message parser reports malformed" not in said


def test_a_transfer_is_refused(federation: Federation) -> None:
    """The export is for that."""
    assert "Transfer failed" in dig(federation, "a", DOMAIN, "AXFR")


def test_a_drained_node_is_named_last_until_that_is_taken_back(federation: Federation) -> None:
    """At its own site and across; phones that stand registered there ask once more, and find another."""
    lab = federation.lab

    def all_say(found: int | None) -> bool:
        """This priority, or the usual one of each asker's site."""
        usual = {node: expected(federation, site) for node, site in sites(federation).items()}
        wanted = {n: {**at, "b": found or at["b"]} for n, at in usual.items()}
        return all(services(federation, node) == wanted[node] for node in federation.names)

    lab.pbxfed("b", "drain", "--deadline", "60")
    try:
        federation.until(lambda: all_say(30), 12, what="b last")
    finally:
        lab.pbxfed("b", "undrain")
    federation.until(lambda: all_say(None), 12, what="b as before")


@pytest.mark.parametrize("what", [killed, asterisk_killed, cut])
@pytest.mark.parametrize("forwards", [False, True], ids=["another", "forwarder"])
def test_the_living_are_named_within_two_seconds_of_a_death_and_of_a_return(
    federation: Federation, what: Callable[[Federation, str], Change], forwards: bool
) -> None:
    """At its own site and across, where only the site's word tells: of the death of who spoke for it, another's."""
    federation.until(federation.whole, 30)
    time.sleep(SETTLED)
    found = what(federation, of_the_site_of_a(federation, forwards=forwards))
    print(f"{what.__name__}: gone after {found.gone:.2f} s, back after {found.back:.2f} s")
    assert found.gone <= WITHIN
    assert found.back <= WITHIN
    federation.until(federation.whole, 30)


def test_the_zone_is_exported(federation: Federation) -> None:
    """All nodes, as text and as JSON."""

    def zone() -> str:
        return str(federation.lab.exec("a", ["pbxfed", "dns", "zone"], capture_output=True).stdout)

    assert zone().startswith(f"$ORIGIN {DOMAIN}.\n")
    for name in federation.names:
        served = f"10 100 5060 {name}.{DOMAIN}."
        federation.until(lambda served=served: served in zone(), what=served)  # type: ignore[misc]
    done = federation.lab.exec("a", ["pbxfed", "dns", "zone", "--delegation"], capture_output=True)
    assert sum(" NS " in line for line in done.stdout.splitlines()) == len(federation.names)
