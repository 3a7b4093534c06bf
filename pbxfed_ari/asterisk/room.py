"""The room as `node/` sees it: client, connection, contacts and operator, wired."""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.connection import Connection
from pbxfed_ari.asterisk.contacts import Contacts
from pbxfed_ari.asterisk.objects import SecretFor
from pbxfed_ari.asterisk.operator import ForAsterisk, Operator
from pbxfed_ari.asterisk.process import Process
from pbxfed_ari.asterisk.tables import FIRST, Tables, prepare, take_away
from pbxfed_ari.asterisk.versions import SEVERAL_VARIABLES, Version
from pbxfed_ari.core.effects import CallListener, Enter, HandOver, Lead, MakeLeg, Note, OverhearAfar
from pbxfed_ari.core.events import Event
from pbxfed_ari.core.names import ChannelId, Extension, NodeName
from pbxfed_ari.errors import Declined


class AsteriskRoom:
    """One Asterisk: its events are posted, effects for it are performed, from `run()` on."""

    def __init__(
        self,
        *,
        url: str,
        user: str,
        password: str,
        own: NodeName,
        realm: str,
        secret_for: SecretFor,
        iax_file: Path | None,
        iax_taken: Callable[[], bool],
        control: Path,
        objects: Path,
        expected: Callable[[], Iterable[Extension]],
        up: Callable[[], None] = lambda: None,
        post: Callable[[Event], None],
        note: Callable[[Note], None],
    ) -> None:
        """`up` is told of each connect: perhaps to a new Asterisk."""
        self.ari = AriClient(url, user, password)
        self._told_up = up
        self._left: Collection[ChannelId] | None = None
        self.tables = Tables(objects)
        self.contacts = Contacts(self.ari, expected=expected, post=post, note=note)
        self.operator = Operator(
            self.ari,
            self.contacts,
            own=own,
            realm=realm,
            secret_for=secret_for,
            iax_file=iax_file,
            post=post,
            note=note,
            hear_bridges=lambda: self.connection.subscriptions.hear_bridges(),
            bridges_heard=lambda: self.connection.subscriptions.hears_bridges,
            moves=lambda channel: self.connection.keeping.moves(channel),
            iax_loaded=lambda: self.connection.subscriptions.iax_loaded(),
            iax_taken=iax_taken,
        )
        self.connection = Connection(
            self.ari,
            self.contacts,
            post=post,
            prepare=self._prepare,
            tidy=lambda: take_away(self.ari, FIRST),
            look=self.operator.objects.look,
            up=self._up,
            down=self.operator.objects.down,
            process=Process(control),
        )

    def __repr__(self) -> str:
        return f"AsteriskRoom({self.connection!r}, {self.operator!r})"

    async def run(self) -> None:
        """Live, until cancelled."""
        async with self.ari:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.operator.run(), name="asterisk operator")
                    group.create_task(self.contacts.run(), name="asterisk contacts")
                    group.create_task(self.connection.run(), name="asterisk connection")
            finally:
                if self._left is not None:
                    await self.operator.alone.refuse(self._left)

    async def leave_to_others(self) -> None:
        """This node is drained and stops: who calls meanwhile hears at once that he may ask another one."""
        await self.operator.alone.nobody_waits()

    def left(self, callers: Collection[ChannelId]) -> None:
        """Nothing is taken any more; these calls wait for our return, nobody else does."""
        self._left = callers

    def perform(self, effect: ForAsterisk) -> None:
        """Do this, soon."""
        if isinstance(effect, HandOver | Lead | Enter):
            self.connection.goes_on(effect.channel)
        elif isinstance(effect, MakeLeg):
            self.connection.makes(effect.leg)
        elif isinstance(effect, CallListener):
            self.connection.listens(effect.channel)
        elif isinstance(effect, OverhearAfar):
            self.connection.listens(effect.ear)
        self.operator.perform(effect)

    def settled(self) -> None:
        """All that should exist has been told: marked objects that nobody wants may go."""
        self.operator.objects.settled()

    async def _prepare(self) -> None:
        """Asterisk can hold what we push; and what it holds already is known.

        Raises: Unreachable, Declined.
        """
        try:
            await prepare(self.ari, self.tables)
            marks = await asyncio.to_thread(self.tables.marks)
        except (sqlite3.Error, OSError) as error:
            raise Declined(f"asterisk.objects = {self.tables.path}: {error}", status=500) from error
        marks.pop(FIRST, None)
        await self.operator.objects.find(marks)

    def _up(self, version: Version) -> None:
        self.operator.calls.several = version >= SEVERAL_VARIABLES
        self.operator.up()
        self._told_up()
