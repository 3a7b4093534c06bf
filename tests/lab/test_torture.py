"""Harm by SIP: torture messages, odd numbers, odd names. Nothing crashes, nobody else is called, nothing is executed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from lab.lab import Lab
from lab.netns import socket_in
from lab.process import Process
from lab.sip import parameter
from tests.lab.conftest import Federation
from tests.lab.furnishing import set_up
from tests.lab.stranger import EXECUTED, NAMES, PORT, RUN, Stranger, field
from tests.lab.torture import MESSAGES, datagram

PHONES = {"1001": "a", "1002": "a", "1003": "c"}

# As the user of a request URI, escaped where SIP asks for it
NUMBERS = {
    "another leg": "1002%261003",
    "a peer's leg": "1002@pf-c",
    "another argument": "1002,30,G(pbxfed-local%5E1003%5E1)",
    "a priority": "1002,1",
    "another context's": "pbxfed-local,1002,1",
    "another place": "9%3Apbxfed-phones,1002,1",
    "another place, past the daemon": "9%3Apbxfed-local,1003,1",
    "a function": f"$%7BSHELL(touch%20{RUN})%7D",
    "an expression": "$%5B1+1%5D",
    "hung up": "h",
    "start": "s",
    "timeout": "T",
    "an old trunk": "pf-c",
    "a path": "..%2F..%2Fetc%2Fpasswd",
    "a new line": "1002%0D%0AX-PBXFED-Call:%20evil/1/0",
    "a quote": "1002%22",
    "letters of elsewhere": "%D1%8E%D0%BD%D0%B8%D0%BA%D0%BE%D0%B4",
    "very long": "1" * 3_000,
    "long": "1" * 79,
    "a pause": "1002w1003",
    "a parameter": "1002;phone-context=evil",
    "nothing": "",
    "a hash": "%231002",
    "a star": "*1002*",
}


@pytest.fixture
def stranger(federation: Federation) -> Iterator[Stranger]:
    """Phones stand ready; afterwards everybody lives who lived before, and nothing was executed."""
    lab = federation.lab
    for number, node in PHONES.items():
        federation.phone(number, node)
    before = processes(lab)
    found = Stranger(lab, "a", "1001")
    yield found
    found.close()
    assert processes(lab) == before
    assert not list(lab.places.state.rglob(EXECUTED))
    log = (lab.node("a").folder / "log" / "pbxfed.log").read_text()
    assert "Traceback" not in log
    assert "could not handle" not in log
    federation.until(lambda: federation.get("a", "/calls") == [], 15)
    for called in "1002", "1003":
        result = lab.call("1001", called, hold=0.6)
        assert result.ok, result


def processes(lab: Lab) -> list[Process | None]:
    """All Asterisks and daemons."""
    return [Process.load(path) for path in sorted(lab.places.run.iterdir())]


def invites(lab: Lab) -> dict[str, int]:
    """How often each phone was called."""
    return {number: int(lab.phone(number)["invites"]) for number in PHONES}


def test_torture_messages(federation: Federation, stranger: Stranger) -> None:
    """Each is refused or ignored; nobody is called, nobody is registered, and Asterisk still answers."""
    lab = federation.lab
    before, registered = invites(lab), lab.asterisk("a", "pjsip show contacts")
    for name in MESSAGES:
        stranger.send(datagram(name, f"{stranger.here}:{PORT}", stranger.there))
    answers = stranger.answers(1.5)
    statuses = {answer.split()[1] for answer in answers if answer.startswith("SIP/2.0 ")}
    print(f"{len(MESSAGES)} messages, answers {sorted(statuses)}")
    assert not [
        answer for answer in answers if answer.startswith("SIP/2.0 2") and "INVITE" in answer
    ]
    assert invites(lab) == before
    assert lab.asterisk("a", "pjsip show contacts") == registered
    assert parameter(stranger_options(stranger), "tag")


def test_torture_messages_by_tcp(federation: Federation, stranger: Stranger) -> None:
    """Each by a connection of its own, and all in one."""
    node, before = federation.lab.node("a"), invites(federation.lab)
    here = f"{stranger.here}:{PORT}"
    sent = [datagram(name, here, stranger.there).replace(b"/UDP ", b"/TCP ") for name in MESSAGES]
    answers: list[bytes] = []
    for messages in [*([one] for one in sent), sent]:
        with socket_in(node.phones.namespace) as connection, contextlib.suppress(OSError):
            connection.settimeout(0.04)
            connection.connect((stranger.there, 5060))
            for message in messages:
                connection.sendall(message)
            answers.append(connection.recv(65_536))
    statuses = {one.split()[1] for one in answers if one.startswith(b"SIP/2.0 ")}
    assert b"401" in statuses
    assert not [status for status in statuses if status.startswith(b"2")]
    assert invites(federation.lab) == before
    assert parameter(stranger_options(stranger), "tag")


def test_a_text_message_is_no_call(federation: Federation, stranger: Stranger) -> None:
    """Asterisk would send it through the dialplan as one: ten seconds each, one after the other."""
    lab, before = federation.lab, invites(federation.lab)
    for number in "1002", "1003", "7777":
        assert stranger.write(number) == "202"
    assert "Message/" not in lab.asterisk("a", "core show channels concise")
    assert lab.call("1001", "1002", hold=0.6).ok
    records = federation.get("a", "/calls/records?last=true&limit=3")
    assert {one["from"] for one in records} == {"1001"}
    assert invites(lab) == {**before, "1002": before["1002"] + 1}


def stranger_options(stranger: Stranger) -> str:
    """The To field of an answer to a plain question."""
    stranger.send(
        datagram("lwsdisp", f"{stranger.here}:{PORT}", stranger.there).replace(b"lwsdisp", b"alive")
    )
    (answer, *_) = [a for a in stranger.answers(1.0) if "Call-ID: alive" in a]
    return field(answer, "to")


@pytest.mark.parametrize("what", NUMBERS)
def test_an_odd_number(federation: Federation, stranger: Stranger, what: str) -> None:
    """Dialed by a phone that may call: refused, or dropped because it is no SIP, and nobody rings."""
    dials(federation, stranger, what)


def dials(federation: Federation, stranger: Stranger, what: str) -> None:
    before = invites(federation.lab)
    status = stranger.invite(NUMBERS[what])
    print(f"{what}: {status}")
    assert status[:1] in ("", "4", "5", "6"), (what, status)
    assert invites(federation.lab) == before, what


def test_an_odd_number_while_the_daemon_is_dead(federation: Federation) -> None:
    """The dialplan is alone with it: nobody rings. A number that is none but a phone's here rings it."""
    lab = federation.lab
    for number, node in PHONES.items():
        federation.phone(number, node)
    stranger = Stranger(lab, "a", "1001")
    lab.kill("a", "daemon")
    try:
        for what in NUMBERS:
            dials(federation, stranger, what)
        result = lab.call("1001", "1002", hold=0.6)
        assert result.ok, result
        assert not list(lab.places.state.rglob(EXECUTED))
    finally:
        stranger.close()
        lab.start("a", "daemon")
    federation.until(federation.whole)


