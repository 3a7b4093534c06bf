"""Whole calls in both modes, while ARI answers 404, 409, 422, 500 or nothing at one step: nothing is left; or it goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import pytest
from aiohttp import web

from pbxfed_ari.asterisk import insisting
from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.contacts import Contacts
from pbxfed_ari.asterisk.operator import ForAsterisk, Operator
from pbxfed_ari.core.calls.calls import Manner
from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import CallEnded, Note
from pbxfed_ari.core.events import (
    Answered,
    Arrived,
    CallEvent,
    Ended,
    LegEnded,
    LegEntered,
    LegLives,
    Returned,
)
from pbxfed_ari.core.names import ChannelId, NodeName
from tests.core.test_route import A, View, make

from .fake import LOST, FakeAri

CALLER, ONE, TWO = ChannelId("17.1"), "pf-f00-1-0", "pf-f00-1-1"
SILENT = (0, LOST)
WAYS_TO_FAIL = [404, 409, 422, 500, *SILENT]
TIMED = f"POST channels/{CALLER}/variable"
HANDED_OVER = [f"POST channels/{CALLER}/variables", f"POST channels/{CALLER}/continue"]
BRIDGED = [
    TIMED,
    "POST bridges/pf-f00",
    "POST channels/create",
    "POST bridges/pf-f00/addChannel",
    f"POST channels/{ONE}/dial",
    f"POST channels/{CALLER}/ring",
    f"POST channels/{CALLER}/answer",
    f"DELETE channels/{ONE}",
    "DELETE bridges/pf-f00",
]


class Exchange(FakeAri):
    """An Asterisk in which the call's channels and bridges exist, told to a switchboard; who is dialed answers."""

    def __init__(self, control: str, devices: int) -> None:
        super().__init__()
        self.alive: dict[str, str] = {CALLER: "Ring"}  # channels, with their states
        self.inside: dict[str, list[str]] = {}  # who is in which bridge
        self.elsewhere: set[str] = set()  # channels that have left Stasis
        self.stubborn = False  # it never ends what it is asked to
        self.board = Switchboard(Manner(control=control))
        self.view = View(A, items=[make("extension", "1001")])
        self.view.devices = [f"sip:1001@{i}" for i in range(devices)] if devices > 1 else []
        self.operator: Operator | None = None
        self.records: list[CallEnded] = []
        self.notes: list[Note] = []

    def post(self, event: Any) -> None:
        """As the loop does: later."""
        asyncio.get_running_loop().call_soon(self._handle, event)

    def _handle(self, event: CallEvent) -> None:
        now = asyncio.get_running_loop().time()
        for effect in self.board.handle(event, now, self.view):
            if isinstance(effect, CallEnded):
                self.records.append(effect)
            elif not isinstance(effect, Note):
                assert self.operator is not None
                self.operator.perform(cast(ForAsterisk, effect))

    def end(self, channel: str) -> None:
        """It is no more."""
        self.alive.pop(channel, None)
        gone = ChannelId(channel)
        self.post(LegEnded(gone, 16) if channel.startswith("pf-") else Ended(gone))

    def refusal(self, line: str) -> int | None:
        """To end something is declined once: what is never granted cannot be done."""
        once = line.startswith("DELETE") and not self.stubborn
        return self.refuse.pop(line, None) if once else self.refuse.get(line)

    def _answer(self, request: web.Request, path: str, body: object) -> web.Response:
        match request.method, path.split("/"):
            case "POST", ["channels", "create"]:
                assert isinstance(body, dict)
                self.alive[body["channelId"]] = "Down"
                self.post(LegEntered(ChannelId(body["channelId"])))
            case method, ["channels", name, *what]:
                return self._channel(method, name, what)
            case "POST", ["bridges", name]:
                self.inside[name] = []
            case "GET", ["bridges", name] if name in self.inside:
                return web.json_response({"id": name, "channels": self.inside[name]})
            case "DELETE", ["bridges", name]:
                self.inside.pop(name, None)
            case _, ["bridges", name, *_] if name not in self.inside:
                return web.json_response({"message": "Bridge not found"}, status=404)
            case "POST", ["bridges", name, "addChannel"]:
                self.inside[name] += request.query["channel"].split(",")
            case _:
                return super()._answer(request, path, body)
        return web.Response(status=204)

    def _channel(self, method: str, name: str, what: list[str]) -> web.Response:
        channel = ChannelId(name)
        if name not in self.alive:
            return web.json_response({"message": "Channel not found"}, status=404)
        if method == "GET":
            app = "Dial" if name in self.elsewhere else "Stasis"
            found = {"id": name, "state": self.alive[name], "dialplan": {"app_name": app}}
            return web.json_response(found)
        if method == "DELETE":
            self.end(name)
        elif what == ["dial"]:
            self.alive[name] = "Up"
            self.post(LegLives(CALLER, channel, "RINGING"))
            self.post(Answered(CALLER, channel))
        elif what == ["answer"]:
            self.alive[name] = "Up"
        elif what == ["continue"]:
            self._go_on(channel)
        return web.Response(status=204)

    def _go_on(self, channel: ChannelId) -> None:
        """Into Dial, which reaches nobody."""
        self.post(Returned(channel, "CHANUNAVAIL", 20))

    async def over(self) -> bool:
        """Wait until nothing of the call is left, or until nothing more happens."""
        assert self.operator is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                while self.alive or self.inside or len(self.board) or len(self.operator.calls):  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
                return True
        return False


