"""Queries of all kinds, as bytes: each is answered as its RFC says, and nothing makes us talk much or fall over."""

from random import Random

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.tsigkeyring
import dns.update
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbxfed_ari.core.naming.signpost import Sign, Standing
from pbxfed_ari.core.naming.zone import Answer, Asker, Labels, Zone
from pbxfed_ari.dns.reply import PAYLOAD, Replier, truncated

DOMAIN = "pbx.example"
ZONE = Zone(DOMAIN, 5)
CLIENT = "192.0.2.7"


def known(count: int, letters: int = 1) -> list[Sign]:
    ports = (("udp", 5060), ("tcp", 5060))
    return [
        Sign(f"{'n' * letters}{i}", "main", Standing.WELL, 100, 100, (f"10.0.0.{i}",), ports, True)
        for i in range(count)
    ]


def replier(signs: list[Sign]) -> Replier:
    def look(owner: Labels, kind: str, client: str) -> Answer:
        assert client == CLIENT
        return ZONE.answer(owner, kind, Asker(signs, "main", 7, Random(1)))

    return Replier(ZONE, look)


def send(query: bytes, signs: list[Sign] | None = None, *, udp: bool = True) -> bytes | None:
    return replier(known(3) if signs is None else signs).reply(query, CLIENT, udp=udp)


def ask(
    name: str, kind: str = "A", *, signs: list[Sign] | None = None, udp: bool = True, **how: object
) -> dns.message.Message:
    query = dns.message.make_query(name, kind, **how)  # type: ignore[arg-type]
    said = send(query.to_wire(), signs, udp=udp)
    assert said is not None
    answer = dns.message.from_wire(said)
    assert query.is_response(answer)
    assert not answer.flags & dns.flags.RA
    return answer


def test_a_service_is_answered_with_authority_and_addresses() -> None:
    """And with the case of the question (0x20)."""
    answer = ask("_SIP._uDp.pBx.ExamPLE.", "SRV")
    assert answer.rcode() == dns.rcode.NOERROR
    assert answer.flags & dns.flags.AA
    assert str(answer.answer[0].name) == "_SIP._uDp.pBx.ExamPLE."
    assert len(answer.answer[0]) == 3
    assert [str(r.name).lower() for r in answer.additional] == [f"n{i}.{DOMAIN}." for i in range(3)]


def test_recursion_is_not_ours() -> None:
    """RD is copied, RA never set."""
    assert ask(DOMAIN).flags & dns.flags.RD
    assert not ask(DOMAIN, flags=0).flags & dns.flags.RD


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("example.org.", "A", dns.rcode.REFUSED),
        ("example.", "NS", dns.rcode.REFUSED),
        (".", "NS", dns.rcode.REFUSED),
        (DOMAIN, "AXFR", dns.rcode.REFUSED),
        (DOMAIN, "IXFR", dns.rcode.REFUSED),
        (DOMAIN, "MAILB", dns.rcode.REFUSED),
        ("nobody." + DOMAIN, "A", dns.rcode.NXDOMAIN),
        (r"a\.b." + DOMAIN, "A", dns.rcode.NXDOMAIN),
        (r"\000\255." + DOMAIN, "A", dns.rcode.NXDOMAIN),
        (DOMAIN, "TXT", dns.rcode.NOERROR),
        (DOMAIN, "TYPE65280", dns.rcode.NOERROR),
        ("_udp." + DOMAIN, "SRV", dns.rcode.NOERROR),
    ],
)
def test_what_is_not_there(name: str, kind: str, code: int) -> None:
    """Ours comes with the SOA, that of others with nothing."""
    answer = ask(name, kind)
    assert answer.rcode() == code
    assert not answer.answer
    ours = code != dns.rcode.REFUSED
    assert bool(answer.flags & dns.flags.AA) == ours
    assert [r.rdtype for r in answer.authority] == ([dns.rdatatype.SOA] if ours else [])
    assert all(r.ttl == 5 for r in answer.authority)


@pytest.mark.parametrize("kind", ["CH", "HS", "ANY", "NONE"])
def test_another_class_is_refused(kind: str) -> None:
    """We are the authority of IN alone."""
    assert ask(DOMAIN, "TXT", rdclass=kind).rcode() == dns.rcode.REFUSED


def test_any_is_one_small_record() -> None:
    """RFC 8482: nothing to amplify with."""
    answer = ask(DOMAIN, "ANY")
    assert [r.rdtype for r in answer.answer] == [dns.rdatatype.HINFO]


def test_other_operations_are_not_implemented() -> None:
    """UPDATE, NOTIFY, and whatever comes; in twelve bytes."""
    for opcode in (1, 2, 4, 5, 6, 15):
        query = dns.message.make_query(DOMAIN, "SOA").to_wire()
        query = query[:2] + bytes((opcode << 3 | 1,)) + query[3:]
        said = send(query)
        assert said is not None
        assert len(said) == 12
        assert said[:2] == query[:2]
        assert (said[2] >> 3 & 15, said[3] & 15) == (opcode, dns.rcode.NOTIMP)
    update = dns.update.UpdateMessage(f"{DOMAIN}.")
    update.add("x", 5, "A", "10.0.0.1")
    said = send(update.to_wire())
    assert said is not None
    assert said[3] & 15 == dns.rcode.NOTIMP


def test_signed_queries_are_of_nobody_we_know() -> None:
    """NOTAUTH; transfers are often asked for so."""
    query = dns.message.make_query(DOMAIN, "AXFR")
    query.use_tsig(dns.tsigkeyring.from_text({"key.": "AAAAAAAAAAAAAAAAAAAAAA=="}))
    said = send(query.to_wire())
    assert said is not None
    assert said[3] & 15 == dns.rcode.NOTAUTH


