"""What is kept of calls: a record of each that is over, told to whoever listens, and notes of those that go on."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from pbxfed_ari.clock import wall_ms
from pbxfed_ari.config import Settings
from pbxfed_ari.core.effects import CallEnded, Note
from pbxfed_ari.core.federation import Federation
from pbxfed_ari.core.notebook import Noted
from pbxfed_ari.store.recorder import NOTED, Recorder
from pbxfed_ari.store.records import Json, Records
from pbxfed_ari.store.writer import Writer
from pbxfed_ari.web.callbook import COLUMNS, record
from pbxfed_ari.web.eventlog import EventLog

log = logging.getLogger("pbxfed")


class Accounting:
    """The records, the notes, and the events of calls that have ended."""

    def __init__(
        self,
        settings: Settings,
        writer: Writer,
        federation: Federation,
        *,
        over: Callable[[CallEnded], object],
        going_on: Callable[[], tuple[Sequence[Noted], Sequence[str]] | None],
    ) -> None:
        """`over`: who else wants to know of each that is over. `going_on`: what is to be noted, and struck out, if anything."""
        self._me, self._writer = federation.me, writer
        self._over, self._going_on = over, going_on
        self.events = EventLog(federation.ourselves.identity.epoch)
        self.recorder: Recorder[CallEnded] = Recorder(
            writer, self._ended, lambda ended, over: self.records.add(*ended, over=over)
        )
        self.records = Records(
            settings.node.state / "calls.db", days=settings.calls.keep_days, ask=self.recorder.ask
        )

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(NOTED)
            self._note()

    def finish(self) -> None:
        """Hand over to the writer what is not written yet."""
        self._note()
        self.recorder.flush()

    def _ended(self, call: CallEnded) -> tuple[Json, str]:
        log.info(
            "call ended call=%s from=%s to=%s answered=%s tries=%d cause=%d seconds=%.1f last=%r",
            call.call,
            call.caller,
            call.number,
            call.answered,
            call.tries,
            call.cause,
            call.seconds,
            call.attempts[-1].reason if call.attempts else "",
        )
        self._over(call)
        kept = record(call, self._me)
        shown = tuple((name, kept[name]) for name in COLUMNS if name != "node")
        self.events.add(Note("call ended", shown), wall_ms())
        return kept, call.note

    def _note(self) -> None:
        """Unless the disk hangs."""
        if self._writer.late or (news := self._going_on()) is None:
            return
        (noted, void), seen_ms = news, wall_ms()
        self.recorder.note(lambda: self.records.note(noted, void, seen_ms))
