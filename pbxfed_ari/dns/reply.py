"""A query's bytes to an answer's: all that RFC 1034 and its successors ask of an authoritative server, and nothing more.

Whatever the bytes are, an answer comes or None; nothing is raised. dnspython reads and writes the messages.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from pbxfed_ari.core.naming.zone import Answer, Labels, Record, Zone

PAYLOAD = 1_232  # bytes of a UDP answer at most: passes everywhere unfragmented (RFC 9715)
PLAIN = 512  # where the query has no EDNS (RFC 1035 §4.2.1)
LONGEST = 4_096  # bytes of a query; longer ones are nobody's
HEADER = 12
ANY = dns.rdatatype.ANY
QR, TC, RD = 0x80, 0x02, 0x01
# name below the zone's own, type, client's address → what is known; None: ask somebody else
Look = Callable[[Labels, str, str], Answer | None]


class Replier:
    """Answers for one zone."""

    def __init__(self, zone: Zone, look: Look) -> None:
        self._zone, self._look = zone, look
        self._origin = dns.name.from_text(f"{zone.domain}.").labels

    def reply(self, query: bytes, client: str, *, udp: bool) -> bytes | None:
        """The answer to send; None: it was no query, nobody is answered."""
        if len(query) < HEADER or query[2] & QR:
            return None
        opcode = query[2] >> 3 & 15
        if opcode != dns.opcode.QUERY:
            return _bare(query, dns.rcode.NOTIMP)
        if len(query) > LONGEST:
            return _bare(query, dns.rcode.FORMERR)
        try:
            asked = dns.message.from_wire(query, ignore_trailing=True)
        except dns.message.UnknownTSIGKey:
            return _bare(query, dns.rcode.NOTAUTH)  # RFC 8945 §5.2: we share keys with nobody
        except (dns.exception.DNSException, ValueError, RecursionError):
            return _bare(query, dns.rcode.FORMERR)
        if len(asked.question) != 1:  # RFC 9619
            return _bare(query, dns.rcode.FORMERR)
        said = dns.message.make_response(asked, our_payload=PAYLOAD, pad=0)
        extra = self._fill(asked, said, client)
        room = max(PLAIN, min(asked.payload, PAYLOAD)) if asked.edns >= 0 else PLAIN
        return _written(said, extra, room if udp else 65_535)

    def _fill(
        self, asked: dns.message.Message, said: dns.message.Message, client: str
    ) -> list[dns.rrset.RRset]:
        """Code and records; returns what comes along if there is room."""
        question = asked.question[0]
        below = self._zone.below(_labels(question.name))
        if asked.edns > 0:
            said.set_rcode(dns.rcode.BADVERS)  # RFC 6891 §6.1.3
            return []
        if (
            below is None
            or question.rdclass != dns.rdataclass.IN
            or (question.rdtype != ANY and dns.rdatatype.is_metatype(question.rdtype))
        ):  # transfers are of a meta type
            said.set_rcode(dns.rcode.REFUSED)
            return []
        found = self._look(below, dns.rdatatype.to_text(question.rdtype), client)
        if found is None:
            said.set_rcode(dns.rcode.SERVFAIL)
            return []
        said.flags |= dns.flags.AA
        if not found.exists:
            said.set_rcode(dns.rcode.NXDOMAIN)
        said.answer = self._sets(found.records, question.name)
        if found.soa is not None:
            said.authority = self._sets([found.soa], question.name)
        return self._sets(found.extra, question.name)

    def _sets(self, records: Iterable[Record], asked: dns.name.Name) -> list[dns.rrset.RRset]:
        """Records of one owner and type together, in order. The name that was asked for is written as it was asked."""
        sets: dict[tuple[Labels, str], list[Record]] = {}
        for record in records:
            sets.setdefault((record.owner, record.kind), []).append(record)
        found = []
        for (owner, kind), some in sets.items():
            labels = (*(label.encode() for label in owner), *self._origin)
            same = owner == self._zone.below(_labels(asked))
            data = tuple(record.data for record in some)
            found.append(_rrset(asked.labels if same else labels, kind, some[0].ttl, data))
        return found


def truncated(query: bytes) -> bytes | None:
    """Ask again by TCP: who is what he says he is will. None if there is no question.

    It stands in the answer, or resolvers would not believe it. It is found, not read: this is said in a flood.
    """
    if len(query) < HEADER or query[2] & QR or query[4:6] != b"\0\1":
        return None
    end = HEADER
    while end < len(query) and 0 < query[end] < 64:
        end += 1 + query[end]
    end += 5  # the root, type, class
    if end > len(query) or query[end - 5]:
        return None
    said = bytearray(_bare(query, dns.rcode.NOERROR, TC))
    said[5] = 1
    return bytes(said) + query[HEADER:end]


def _bare(query: bytes, code: int, flags: int = 0) -> bytes:
    """A header alone: the query's id, opcode and RD, with a code; no longer than what was sent."""
    return query[:2] + bytes((QR | query[2] & 0x78 | query[2] & RD | flags, code)) + bytes(8)


def _written(said: dns.message.Message, extra: list[dns.rrset.RRset], room: int) -> bytes:
    """With all that comes along, else without (RFC 2181 §9), else truncated and empty."""
    said.additional = extra
    for cut in (lambda: None, said.additional.clear, lambda: _cut(said)):
        cut()
        try:
            return said.to_wire(max_size=room, want_shuffle=False)
        except dns.exception.TooBig:
            continue
    raise AssertionError("a question and an OPT record fit into 512 bytes")


def _cut(said: dns.message.Message) -> None:
    said.answer, said.authority = [], []
    said.flags |= dns.flags.TC


def _labels(name: dns.name.Name) -> Labels:
    return tuple(label.decode("latin-1").lower() for label in name.labels if label)


@lru_cache(maxsize=4_096)
def _rrset(
    labels: tuple[bytes, ...], kind: str, ttl: int, data: tuple[str, ...]
) -> dns.rrset.RRset:
    """Made once: answers differ little from one another. Nobody may change it."""
    of = dns.rdatatype.from_text(kind)
    found = [dns.rdata.from_text(dns.rdataclass.IN, of, text) for text in data]
    return dns.rrset.from_rdata_list(dns.name.Name(labels), ttl, found)