def test_what_follows_a_null_is_not_there(federation: Federation, stranger: Stranger) -> None:
    """Asterisk itself cuts a number there: 1002 is called, as if that had been dialed, and nobody else."""
    before = invites(federation.lab)
    assert stranger.invite("1002%00%261003") == "200"
    rung = {n for n, times in invites(federation.lab).items() if times > before[n]}
    assert rung == {"1002"}


@pytest.mark.parametrize("called", ["1002", "1003"], ids=["local", "cross-node"])
def test_odd_names(federation: Federation, stranger: Stranger, called: str) -> None:
    """The call is 1001's, to whom it was for, whatever the caller calls himself; or it is refused."""
    names_himself(federation, stranger, called)


def names_himself(federation: Federation, stranger: Stranger, called: str) -> None:
    lab = federation.lab
    for what, name in NAMES.items():
        since, before = time.time(), invites(lab)
        status = stranger.invite(called, name)
        print(f"{what}: {status}")
        rung = {number for number, times in invites(lab).items() if times > before[number]}
        assert rung <= {called}, what
        if status == "200":
            shown = [call for call in lab.calls_of(called, since) if call["incoming"]]
            assert [(call["other"], call["name"]) for call in shown] == [("1001", "Phone 1001")], (
                what
            )


@pytest.mark.parametrize(
    ("control", "trunk"), [("bridge", "sip"), ("handover", "iax2"), ("bridge", "iax2")]
)
def test_the_same_by_the_other_ways(
    federation: Federation, stranger: Stranger, control: str, trunk: str
) -> None:
    """Handed over by SIP: above."""
    with set_up(federation, control, trunk):
        for what in NUMBERS:
            dials(federation, stranger, what)
        names_himself(federation, stranger, "1002")
        names_himself(federation, stranger, "1003")
