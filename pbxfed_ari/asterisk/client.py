"""A way in to one Asterisk: its REST interface by resources, and its events."""

from collections.abc import Callable
from urllib.parse import urlencode

from pbxfed_ari.asterisk.eventsocket import EventSocket
from pbxfed_ari.asterisk.resources import (
    Applications,
    Asterisk,
    Bridges,
    Channels,
    Endpoints,
    Playbacks,
    Recordings,
)
from pbxfed_ari.asterisk.rest import DEADLINE, Rest, part


class AriClient(Rest):
    """Use it as an async context manager."""

    def __init__(
        self, url: str, user: str, password: str, *, app: str = "pbxfed", deadline: float = DEADLINE
    ) -> None:
        super().__init__(url, user, password, app=app, deadline=deadline)
        self.asterisk = Asterisk(self)
        self.applications = Applications(self)
        self.bridges = Bridges(self)
        self.channels = Channels(self)
        self.endpoints = Endpoints(self)
        self.playbacks = Playbacks(self)
        self.recordings = Recordings(self)

    async def events(self, heard: Callable[[bytes], None]) -> EventSocket:
        """The event websocket of our application. Never `subscribeAll`: it deadlocks 22.10.1 (asterisk#2170).

        Raises: WSError, TimeoutError, OSError.
        """
        url = f"{self.url.replace('http', 'ws', 1)}/ari/events?{urlencode({'app': self.app})}"
        return await EventSocket.connect(url, self._headers, heard)

    async def user_event(self, name: str) -> None:
        """`events.userEvent`: our application is told this, by its websocket. Raises: Unreachable, Declined."""
        query = {"application": self.app}
        await self.request("events.userEvent", "POST", f"events/user/{part(name)}", query=query)
