# ruff: noqa: E501
"""Messages in the manner of RFC 4475, written anew for this lab: name → text; @HERE@ is who sends, @THERE@ the PBX.

Lines end in CRLF when they are sent. `{n}` stands for n times the letter before, as in `x{2000}`.
"""

from __future__ import annotations

import re

_HEAD = """{start}
Via: SIP/2.0/UDP @HERE@;branch=z9hG4bK@NAME@
From: <sip:1001@@THERE@>;tag=@NAME@
To: <sip:1002@@THERE@>
Call-ID: @NAME@.@HERE@
CSeq: 1 {method}
Max-Forwards: 70
Contact: <sip:1001@@HERE@>
"""
_SDP = """Content-Type: application/sdp
Content-Length: 0

v=0
o=x 1 1 IN IP4 192.0.2.1
s=-
c=IN IP4 192.0.2.1
t=0 0
m=audio 9 RTP/AVP 0
"""


def _ask(start: str, extra: str = "", body: str = "Content-Length: 0\n\n") -> str:
    return _HEAD.format(start=start, method=start.split(" ")[0]) + extra + body


def _instead(text: str, old: str, new: str) -> str:
    assert old in text, old
    return text.replace(old, new)


_INVITE = _ask("INVITE sip:1002@@THERE@ SIP/2.0")
_OPTIONS = _ask("OPTIONS sip:1002@@THERE@ SIP/2.0")
_REGISTER = _ask("REGISTER sip:@THERE@ SIP/2.0")

