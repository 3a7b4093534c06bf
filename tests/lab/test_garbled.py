"""ARI answers a request of a call with 404, 409, 422, 500, not at all, or loses its websocket: the call ends with a cause.

Real Asterisks and phones; between a's daemon and its Asterisk sits a meddler. The calls of the table are made side by side,
each caller's one after the other; those that cost the whole node its websocket (DEAF) alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import pytest

from lab.calls import CallResult
from lab.lab import Lab
from lab.meddler import AWAY, CUT, LOST, SILENCE, Answer, Meddler
from lab.phone import PhoneRefused
from tests.lab.conftest import SECRET, Federation, a_lab
from tests.lab.furnishing import both_hear, calm, in_bridge_mode, put, turns

BOUND = 12.0  # seconds until a caller knows
HOLD = {
    False: (0.5, 1.2),
    True: (2.6, 3.2),
}  # seconds: longer than ARI may be silent; an answer is asked for again
ANEW = 5.0  # seconds in which a daemon that had lost its websocket knows again who talks
GONE = 8.0  # seconds until nothing is left: what must end is asked for three times
CALLERS = 8
ANSWERS: tuple[Answer, ...] = (404, 409, 422, 500, SILENCE, LOST, CUT, AWAY)
DEAF = (CUT, AWAY)  # what costs the whole node its websocket

# Mode; where the called phone stands ("in": on a, and b's calls it); the request that is spoilt, once; what the caller gets, by
# how it is spoilt (ANSWERS): the status of a refusal, or "talks". "-" is left out: who says of a channel that it is gone is
# believed, and of two requests sent at once the second is lost with the first. In bridge mode what was not done after silence
# is asked for once more by itself, and whoever is not put into the bridge, unless he only rings, in any case. A phone on b is
# reached by two kinds of trunk, one on a in one way only: so `there` talks where `here` is refused. 503: Asterisk has not
# answered in time; of an event, nobody has fetched the caller from Stasis, unless a slow ARI made the daemon read all channels
# anew meanwhile: then he talks. "any" is talks or 500: b tries its second trunk unless a has said before that the call is
# there. A leg that Asterisk has ended because there was no websocket is made once more. To dial a leg that is not in Stasis yet
# is declined by any Asterisk: it is dialed again when it does.
TABLE = """
handover  here     EVENT  StasisStart                 -     -     -     -     503   -     -     -
handover  here     POST   channels/CALLER/variables   500   500   500   500   503   -     talks -
handover  here     POST   channels/CALLER/continue    500   500   500   500   503   talks talks talks
handover  there    POST   channels/CALLER/continue    talks talks talks talks talks talks talks -
handover  in       EVENT  StasisStart                 -     -     -     -     talks -     -     -
handover  in       POST   channels/CALLER/continue    any   any   any   any   503   talks talks -
handover  nowhere  DELETE channels/CALLER             -     404   404   404   404   404   404   -
bridge    here     POST   channels/CALLER/variable    talks talks talks talks talks -     talks -
bridge    here     POST   bridges/BRIDGE              500   500   500   500   talks talks talks -
bridge    here     POST   channels/create             500   500   500   500   503   talks talks talks
bridge    there    POST   channels/create             talks talks talks talks talks talks talks -
bridge    here     POST   bridges/BRIDGE/addChannel   500   talks talks talks talks talks talks -
bridge    here     POST   channels/LEG/dial           talks talks talks talks talks talks talks -
bridge    there    POST   channels/LEG/dial           talks talks talks talks talks talks talks -
bridge    here     POST   channels/CALLER/answer      talks talks talks talks talks talks talks -
bridge    here     DELETE channels/LEG                -     talks talks talks talks talks talks -
bridge    here     DELETE bridges/BRIDGE              -     talks talks talks talks talks talks -
"""


@dataclass(frozen=True)
class Case:
    """One cell of the table."""

    mode: str
    where: str
    request: str
    answer: Answer
    gets: str

    def __str__(self) -> str:
        return f"{self.mode} {self.where} {self.request} {self.answer}".replace(" ", "-")


def cases() -> Iterator[Case]:
    for line in TABLE.strip().splitlines():
        mode, where, method, path, *gets = line.split()
        for answer, got in zip(ANSWERS, gets, strict=True):
            if got != "-":
                yield Case(mode, where, f"{method} {path}", answer, got)


@dataclass(frozen=True)
class Outcome:
    """What became of one."""

    gets: str
    seconds: float  # until the caller knew
    untouched: int  # requests that were to be spoilt, and did not come
    left: list[str]  # channels and calls
    record: dict[str, Any]  # of the call, at the node that it came to first
    again: CallResult  # the same caller's next call

    @property
    def handed_over(self) -> bool:
        """Was there nothing to spoil, because it was not in bridge mode?"""
        return bool(self.untouched) and self.record.get("control") != "bridge"


@dataclass(frozen=True)
class Desk:
    """A caller on a and those whom he calls, each in one mode: two on a, two on b."""

    number: int

    @property
    def phones(self) -> dict[str, str]:
        """Each with its node."""
        return {f"1{self.number:02}{i}": "aaabb"[i] for i in range(5)}

    @property
    def caller(self) -> str:
        return f"1{self.number:02}0"

    def phone(self, where: str, mode: str) -> str:
        return f"1{self.number:02}{1 + 2 * (where == 'there') + (mode == 'bridge')}"

    def pair(self, case: Case) -> tuple[str, str]:
        """Who calls whom."""
        match case.where:
            case "nowhere":
                return self.caller, "7777"
            case "in":
                return self.phone("there", case.mode), self.phone("here", case.mode)
        return self.caller, self.phone(case.where, case.mode)


class Ground:
    """Two nodes, a's daemon behind the meddler."""

    def __init__(self, lab: Lab, meddler: Meddler) -> None:
        self.lab, self.meddler, self.federation = lab, meddler, Federation(lab, "ab")
        self.desks = [Desk(number) for number in range(CALLERS)]

    def furnish(self) -> None:
        """All phones are registered, and known to both nodes."""
        at = {number: node for desk in self.desks for number, node in desk.phones.items()}
        modes = {desk.phone(w, m): m for desk in self.desks for w in PLACES for m in MODES}
        objects = [
            {"kind": "extension", "extension": one, "secret": SECRET, "control": modes.get(one, "")}
            for one in at
        ]
        status, said = self.lab.http("a", "POST", "/import", {"objects": objects})
        assert status == 200, said
        self.federation.until(self.federation.whole)
        for number in at:
            self.lab.remember_extension(number, SECRET)
        with ThreadPoolExecutor(CALLERS) as pool:
            list(pool.map(self.lab.register, at.keys(), at.values()))
        for node in "ab":
            for number in at:
                self.federation.until(
                    lambda number=number, node=node: (  # type: ignore[misc]
                        self.federation.where(number, node) == [at[number]]
                    ),
                    what=f"{number} at {node}",
                )

    def run(self, case: Case, desk: Desk) -> Outcome:
        """Spoil one request of a call, look what comes of it, and call again."""
        caller, called = desk.pair(case)
        self.meddler.spoil(caller, case.request, case.answer)
        wall, began = time.time(), time.monotonic()
        try:
            dialled = self.lab.dial(caller, called, timeout=BOUND + 1)
            seconds = time.monotonic() - began
            if (
                case.answer in DEAF
            ):  # who hangs up before all is read anew was never answered, for all we know
                self.hears_of(caller)
            time.sleep(HOLD[case.answer in (SILENCE, LOST)][case.request.endswith("answer")])
            lives = [one["state"] for one in self.lab.calls_of(caller, wall)] == ["answered"]
            heard = self.lab.finish(dialled)
            gets = "talks" if lives and heard.ok else "cut" if not lives else str(heard.cause)
        except PhoneRefused as refusal:
            seconds, gets = time.monotonic() - began, str(refusal.status)
        until = time.monotonic() + GONE
        while (left := self.left(desk)) and time.monotonic() < until:
            time.sleep(0.05)
        untouched = self.meddler.left(caller)
        self.meddler.pass_on(caller)
        record = self.record("b" if case.where == "in" else "a", caller, wall)
        again = self.lab.call(caller, desk.phone("here", case.mode), hold=0.4)
        return Outcome(gets, round(seconds, 1), untouched, left, record, again)

    def hears_of(self, caller: str) -> None:
        """Until a's daemon, whose websocket was cut, knows that he talks."""
        until = time.monotonic() + ANEW
        while time.monotonic() < until:
            calls = self.federation.get("a", "/calls")
            if "talking" in {one["state"] for one in calls if one["from"] == caller}:
                return
            time.sleep(0.05)

    def left(self, desk: Desk) -> list[str]:
        """What there is of this desk at both Asterisks and daemons."""
        found: list[str] = []
        for node in "ab":
            rows = self.lab.asterisk(node, "core show channels concise").splitlines()
            for name, *cells in (row.split("!") for row in rows):
                if name.partition("/")[2].rpartition("-")[0] in desk.phones or (
                    cells[6] in desk.phones
                ):
                    found.append(f"{node}: {name} {cells}")
            for call in self.federation.get(node, "/calls"):
                if call["from"] in desk.phones:
                    found.append(f"{node}: {call['from']} to {call['to']} {call['state']}")
        return found

    def record(self, node: str, caller: str, since: float) -> dict[str, Any]:
        """What is kept of his last call; {} if nothing is."""
        path = f"/calls/records?number={caller}&last=true&limit=1"
        until = time.monotonic() + 2
        while time.monotonic() < until:
            found = self.federation.get(node, path)
            if found and found[0]["began_ms"] / 1_000 > since - 0.1:
                return dict(found[0])
            time.sleep(0.05)
        return {}