@asynccontextmanager
async def exchange(
    control: str, devices: int = 1, *, connected: bool = False, silent: bool = False
) -> AsyncIterator[Exchange]:
    """An exchange with an operator at work. Where it shall be `silent` no answer is waited for long."""
    async with (
        Exchange(control, devices) as found,
        AriClient(found.url, "pbxfed", "right", deadline=0.2 if silent else 5.0) as ari,
    ):
        contacts = Contacts(ari, post=found.post, note=found.notes.append)
        found.operator = Operator(
            ari,
            contacts,
            own=NodeName("a"),
            realm="fed.example",
            secret_for=lambda peer, key: "",
            iax_file=None,
            post=found.post,
            note=found.notes.append,
        )
        async with asyncio.TaskGroup() as group:
            running = group.create_task(found.operator.run())
            await asyncio.sleep(0)
            if connected:
                await ari.asterisk.ping(deadline=5.0)
                found.asked.clear()
            try:
                yield found
            finally:
                running.cancel()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insisting, "AGAIN", 0.01)


@pytest.mark.parametrize("status", WAYS_TO_FAIL)
@pytest.mark.parametrize(
    ("control", "connected", "step"),
    [
        *(("handover", connected, step) for connected in (False, True) for step in HANDED_OVER),
        *(("bridge", False, step) for step in BRIDGED),
    ],
)
async def test_a_call_ends_whatever_fails(
    control: str, connected: bool, step: str, status: int
) -> None:
    """Of itself, or they talk; no channel, bridge or call is left over. Whether a connection is open already or not."""
    async with exchange(control, connected=connected, silent=status in SILENT) as at:
        at.refuse[step] = status
        at.post(Arrived(CALLER, "1001", "1002", "", fresh_id="f00"))
        over = await settle(at)
        harmless = step.startswith("DELETE") or step.endswith("/ring")
        insisted = step == TIMED or step.endswith("/answer")
        done = control == "bridge" and status == LOST and not insisted
        assert over is not (harmless or done), at.asked
        if not over:
            assert at.alive == {CALLER: "Up", ONE: "Up"}
            at.end(CALLER)
        if status == 404:  # what was said to be gone is gone
            await settle(at)
            at.inside.clear()
            for leg in list(at.alive):
                at.end(leg)
        assert await at.over(), (at.alive, at.inside, list(at.board), at.asked)
        assert len(at.records) == 1


async def settle(at: Exchange) -> bool:
    """Wait until the caller is gone, or nothing more is asked; is he gone?"""
    before = -1
    while CALLER in at.alive and (len(at.asked) != before or len(at.operator.calls)):  # type: ignore[union-attr]
        before = len(at.asked)
        await asyncio.sleep(0.1)
    return CALLER not in at.alive


@pytest.mark.parametrize("status", WAYS_TO_FAIL)
async def test_the_hang_up_itself_fails(status: int) -> None:
    """It is asked again, a few times; and a caller who is gone has ended."""
    async with exchange("handover", silent=status in SILENT) as at:
        at.refuse[f"DELETE channels/{CALLER}"] = status
        at.post(Arrived(CALLER, "7777", "1002", "", fresh_id="f00"))
        await settle(at)
        if status == 404:
            at.alive.clear()
        assert await at.over(), at.asked
        assert [record.cause for record in at.records] == [1]


async def test_what_is_never_ended_is_said() -> None:
    """After three times; the dialplan's TIMEOUT(absolute), or the next connect, ends it."""
    async with exchange("handover") as at:
        step = f"DELETE channels/{CALLER}"
        at.refuse[step], at.stubborn = 500, True
        at.post(Arrived(CALLER, "7777", "1002", "", fresh_id="f00"))
        await settle(at)
        assert at.asked.count(step) == insisting.TIMES
        assert [note.what for note in at.notes] == ["call not hung up"]


async def test_an_unanswered_caller_is_not_left_in_silence() -> None:
    """The phone has answered, the caller cannot be: he is hung up with a cause."""
    async with exchange("bridge") as at:
        at.refuse[f"POST channels/{CALLER}/answer"] = 500
        at.post(Arrived(CALLER, "1001", "1002", "", fresh_id="f00"))
        assert await at.over(), at.asked
        assert f"DELETE channels/{CALLER}" in at.asked


@pytest.mark.parametrize("status", WAYS_TO_FAIL)
async def test_a_loser_that_does_not_stop_is_asked_again(status: int) -> None:
    """Two devices ring, both answer."""
    async with exchange("bridge", devices=2, silent=status in SILENT) as at:
        for leg in ONE, TWO:
            at.refuse[f"DELETE channels/{leg}"] = status
        at.post(Arrived(CALLER, "1001", "1002", "", fresh_id="f00"))
        assert not await settle(at)
        at.end(CALLER)
        if status == 404:
            at.alive.clear()
        assert await at.over(), (at.alive, at.asked)