MESSAGES: dict[str, str] = {
    # valid, and odd (3.1.1)
    "wsinv": """INVITE sip:vivekg@@THERE@;unknownparam SIP/2.0
TO :
 sip:1002@@THERE@ ;   tag    = 1918181833n
from   : "J Rosenberg \\\\\\""       <sip:1001@@THERE@>
  ;
  tag = 98asjd8
MaX-fOrWaRdS: 0068
Call-ID: wsinv.ndaksdj@@HERE@
Content-Length   : 0
cseq: 0009
  INVITE
Via  : SIP  /   2.0
 /UDP
    @HERE@;branch=390skdjuw
s :
NewFangledHeader:   newfangled value
 continued newfangled value
UnknownHeaderWithUnusualValue: ;;,,;;,;
v:  SIP  / 2.0  / TCP     spindle.example.com   ;
  branch  =   z9hG4bK9ikj8  , SIP  /    2.0   / UDP  192.168.255.111   ; branch=
  z9hG4bK30239
m:"Quoted string \\"\\"" <sip:jdrosen@example.com> ; newparam =
      newvalue ;
  secondparam ; q = 0.33

""",
    "intmeth": _HEAD.format(
        start="!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@@THERE@ SIP/2.0",
        method="!interesting-Method0123456789_*+`.%indeed'~",
    )
    + "Content-Length: 0\n\n",
    "esc01": _ask(
        "INVITE sip:sips%3Auser%40example.com@@THERE@ SIP/2.0",
        "Contact: <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>\n",
    ),
    "escnull": _instead(_REGISTER, "sip:1001@@HERE@", "sip:%00@@HERE@>, <sip:%00%00@@HERE@"),
    "esc02": "RE%47IST%45R sip:@THERE@ SIP/2.0\n" + _REGISTER.partition("\n")[2],
    "lwsdisp": _instead(_OPTIONS, "From: <sip:1001", "From: caller<sip:1001"),
    "longreq": _ask(
        "INVITE sip:1002@@THERE@ SIP/2.0",
        "Unknown-Long-Name{300}: unknown-long-value{2000}\nRoute: <sip:x{900}@@THERE@;lr>\n",
    ),
    "dblreq": _REGISTER + _INVITE,
    "semiuri": _ask("OPTIONS sip:user;par=u%40example.net@@THERE@ SIP/2.0"),
    "transports": _ask(
        "OPTIONS sip:1002@@THERE@ SIP/2.0",
        "Via: SIP/2.0/SCTP s1;branch=z9hG4bK1\nVia: SIP/2.0/UNKNOWN u1;branch=z9hG4bK2\n",
    ),
    "mpart01": _ask(
        "MESSAGE sip:1002@@THERE@ SIP/2.0",
        "Content-Type: multipart/mixed;boundary=7a9cbec02ceef655\n",
        "Content-Length: 90\n\n--7a9cbec02ceef655\nContent-Type: text/plain\n\nHello\n--7a9cbec02ceef655\n\0\x01\x02\n--7a9cbec02ceef655--\n",
    ),
    # responses that nobody has asked for
    "unreason": "SIP/2.0 200 = 2**3 * 5**2 \u043d\u043e \u0441\u0442\u043e\n"
    + _INVITE.partition("\n")[2],
    "noreason": "SIP/2.0 100 \n" + _INVITE.partition("\n")[2],
    "bigcode": "SIP/2.0 4294967301 better not break the receiver\n" + _INVITE.partition("\n")[2],
    # invalid (3.1.2)
    "badinv01": _instead(_INVITE, "Contact:", 'Contact: "Joe" <sip:joe@example.org>;;;;\nContact:'),
    "clerr": _instead(_INVITE, "Content-Length: 0", "Content-Length: 9999"),
    "ncl": _instead(_INVITE, "Content-Length: 0", "Content-Length: -999"),
    "scalar02": _instead(
        _instead(_REGISTER, "CSeq: 1 ", "CSeq: 36893488147419103232 "),
        "Max-Forwards: 70",
        "Max-Forwards: 300\nExpires: 100000000000000000000000000000000",
    ),
    "scalarlg": _instead(
        "SIP/2.0 503 Service Unavailable\n" + _INVITE.partition("\n")[2],
        "CSeq: 1 ",
        "Retry-After: 949302838503028349304023988\nCSeq: 9292394834772304023312 ",
    ),
    "quotbal": _instead(_INVITE, "To: <sip", 'To: "Mr. J. User <sip'),
    "ltgtruri": _ask("INVITE <sip:1002@@THERE@> SIP/2.0"),
    "lwsruri": _ask("INVITE sip:1002@@THERE@; lr SIP/2.0"),
    "lwsstart": _ask("INVITE  sip:1002@@THERE@  SIP/2.0"),
    "trws": _ask("OPTIONS sip:1002@@THERE@ SIP/2.0  "),
    "escruri": _ask("INVITE sip:1002@@THERE@?Route=%3Csip:1003@@THERE@%3E SIP/2.0"),
    "baddate": _instead(_INVITE, "Max-", "Date: Fri, 01 Jan 2010 16:00:00 EST\nMax-"),
    "regbadct": _instead(_REGISTER, "<sip:1001@@HERE@>", "sip:1001@@HERE@?Route=%3Csip:x%3E"),
    "badaspec": _instead(_OPTIONS, "<sip:1002@@THERE@>\nCall", '"Watson <sip:1002@@THERE@>>\nCall'),
    "baddn": _instead(_OPTIONS, "From: <", "From: Bell, Alexander <"),
    "badvers": _ask("OPTIONS sip:1002@@THERE@ SIP/7.0"),
    "mismatch01": _instead(_OPTIONS, "CSeq: 1 OPTIONS", "CSeq: 1 INVITE"),
    "mismatch02": _instead(
        _ask("NEWMETHOD sip:1002@@THERE@ SIP/2.0"), "CSeq: 1 NEWMETHOD", "CSeq: 1 INVITE"
    ),
    # the transaction layer, and what a server must decide (3.2, 3.3)
    "badbranch": _instead(_OPTIONS, "branch=z9hG4bK@NAME@", "branch=z9hG4bK"),
    "insuf": "INVITE sip:1002@@THERE@ SIP/2.0\nCSeq: 193942 INVITE\nVia: SIP/2.0/UDP @HERE@;branch=z9hG4bKinsuf\nContent-Length: 0\n\n",
    "unkscm": _ask("OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0"),
    "novelsc": _ask("OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0"),
    "unksm2": _instead(_REGISTER, "To: <sip:1002@@THERE@>", "To: <isbn:2983792873>"),
    "bext01": _ask(
        "OPTIONS sip:1002@@THERE@ SIP/2.0",
        "Require: nothingSupportsThis, nothingSupportsThisEither\n",
    ),
    "invut": _ask(
        "INVITE sip:1002@@THERE@ SIP/2.0",
        "Content-Type: application/unknownformat\n",
        "Content-Length: 8\n\n<audio/>",
    ),
    "regaut01": _ask(
        "REGISTER sip:@THERE@ SIP/2.0", "Authorization: NoOneKnowsThisScheme opaque-data=here\n"
    ),
    "multi01": _ask(
        "INVITE sip:1002@@THERE@ SIP/2.0",
        "CSeq: 59 INVITE\nCall-ID: other\nMax-Forwards: 5\nFrom: <sip:1009@@THERE@>;tag=o\nTo: <sip:1003@@THERE@>\n",
    ),
    "mcl01": _ask("OPTIONS sip:1002@@THERE@ SIP/2.0", "Content-Length: 5\n"),
    "bcast": _instead(
        "SIP/2.0 200 OK\n" + _INVITE.partition("\n")[2],
        "Via: ",
        "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK0\nVia: ",
    ),
    "zeromf": _instead(_OPTIONS, "Max-Forwards: 70", "Max-Forwards: 0"),
    "cparam01": _instead(_REGISTER, "<sip:1001@@HERE@>", "sip:1001@@HERE@;unknownparam"),
    "regescrt": _instead(
        _REGISTER, "<sip:1001@@HERE@>", "<sip:1001@@HERE@?Route=%3Csip:sip.example.com%3E>"
    ),
    "sdp01": _ask("INVITE sip:1002@@THERE@ SIP/2.0", "Accept: text/nobodyKnowsThis\n", _SDP),
    "inv2543": "INVITE sip:1002@@THERE@ SIP/2.0\nVia: SIP/2.0/UDP @HERE@\nFrom: <sip:1001@@THERE@>\nTo: sip:1002@@THERE@\nCall-ID: inv2543@@HERE@\nCSeq: 56 INVITE\n\n",
    # no SIP at all
    "nothing": "",
    "blanks": "\n\n\n\n",
    "noise": "\x00\xff{900}\x01\x02",
    "format": _instead(_INVITE, "1002@@THERE@ SIP", "%n%n%s%s@@THERE@ SIP"),
    "many": _ask("INVITE sip:1002@@THERE@ SIP/2.0", "X-A: b\n" * 900),
}


def datagram(name: str, here: str, there: str) -> bytes:
    """The message as it is sent."""
    text = MESSAGES[name].replace("@HERE@", here).replace("@THERE@", there).replace("@NAME@", name)
    text = re.sub(r"(.)\{(\d+)\}", lambda found: found[1] * int(found[2]), text)
    return text.replace("\n", "\r\n").encode()[:60_000]