PLACES, MODES = ("here", "there"), ("handover", "bridge")


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with a_lab("garbled", 2, daemon=False) as lab, Meddler(lab.node("a")) as meddler:
        lab.configure("a", "asterisk", "url", meddler.url)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda node: lab.node(node).start_daemon(), "ab"))
        found = Ground(lab, meddler)
        found.furnish()
        yield found


@pytest.fixture(scope="module")
def outcomes(ground: Ground, request: pytest.FixtureRequest) -> dict[Case, Outcome]:
    """Of those that are asked for."""
    asked = (getattr(item, "callspec", None) for item in request.session.items)
    wanted = [spec.params["case"] for spec in asked if spec and "case" in spec.params]
    free: SimpleQueue[Desk] = SimpleQueue()
    found: dict[Case, Outcome] = {}
    for desk in ground.desks:
        free.put(desk)

    def do(case: Case) -> None:
        desk = free.get()
        try:
            found[case] = ground.run(case, desk)
        finally:
            free.put(desk)

    beside = sorted(
        (c for c in wanted if c.answer not in DEAF), key=lambda c: c.request[:5] != "EVENT"
    )
    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(do, beside))
    for case in wanted:
        if case.answer in DEAF:
            do(case)
    for case in wanted:
        for _ in turns():
            if case.mode != "bridge" or not found[case].handed_over:
                break
            do(case)
    return found


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_a_call_ends_with_a_cause(outcomes: dict[Case, Outcome], case: Case) -> None:
    """Soon; nothing of it is left, its record says what was, and who calls again talks."""
    outcome = outcomes[case]
    print(case, outcome)
    assert outcome.gets in {"any": ("talks", "500"), "503": ("503", "talks")}.get(
        case.gets, (case.gets,)
    )
    assert outcome.seconds < BOUND
    assert not outcome.untouched
    assert outcome.left == []
    assert outcome.again.ok
    if outcome.gets == "503" and "EVENT" in case.request:
        assert outcome.record == {}  # the daemon has not heard of it
    else:
        rung = (
            "BRIDGE" in case.request
        )  # and answered before Asterisk has declined what was said at once with it
        answered = outcome.record["answered"]
        assert answered is (outcome.gets in ("talks", "cut")) or (rung and outcome.gets == "500")


