"""What dig is told by real daemons: the living, in the order of the asker's site; a death and a return within seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from lab.lab import Lab
from lab.node import DOMAIN
from lab.places import CHECKOUT, Places
from lab.root import ensure_tools
from tests.lab.conftest import Federation

UDP = f"_sip._udp.{DOMAIN}"


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    """Two sites of two nodes, all of which answer; d takes TLS and has an IPv6 address, too."""
    ensure_tools({"dig": "bind9-dnsutils"})
    lab = Lab(Places(CHECKOUT / ".lab-dns"))
    lab.down()
    lab.up(4, sites=2)
    found = Federation(lab, "".join(node.name for node in lab.nodes()))
    try:
        for name in found.names:
            lab.kill(name, "daemon")
            lab.configure(name, "dns", "listen", [address(found, name), "127.0.0.1:5353"])
        lab.configure("d", "asterisk", "phones", ["tls", "udp"])
        lab.configure("d", "asterisk", "phone_addresses", ["2001:db8::4", address(found, "d")])
        for name in found.names:
            lab.start(name, "daemon")
        found.until(found.whole, 60)
        yield found
    finally:
        lab.down()


def address(federation: Federation, node: str) -> str:
    return federation.lab.node(node).host.address


def dig(federation: Federation, server: str, *words: str, at: str = "", asker: str = "") -> str:
    """What dig prints: asked at a node (of itself, unless another asks)."""
    argv = ["dig", "+tries=1", "+time=1", f"@{at or address(federation, server)}", *words]
    done = federation.lab.exec(asker or server, argv, capture_output=True)
    return str(done.stdout).strip()


def services(federation: Federation, server: str, *words: str, **how: str) -> dict[str, int]:
    """The priority of each node that the answer names."""
    lines = dig(federation, server, "+short", UDP, "SRV", *words, **how).splitlines()
    return {line.split()[3].split(".")[0]: int(line.split()[0]) for line in map(str.strip, lines)}


def sites(federation: Federation) -> dict[str, str]:
    return {m["node"]: m["site"] for m in federation.get("a", "/members")}


def expected(federation: Federation, site: str) -> dict[str, int]:
    return {n: 10 if s == site else 20 for n, s in sites(federation).items()}


def test_every_node_names_all_nodes_those_of_its_site_first(federation: Federation) -> None:
    """By UDP and by TCP, to whomever no network of a site names."""
    for node, site in sites(federation).items():
        assert services(federation, node) == expected(federation, site)
        assert services(federation, node, "+tcp") == expected(federation, site)
        near = services(federation, node, "-p", "5353", at="127.0.0.1")
        assert near == expected(federation, site)
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


def test_a_killed_node_is_named_no_more_within_seconds_and_again_when_it_is_back(
    federation: Federation,
) -> None:
    """At its own site and across; its Asterisk alone, too."""
    lab, everybody = federation.lab, set(federation.names)

    def all_say(named: set[str], among: str = "acd") -> bool:
        return all(set(services(federation, node)) == named for node in among)

    lab.kill("b")
    began = time.monotonic()
    federation.until(lambda: all_say(everybody - {"b"}, "d"), 4, what="b gone at its own site")
    took = time.monotonic() - began
    federation.until(lambda: all_say(everybody - {"b"}), 12, what="b gone everywhere")
    print(f"gone at its own site after {took:.1f} s, everywhere {time.monotonic() - began:.1f} s")
    assert address(federation, "b") not in dig(federation, "d", "+short", DOMAIN, "A")
    lab.start("b")
    federation.until(lambda: all_say(everybody), 30, what="b back")
    federation.until(federation.whole, 30)
    lab.kill("b", "asterisk")
    federation.until(lambda: all_say(everybody - {"b"}, "bd"), 5, what="b sick")
    lab.start("b", "asterisk")
    federation.until(lambda: all_say(everybody, "abcd"), 30, what="b well")
    federation.until(federation.whole, 30)


def test_the_zone_is_exported(federation: Federation) -> None:
    """All nodes, as text and as JSON."""
    done = federation.lab.exec("a", ["pbxfed", "dns", "zone"], capture_output=True)
    assert done.stdout.startswith(f"$ORIGIN {DOMAIN}.\n")
    for name in federation.names:
        assert f"10 100 5060 {name}.{DOMAIN}." in done.stdout
    done = federation.lab.exec("a", ["pbxfed", "dns", "zone", "--delegation"], capture_output=True)
    assert sum(" NS " in line for line in done.stdout.splitlines()) == len(federation.names)
