"""What is kept of calls: a record of each that is over, told to whoever listens, and notes of those that go on."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from pbxfed_ari.clock import wall_ms
from pbxfed_ari.config import Settings
from pbxfed_ari.core.calls.notebook import Noted
from pbxfed_ari.core.effects import CallEnded, Note
from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.store.recorder import NOTED, Recorder
from pbxfed_ari.store.records import Json, Records
from pbxfed_ari.store.writer import Writer
from pbxfed_ari.web.callbook import COLUMNS, record
from pbxfed_ari.web.eventlog import EventLog

REMEDY = "is the disk of Asterisk's spool full, or may it not write there? docs/operating.md says what else shortens it"
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
        judged: Callable[[CallEnded], Awaitable[CallEnded]],
        note: Callable[[Note], None],
    ) -> None:
        """`over`: who else wants to know of each that is over. `going_on`: what is to be noted, and struck out, if anything.

        `judged`: as in asterisk/recordings.py.
        """
        self._me, self._writer = federation.me, writer
        self._over, self._going_on = over, going_on
        self._judged, self._note_of = judged, note
        self._recorded: dict[str, CallEnded] = {}  # it is looked at what there is of that
        self._group: asyncio.TaskGroup | None = None
        self.events = EventLog(federation.ourselves.identity.epoch)
        self.recorder: Recorder[CallEnded] = Recorder(
            writer, self._ended, lambda ended, over: self.records.add(*ended, over=over)
        )
        self.records = Records(
            settings.node.state / "calls.db", days=settings.calls.keep_days, ask=self.recorder.ask
        )

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._group:
                while True:
                    await asyncio.sleep(NOTED)
                    self._note()
        finally:
            self._group = None
            for call in self._recorded.values():  # there is no time to look
                self.recorder.add(call)
            self._recorded.clear()

    def ended(self, call: CallEnded) -> None:
        """A call is over; of one that was recorded the record tells what there is of that."""
        if not call.recording or self._group is None:
            self.recorder.add(call)
            return
        self._recorded[call.note] = call
        self._group.create_task(self._look(call), name=f"recording of {call.call}")

    async def _look(self, call: CallEnded) -> None:
        found = await self._judged(call)
        del self._recorded[call.note]
        if found.recording_error:
            fields = (("call", call.call), ("error", found.recording_error), ("remedy", REMEDY))
            self._note_of(Note("call not recorded as it should be", fields, "warning"))
        self.recorder.add(found)

    def finish(self) -> None:
        """Hand over to the writer what is not written yet, and what the disk has refused so far."""
        self._note()
        self.recorder.flush()
        self._writer.later(self.records.settle)

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
        """Unless the disk hangs, or refuses: then what waits is tried again."""
        if self._writer.late:
            return
        if self.records.trouble:
            self.recorder.note(self.records.settle)
            return
        if (news := self._going_on()) is None:
            return
        (noted, void), seen_ms = news, wall_ms()
        self.recorder.note(lambda: self.records.note(noted, void, seen_ms))