def test_nothing_is_left(ground: Ground, outcomes: dict[Case, Outcome]) -> None:
    """Neither is a bridge, which no caller's name betrays."""
    for node in "ab":
        for what in "core show channels concise", "bridge show all":
            said = ground.lab.asterisk(node, what)
            assert "!" not in said
            assert "pf-" not in said
        assert ground.federation.get(node, "/calls") == []


@pytest.mark.parametrize("answer", [a for a in ANSWERS if a not in (LOST, *DEAF)], ids=str)
def test_who_talks_talks_on_while_a_reconnect_fails(ground: Ground, answer: Answer) -> None:
    """Bridges, then channels cannot be listed: it is tried again, and nobody is taken for gone."""
    lab, desk, federation = ground.lab, ground.desks[0], ground.federation
    pairs = [(desk.caller, desk.phone("here", "bridge"))]
    pairs += [(desk.phone("there", "handover"), desk.phone("here", "handover"))]
    talking = [in_bridge_mode(federation, *pairs[0]), lab.dial(*pairs[1])]
    for listing in "GET bridges", "GET channels":
        ground.meddler.spoil("", listing, answer)
    ground.meddler.cut()
    federation.until(lambda: not ground.meddler.left(""))
    federation.until(lambda: lab.http("a", "GET", "/health")[0] == 200)
    shown = {call["from"]: call["state"] for call in federation.get("a", "/calls")}
    assert shown == {dialled.caller: "talking" for dialled in talking}
    for dialled in talking:
        assert both_hear(federation, dialled)
        lab.hang_up(dialled)
    federation.until(lambda: not ground.left(desk), 5)
    assert lab.call(*pairs[0], hold=0.5).ok