def test_edns_is_understood() -> None:
    """Its version 0, with options that mean nothing to us; a later version is told so."""
    options = [
        dns.edns.GenericOption("COOKIE", b"12345678"),
        dns.edns.GenericOption("PADDING", bytes(100)),
    ]
    answer = ask(DOMAIN, "NAPTR", use_edns=0, payload=4096, want_dnssec=True, options=options)
    assert (answer.edns, answer.payload, answer.rcode()) == (0, PAYLOAD, dns.rcode.NOERROR)
    assert len(answer.to_wire()) < 300
    assert ask(DOMAIN, "NAPTR").edns == -1
    later = ask(DOMAIN, "NAPTR", use_edns=1)
    assert (later.rcode(), later.answer) == (dns.rcode.BADVERS, [])


def test_what_does_not_fit_leaves_out_addresses_then_says_so() -> None:
    """Eight nodes fit into 512 bytes, without their addresses if names are long; then TC, and TCP has all."""
    name = f"_sip._udp.{DOMAIN}"
    signs = known(8)
    assert len(ask(name, "SRV", signs=signs).answer[0]) == 8
    longer = known(8, 12)
    small = ask(name, "SRV", signs=longer)
    assert len(small.answer[0]) == 8
    assert not small.additional
    assert not small.flags & dns.flags.TC
    assert len(ask(name, "SRV", signs=longer, use_edns=0, payload=1_400).additional) == 8
    longest = known(8, 30)
    cut = ask(name, "SRV", signs=longest, use_edns=0, payload=100)
    assert cut.flags & dns.flags.TC
    assert not cut.answer
    whole = ask(name, "SRV", signs=longest, udp=False)
    assert not whole.flags & dns.flags.TC
    assert (len(whole.answer[0]), len(whole.additional)) == (8, 8)


def test_while_we_do_not_know_who_lives_others_are_to_be_asked() -> None:
    """SERVFAIL is remembered by nobody for long, and resolvers try the next name server."""
    query = dns.message.make_query(DOMAIN, "A")
    said = Replier(ZONE, lambda owner, kind, client: None).reply(query.to_wire(), CLIENT, udp=True)
    assert said is not None
    answer = dns.message.from_wire(said)
    assert (answer.rcode(), answer.flags & dns.flags.AA) == (dns.rcode.SERVFAIL, 0)


def test_who_asks_too_much_is_told_to_come_by_tcp() -> None:
    """A truncated answer to his question, no longer than it; to what holds none, nothing."""
    query = dns.message.make_query(f"_SIP._udp.{DOMAIN}", "SRV", use_edns=0)
    said = truncated(query.to_wire())
    assert said is not None
    answer = dns.message.from_wire(said)
    assert query.is_response(answer)
    assert answer.flags & dns.flags.TC
    assert len(said) < len(query.to_wire())
    for length in range(len(said)):
        assert truncated(query.to_wire()[:length]) is None
    assert truncated(query.to_wire()[:12] + b"\xc0\x0c\0\1\0\1") is None


def test_an_answer_is_never_answered() -> None:
    """Two servers must not talk to one another for ever."""
    query = bytearray(dns.message.make_query(DOMAIN, "A").to_wire())
    query[2] |= 0x80
    assert send(bytes(query)) is None
    assert truncated(bytes(query)) is None
    assert send(b"short") is None
    assert truncated(b"") is None
    assert truncated(bytes(40)) is None


@pytest.mark.parametrize(
    "query",
    [
        bytes(12),
        bytes(4) + b"\0\2" + bytes(6) + (b"\1a\0\0\1\0\1" * 2),
        bytes(4) + b"\0\1" + bytes(6) + b"\xc0\x0c\0\1\0\1",
        bytes(4) + b"\0\1" + bytes(6) + b"\x3fabc",
        bytes(4) + b"\0\1" + bytes(6) + b"\1a\0\0\1",
        bytes(4) + b"\0\1\xff\xff" + bytes(4) + b"\1a\0\0\1\0\1",
        bytes(4) + b"\0\1" + bytes(5_000),
    ],
)
def test_what_cannot_be_read_is_a_format_error(query: bytes) -> None:
    """In twelve bytes."""
    said = send(query)
    assert said is not None
    assert (len(said), said[3] & 15) == (12, dns.rcode.FORMERR)


GOOD = dns.message.make_query(f"_sip._udp.{DOMAIN}", "SRV", use_edns=0, payload=4_096).to_wire()


@settings(max_examples=500)
@given(st.binary(max_size=200) | st.binary(max_size=80).map(lambda tail: GOOD[:12] + tail))
def test_any_bytes_are_answered_or_not(query: bytes) -> None:
    """Nothing is raised, and what is said can be read."""
    check(query)


@settings(max_examples=1_000)
@given(
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=4),
    st.integers(0, len(GOOD)),
)
def test_a_good_query_gone_wrong(changes: list[tuple[int, int]], length: int) -> None:
    """Some bytes changed, or the end cut off."""
    query = bytearray(GOOD)
    for place, value in changes:
        query[place] = value
    check(bytes(query[: length or None]))


def check(query: bytes) -> None:
    said = send(query)
    if said is None:
        assert len(query) < 12 or query[2] & 0x80
        return
    assert len(said) <= PAYLOAD
    assert said[:2] == query[:2]
    assert said[2] & 0x80
    dns.message.from_wire(said)
