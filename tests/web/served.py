"""An API whose federation is real: two nodes of a story, one of them served."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple, cast

from aiohttp import web
from aiohttp.test_utils import TestClient

from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import Note, Reply
from pbxfed_ari.core.events import CallEvent, Event
from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.core.membership.health import Health
from pbxfed_ari.errors import Refused
from pbxfed_ari.loop import FOR_CALLS
from pbxfed_ari.provisioning.telling import Recipe
from pbxfed_ari.sensors.gauges import OWN
from pbxfed_ari.store.records import Records
from pbxfed_ari.web.access import Role, Tokens
from pbxfed_ari.web.api import Api
from pbxfed_ari.web.eventlog import EventLog
from pbxfed_ari.web.handouts import Offer
from tests.stories.world import World
from tests.web.test_metrics import NUMBERS

Client = TestClient[web.Request, web.Application]
SECRET = "correct-horse-9"
MOST = 60.0  # seconds of the story in which everything is answered


class Stored(NamedTuple):
    """A recording."""

    size: int
    pieces: AsyncIterator[bytes]


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 4):
        yield data[start : start + 4]


class Served:
    """Node a of a story. Satisfies `web.api.Node`."""

    def __init__(self, tokens: Sequence[tuple[Role, str]] = ()) -> None:
        self.world = World(names="ab", sealed=False)
        self.world.run(1)
        self.node = self.world["a"]
        self.federation: Federation = self.node.federation
        self.switchboard = Switchboard()
        self.events = EventLog(1)
        self.call_events = EventLog(1)
        self.records = Records(":memory:", clock=lambda: self.node.wall_ms() / 1_000)
        self.store_trouble = ""
        self.health = Health(OWN)
        self.offer: Offer | None = Offer("phones.example", 8783, Recipe())
        self.notes: list[Note] = []
        self.recordings: dict[str, bytes] = {}
        self.deaf = False  # then nothing is answered
        self.api = Api(self, Tokens(tokens))

    def post(self, event: Event) -> None:
        """It is handled in the loop's next turn, as in the daemon."""
        if not self.deaf:
            asyncio.get_running_loop().call_soon(self._handle, event)

    def _handle(self, event: Event) -> None:
        seen = len(self.node.effects)
        if type(event) in FOR_CALLS:
            told = cast(CallEvent, event)
            effects = self.switchboard.handle(told, self.now(), self.federation.view)
            for reply in (one for one in effects if isinstance(one, Reply)):
                self.api.reply(reply)
            return
        self.node.handle(event)
        self.world.run(MOST, lambda: bool(self._replies(seen)))
        for reply in self._replies(seen):
            self.api.reply(reply)

    def _replies(self, seen: int) -> list[Reply]:
        return [e for e in self.node.effects[seen:] if isinstance(e, Reply)]

    def note(self, note: Note) -> None:
        self.notes.append(note)

    def reasons(self) -> list[str]:
        return []

    def troubles(self) -> dict[str, str]:
        return {}

    def warnings(self) -> list[str]:
        return []

    def unread(self) -> dict[str, str]:
        return {"queues": "nobody to ask"}

    def store_bytes(self) -> int:
        return 4096

    def asterisk(self) -> dict[str, object]:
        return {"state": "live", "version": "22.10.1", "objects_to_push": 0}

    def wan_link(self) -> dict[str, object] | None:
        return None

    def counters(self) -> dict[str, object]:
        return {**NUMBERS, "frames_dropped": {}, "messages_sent": {}, "messages_received": {}}

    def failures_read(self) -> dict[str, object]:
        return {"file": "/var/log/asterisk/pbxfed-security.log", "trouble": "", "bytes_skipped": 0}

    async def catch_up(self) -> None: ...

    @asynccontextmanager
    async def recording(self, name: str) -> AsyncIterator[Stored]:
        if name not in self.recordings:
            raise Refused(f"recording {name} was removed", status=404)
        yield Stored(len(self.recordings[name]), _pieces(self.recordings[name]))

    def wall_ms(self) -> int:
        return self.node.wall_ms()

    def now(self) -> float:
        return self.node.now()

    def invite(self, ttl: int) -> str:
        return f"token for {ttl} s"
