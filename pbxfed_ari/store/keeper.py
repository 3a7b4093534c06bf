"""What the core wants kept goes to the store by the thread that may hang.

What the disk refuses waits, and all after it, so that what is kept has no holes; it is tried again every AGAIN seconds. Only
what cannot be kept at all, or is too much to wait, ends that: then nothing more is kept.
"""

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable

from pbxfed_ari.core.effects import Persist, Remember, Reply
from pbxfed_ari.store.sqlite import Kept, Store
from pbxfed_ari.store.writer import MOST, Writer

AGAIN = 2.0  # seconds until what the disk has refused is tried again
log = logging.getLogger(__name__)


class Keeper:
    """Between the core and one node's store."""

    def __init__(self, store: Store, writer: Writer, *, hung: float) -> None:
        """`hung`: seconds without an answer of the disk after which it is said to hang."""
        self._store, self._writer, self._hung = store, writer, hung
        self._loop = asyncio.get_running_loop()
        self._owed: deque[Callable[[], None]] = (
            deque()
        )  # what the disk has refused, and what came after
        self._given_up = False
        self.failed = ""  # why nothing is kept, for now or any more

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
        """Answer whoever waits for what he wanted kept: when it is on the disk, or that it is not."""
        if not reply.error and self.failed:
            why = f"told to the peers, but not kept here: {self.failed}"
            reply = Reply(reply.ticket, 507, error=why)
        if not reply.error and self._writer.late:
            self._writer.later(lambda: self._loop.call_soon_threadsafe(answer, reply))
        else:
            answer(reply)

    def finish(self) -> None:
        """The daemon ends: try what is owed for the last time."""
        self._writer.later(self._settle)

    # --- who writes

    def _later(self, write: Callable[[], None]) -> None:
        def kept() -> None:
            if self._given_up:
                return
            self._owed.append(write)
            if not self.failed:
                self._settle()
            elif len(self._owed) >= MOST:
                self._give_up(f"{self._store.path}: the disk has refused too much")

        if self._writer.full:
            self._give_up(f"{self._store.path}: the disk hangs for too long")
        if not self._given_up:
            self._writer.later(kept)

    def _settle(self) -> None:
        """Write what is owed, in order, as far as the disk takes it."""
        while self._owed:
            try:
                self._owed[0]()
            except (
                sqlite3.OperationalError
            ) as error:  # full, read-only, failing: it may take it later
                self._refused(str(error))
                return
            except sqlite3.Error as error:
                self._give_up(f"{self._store.path}: {error}")
                return
            except Exception:  # a mistake of ours must not hold up the others
                log.exception("the store: something could not be kept")
            self._owed.popleft()
        if self.failed:
            log.warning("the disk of node.state takes writes again: all is kept")
            self.failed = ""

    def _refused(self, why: str) -> None:
        remedy = "nothing is kept until it takes writes: make room, or see in `dmesg` what is wrong with the disk"
        if "readonly" in why:
            remedy = "nothing is kept: let the daemon write there, and start it again"
        told, self.failed = self.failed, f"node.state: {self._store.path}: {why}; {remedy}"
        if told != self.failed:
            log.error("%s", self.failed)
        self._loop.call_soon_threadsafe(self._loop.call_later, AGAIN, self._try_again)

    def _try_again(self) -> None:
        if not self._given_up:
            self._writer.later(self._settle)

    def _give_up(self, why: str) -> None:
        if self._given_up:
            return
        self._given_up = True
        self._owed.clear()
        remedy = "nothing is kept until there is room and the daemon is started again"
        self.failed = f"node.state: {why}; {remedy}"
        log.error("%s", self.failed)
