"""Clients that go on to another node: a SIPp scenario that does so on 503 and on silence, and phones that register where told.

A caller of `scenario` knows several addresses, as SRV records would name them, and asks the next one when one answers 503, or
nothing at all (RFC 3263 §4.3). SIPp counts a call as failed only if no address served it.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Sequence

from lab.netns import Host, socket_in
from lab.places import LabError
from lab.sip import Message, digest_answer

SILENCE = 1_000  # ms without a word, after which the next address is asked
ANSWER = 15_000  # ms in which the called side must answer
_BRANCHES = itertools.count(1)

_FIELDS = """Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
From: "Load" <sip:[field0]@{to}>;tag=[pid]-[call_number]
To: <sip:[field2]@{to}>{tag}
Call-ID: [call_id]
CSeq: {cseq} {method}
Max-Forwards: 70"""
_OFFER = """Contact: <sip:[field0]@[local_ip]:[local_port]>
Allow: INVITE, ACK, BYE, CANCEL, UPDATE
Content-Type: application/sdp
Content-Length: [len]

v=0
o=caller 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
"""
_TAG = '<action><ereg regexp=";tag=.*" search_in="hdr" header="To:" assign_to="tag"/></action>'
_REFUSED = """ACK sip:[field2]@{to} SIP/2.0
[last_Via:]
[last_From:]
[last_To:]
Call-ID: [call_id]
CSeq: {cseq} ACK
Max-Forwards: 70
Content-Length: 0

"""


def turned(addresses: Sequence[str]) -> list[list[str]]:
    """The same addresses, each in front once."""
    return [[*addresses[n:], *addresses[:n]] for n in range(len(addresses))]


def scenario(addresses: int = 3) -> str:
    """Rows: caller; its authentication; called; the addresses in the order in which they are asked."""
    parts = [_asking(n, last=n == addresses - 1) for n in range(addresses)]
    return f'<?xml version="1.0"?>\n<scenario name="wanderer">\n{"".join(parts)}<label id="99"/>\n</scenario>\n'


def _asking(n: int, *, last: bool) -> str:
    """One address: ask, authenticate, talk, hang up; or go on to the next.

    An answer counts for its own transaction only, and the dialog is the one of the 200: who hears late of an ACK sends his
    refusal anew, amid another's call perhaps, and SIPp's own [peer_tag_param] is the tag of what came last, whatever that was.
    """
    to, cseq, here, refused = f"[field{3 + n}]", 10 * n + 1, 10 + n, 50 + n
    asked, proved = f"asked{n}", f"proved{n}"
    onward = "" if last else f'timeout="{SILENCE}" ontimeout="{here + 1}"'
    busy = "" if last else _recv(503, asked, f'optional="true" next="{refused}"')
    onto = f'optional="true" next="{refused}0"'
    busier = "" if last else _recv(503, proved, onto)
    anew = "" if last else _recv(401, proved, onto)  # it was started since its challenge
    invite = f"INVITE sip:[field2]@{to} SIP/2.0\n"
    return f"""<label id="{here}"/>
<nop><action><setdest host="{to}" port="5060" protocol="udp"/></action></nop>
{_send(invite + _fields(to, cseq, "INVITE") + _OFFER, f'retrans="500" start_txn="{asked}"')}
{_recv(100, asked, 'optional="true"')}
{busy}
{_recv(401, asked, f'auth="true" {onward}')}
{_send(_REFUSED.format(to=to, cseq=cseq), f'ack_txn="{asked}"')}
{_send(invite + _fields(to, cseq + 1, "INVITE") + "[field1]" + chr(10) + _OFFER, f'retrans="500" start_txn="{proved}"')}
{_recv(100, proved, 'optional="true"')}
{_recv(180, proved, 'optional="true"')}
{_recv(183, proved, 'optional="true"')}
{busier}
{anew}
{_recv(200, proved, f'timeout="{ANSWER}"', _TAG)}
{_send(_bare("ACK", to, cseq + 1), f'ack_txn="{proved}"')}
<pause/>
{_send(_bare("BYE", to, cseq + 2), 'retrans="500"')}
<recv response="200" next="99"/>
{"" if last else _gone_on(n, to, cseq, here, refused)}"""


def _gone_on(n: int, to: str, cseq: int, here: int, refused: int) -> str:
    """A refusal is acknowledged, then the next address is asked."""
    first = _send(_REFUSED.format(to=to, cseq=cseq), f'ack_txn="asked{n}" next="{here + 1}"')
    second = _send(_REFUSED.format(to=to, cseq=cseq + 1), f'ack_txn="proved{n}" next="{here + 1}"')
    return f'<label id="{refused}"/>\n{first}\n<label id="{refused}0"/>\n{second}\n'


def _fields(to: str, cseq: int, method: str, tag: str = "") -> str:
    return _FIELDS.format(to=to, cseq=cseq, method=method, tag=tag) + "\n"


def _bare(method: str, to: str, cseq: int) -> str:
    """Within the dialog, without a body."""
    fields = _fields(to, cseq, method, "[$tag]")
    return f"{method} sip:[field2]@{to} SIP/2.0\n{fields}Content-Length: 0\n\n"


def _send(text: str, how: str) -> str:
    return f"<send {how}><![CDATA[\n{text}\n]]></send>"


def _recv(status: int, transaction: str, how: str, action: str = "") -> str:
    """What is awaited, of this transaction alone."""
    return f'<recv response="{status}" response_txn="{transaction}" {how}>{action}</recv>'


def register(home: Host, contact: str, number: str, secret: str, server: str) -> None:
    """A phone registers its Contact at a server, or refreshes it, as it would after a look at DNS.

    Raises: LabError, if it is refused.
    """
    with socket_in(home.namespace, socket.SOCK_DGRAM) as link:
        link.bind((home.address, 0))
        link.settimeout(3)
        port, target, proof = link.getsockname()[1], f"sip:{server}", ""
        name = f"<sip:{number}@{server}>"
        for cseq in 1, 2:
            fields = [
                ("via", f"SIP/2.0/UDP {home.address}:{port};branch=z9hG4bK{next(_BRANCHES)}w"),
                ("from", f"{name};tag=w"),
                ("to", name),
                ("call-id", f"{number}@{home.address}"),
                ("cseq", f"{cseq} REGISTER"),
                ("contact", f"<{contact}>"),
                ("max-forwards", "70"),
                ("expires", "300"),
                *([("authorization", proof)] if proof else []),
            ]
            link.sendto(Message(f"REGISTER {target} SIP/2.0", fields).render(), (server, 5060))
            answer = Message.parse(link.recv(65_535))
            if answer.status == 200:
                return
            if answer.status != 401 or proof:
                raise LabError(f"{number} at {server}: {answer.status_text}")
            challenge = answer.get("www-authenticate")
            proof = digest_answer(
                challenge, user=number, secret=secret, method="REGISTER", target=target
            )