def test_a_rescue_is_not_lost_for_a_request_that_fails_once(ground: Ground) -> None:
    """Four who talk by one trunk lose their other ends; of each the first request to join them again fails."""
    lab, federation = ground.lab, ground.federation
    spoilt: tuple[Answer, ...] = (409, 422, 500, SILENCE)
    answers = dict(zip(ground.desks, spoilt, strict=False))
    talks = {
        desk: in_bridge_mode(federation, desk.caller, desk.phone("there", "bridge"))
        for desk in answers
    }
    time.sleep(0.5)
    died = time.time()
    for desk, answer in answers.items():
        ground.meddler.spoil(desk.caller, "POST bridges/BRIDGE/addChannel", answer)
    lab.kill("b", "asterisk")
    lab.start("b", "asterisk")

    def back(phone: str) -> list[str]:
        return [c["call"] for c in lab.calls_of(phone, died) if c["answered_at"]]

    for desk, dialled in talks.items():
        phone = desk.phone("there", "bridge")
        federation.until(lambda phone=phone: bool(back(phone)), 15, what=f"{phone} is called")  # type: ignore[misc]
        federation.until(
            lambda one=desk.caller, its=dialled.id, other=phone: (  # type: ignore[misc]
                lab.hears(one, its, other) and lab.hears(other, back(other)[-1], one)
            ),
            10,
            what=f"{desk.caller} and {phone} hear each other, {answers[desk]}",
        )
        assert not ground.meddler.left(desk.caller)
        lab.hang_up(dialled)
        federation.until(lambda desk=desk: not ground.left(desk), 8)  # type: ignore[misc]
    federation.until(federation.whole, 30)
    for desk in answers:
        assert lab.call(desk.caller, desk.phone("there", "bridge"), hold=0.4).ok


def test_who_refuses_unheard_rings_once_more_though_another_one_has_refused_before(
    ground: Ground,
) -> None:
    """Of two who ring together, while the websocket is away; he answers then, and the other one is left alone."""
    lab, federation, desk = ground.lab, ground.federation, ground.desks[0]
    first, second = desk.phone("there", "bridge"), desk.phone("here", "bridge")
    put(federation, "group", "600", members=[first, second], control="bridge", ring_seconds=20)
    calm(federation, "bridge", desk.caller, second)
    since, before = time.time(), {one: lab.phone(one)["invites"] for one in (first, second)}
    lab.manners(first, refuse="486 Busy Here")
    lab.manners(second, refuse="486 Busy Here", answer_after_ms=3_000)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(lab.dial, desk.caller, "600", timeout=20)
        federation.until(lambda: lab.phone(first)["invites"] > before[first])
        federation.until(lambda: [c["state"] for c in lab.calls_of(second, since)] == ["ringing"])
        time.sleep(0.5)  # the first one is heard to refuse
        ground.meddler.cut(4.0)
        federation.until(lambda: lab.calls_of(second, since)[-1]["state"] == "ended")
        for number in first, second:
            lab.manners(number)
        dialled = call.result()
    assert both_hear(federation, dialled)
    rung = {one: lab.phone(one)["invites"] - count for one, count in before.items()}
    lab.hang_up(dialled)
    assert rung == {first: 1, second: 2}
    federation.until(lambda: not ground.left(desk), 8)
