"""What the core wants kept goes to the store by the thread that may hang. After the first failure nothing more is kept, so that
what is kept stays without holes.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable

from pbxfed_ari.core.effects import Persist, Remember, Reply
from pbxfed_ari.store.sqlite import Kept, Store
from pbxfed_ari.store.writer import Writer

log = logging.getLogger(__name__)


class Keeper:
    """Between the core and one node's store."""

    def __init__(self, store: Store, writer: Writer, *, hung: float) -> None:
        """`hung`: seconds without an answer of the disk after which it is said to hang."""
        self._store, self._writer, self._hung = store, writer, hung
        self.failed = ""  # why nothing is kept any more

    @property
    def trouble(self) -> str:
        """Why nothing is kept, for now or any more; else an empty text."""
        behind = self._writer.behind()
        if self.failed or behind < self._hung:
            return self.failed
        return f"node.state: the disk has not taken a write for {behind:.0f} s; nothing is kept until it does"

    def keep(self, effect: Kept) -> None:
        """Keep it. What must be on the disk first is waited for, unless it is plain that the disk hangs."""
        self._later(lambda: self._store.perform(effect))
        if isinstance(effect, Persist) and effect.durable:
            self._writer.wait()

    def remember(self, effect: Remember) -> None:
        """Keep a text under a name."""
        self._later(lambda: self._store.remember(effect.name, effect.value))

    def confirm(self, reply: Reply, answer: Callable[[Reply], None]) -> None:
        """Answer whoever waits for what he wanted kept: when it is on the disk, or that it will not be."""
        if not reply.error and self.failed:
            why = f"told to the peers, but not kept here: {self.failed}"
            reply = Reply(reply.ticket, 507, error=why)
        if not reply.error and self._writer.late:
            loop = asyncio.get_running_loop()
            self._writer.later(lambda: loop.call_soon_threadsafe(answer, reply))
        else:
            answer(reply)

    def _later(self, write: Callable[[], None]) -> None:
        def kept() -> None:
            if self.failed:
                return
            try:
                write()
            except sqlite3.Error as error:
                self._fail(str(error))

        if self._writer.full:
            self._fail("the disk hangs for too long")
        if not self.failed:
            self._writer.later(kept)

    def _fail(self, why: str) -> None:
        if self.failed:
            return
        remedy = "nothing is kept until there is room and the daemon is started again"
        self.failed = f"node.state: {self._store.path}: {why}; {remedy}"
        log.error("%s", self.failed)
