"""What the domain's zone says to which question, and what an export holds."""

from dataclasses import replace
from random import Random

import dns.zone
import pytest

from pbxfed_ari.core.naming.signpost import Sign, Standing
from pbxfed_ari.core.naming.zone import APEX, Answer, Asker, Labels, Zone, text

A = Sign(
    "a",
    "main",
    Standing.WELL,
    200,
    200,
    ("10.0.0.1", "2001:db8::1"),
    (("tls", 5061), ("udp", 5060)),
    True,
)
B = Sign(
    "b", "berlin", Standing.WELL, 100, 100, ("10.0.1.2",), (("udp", 5070), ("tcp", 5060)), False
)
ZONE = Zone("PBX.example.", 5)
UDP = ("_sip", "_udp")


def ask(owner: Labels, kind: str, *known: Sign) -> Answer:
    return ZONE.answer(owner, kind, Asker(known or (A, B), "main", 7, Random(1)))


def data(owner: Labels, kind: str, *known: Sign) -> list[str]:
    return [record.data for record in ask(owner, kind, *known).records]


def test_services_name_the_nodes_in_their_order_with_their_addresses() -> None:
    """SRV as RFC 2782 has it; what comes along saves a question."""
    found = ask(UDP, "SRV")
    assert [r.data for r in found.records] == [
        "10 200 5060 a.pbx.example.",
        "20 100 5070 b.pbx.example.",
    ]
    assert {r.ttl for r in found.records} == {5}
    assert [(r.owner, r.kind, r.data) for r in found.extra] == [
        (("a",), "A", "10.0.0.1"),
        (("a",), "AAAA", "2001:db8::1"),
        (("b",), "A", "10.0.1.2"),
    ]
    assert data(("_sips", "_tcp"), "SRV") == data(("_sip", "_tls"), "SRV")
    assert data(("_sips", "_tcp"), "SRV") == ["10 200 5061 a.pbx.example."]


def test_naptr_names_what_somebody_takes_as_the_first_node_likes_it() -> None:
    """All of one order: a client may take any that it knows."""
    assert data(APEX, "NAPTR") == [
        '10 10 "s" "SIPS+D2T" "" _sips._tcp.pbx.example.',
        '10 20 "s" "SIP+D2U" "" _sip._udp.pbx.example.',
        '10 30 "s" "SIP+D2T" "" _sip._tcp.pbx.example.',
    ]


def test_the_apex_has_addresses_of_the_best_only() -> None:
    """For phones that ask for nothing else."""
    assert data(APEX, "A") == ["10.0.0.1"]
    assert data(APEX, "AAAA") == ["2001:db8::1"]
    assert data(APEX, "A", replace(A, standing=Standing.GONE), B) == ["10.0.1.2"]


def test_name_servers_are_those_that_live_and_serve() -> None:
    """SOA and NS agree."""
    assert data(APEX, "NS") == ["a.pbx.example."]
    assert (
        data(APEX, "SOA")
        == ["a.pbx.example. hostmaster.pbx.example. 7 3600 600 86400 5"]
        != (data(APEX, "SOA", B))
    )
    assert data(APEX, "NS", replace(A, standing=Standing.GONE), replace(B, dns=True)) == [
        "b.pbx.example."
    ]


@pytest.mark.parametrize("owner", [("_udp",), ("_tcp",), ("b",), UDP, APEX])
def test_a_name_that_is_there_has_no_other_types(owner: Labels) -> None:
    """NODATA with the SOA, remembered as briefly as all else; the parents of names too (RFC 8020)."""
    found = ask(owner, "TXT")
    assert (found.exists, found.records) == (True, ())
    assert found.soa
    assert (found.soa.owner, found.soa.ttl) == (APEX, 5)


@pytest.mark.parametrize("owner", [("x",), ("_sips", "_ws"), ("a", "b"), ("_ws",), ("_sip",)])
def test_a_name_that_is_not_there(owner: Labels) -> None:
    """NXDOMAIN with the SOA."""
    found = ask(owner, "A")
    assert (found.exists, found.records) == (False, ())
    assert found.soa


def test_a_dead_node_keeps_its_name_and_is_in_no_list() -> None:
    """Its address is a fact still; where it was the last, nothing is there."""
    dead = replace(A, standing=Standing.GONE)
    assert data(("a",), "A", dead, B) == ["10.0.0.1"]
    assert data(UDP, "SRV", dead, B) == ["20 100 5070 b.pbx.example."]
    gone = ask(("_sips", "_tcp"), "SRV", dead, B)
    assert (gone.exists, gone.records) == (True, ())


def test_any_is_answered_as_little_as_can_be() -> None:
    """RFC 8482."""
    assert data(APEX, "ANY") == ['"RFC8482" ""']
    assert not ask(("x",), "ANY").exists


def test_what_is_in_the_zone() -> None:
    """Whole labels count."""
    assert ZONE.below(("pbx", "example")) == APEX
    assert ZONE.below(("_sip", "_udp", "pbx", "example")) == UDP
    for other in (("example",), ("xpbx", "example"), ("a.pbx", "example"), ("pbx", "org"), ()):
        assert ZONE.below(other) is None


def test_an_export_is_a_zone_file() -> None:
    """With an SOA and an NS in front, as its keeper has them, dnspython reads it; the sick and the dead are in it like any."""
    head = "@ 300 IN SOA ns.x. host.x. 1 3600 600 86400 60\n@ 300 IN NS ns.x.\n"
    known = [replace(A, weight=140), replace(B, standing=Standing.GONE)]
    lines = text("pbx.example", ZONE.export(known)).split("\n", 1)
    found = dns.zone.from_text(f"{lines[0]}\n{head}{lines[1]}", "pbx.example.")
    srv = found.get_rdataset("_sip._udp", "SRV")
    assert srv is not None
    assert sorted(str(rdata) for rdata in srv) == ["10 100 5070 b", "10 200 5060 a"]
    assert {r.data for r in ZONE.export(known) if r.owner == APEX and r.kind == "A"} == {
        "10.0.0.1",
        "10.0.1.2",
    }
    near = [r.data for r in ZONE.export(known, "berlin") if r.owner == UDP]
    assert near == ["20 200 5060 a.pbx.example.", "10 100 5070 b.pbx.example."]
    assert text("x", []) == "$ORIGIN x.\n"


def test_what_delegates_is_name_servers_and_glue() -> None:
    """Of those that serve."""
    assert [(r.owner, r.kind, r.data) for r in ZONE.delegation([A, B])] == [
        (APEX, "NS", "a.pbx.example."),
        (("a",), "A", "10.0.0.1"),
        (("a",), "AAAA", "2001:db8::1"),
    ]
