"""Asking the machines: an event goes into the inbox, and its reply comes back by a ticket."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Protocol

from pbxfed_ari.core.effects import Reply
from pbxfed_ari.core.events import Event
from pbxfed_ari.errors import Refused

EDIT_SECONDS = 5.0  # an edit is answered by then, or something is badly wrong


class Node(Protocol):
    """What this needs of the node."""

    @property
    def store_trouble(self) -> str:
        """Why nothing is kept on the disk, for now or any more; else an empty text."""
        ...

    def post(self, event: Event) -> None:
        """Put an event into the inbox."""
        ...


class Inbox:
    """Who waits for what."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._tickets = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Reply]] = {}

    def reply(self, reply: Reply) -> None:
        """An answer has come."""
        future = self._waiting.pop(reply.ticket, None)
        if future is not None and not future.done():
            future.set_result(reply)

    async def ask(self, make: Callable[[int], Event], seconds: float = EDIT_SECONDS) -> Reply:
        """Put an event into the inbox, and wait for its reply.

        Raises: Refused, as the machines say; 507 if nothing can be kept, 503 if no reply came in time.
        """
        if self._node.store_trouble:
            raise Refused(f"no edit is taken: {self._node.store_trouble}", status=507)
        ticket = next(self._tickets)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[ticket] = future
        self._node.post(make(ticket))
        try:
            reply = await asyncio.wait_for(future, seconds)
        except TimeoutError:
            said = (
                "the node did not answer in time; look whether the edit stands before repeating it"
            )
            raise Refused(said, status=503) from None
        finally:
            self._waiting.pop(ticket, None)
        if reply.error:
            raise Refused(reply.error, status=reply.status)
        return reply
