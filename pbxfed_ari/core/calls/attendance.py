"""Whose callers are in which conference room or queue of this node: the federation hears which are called here."""

from collections.abc import Callable

from pbxfed_ari.core.effects import Tell
from pbxfed_ari.core.events import RoomsLed
from pbxfed_ari.core.names import ChannelId


class Attendance:
    """The rooms that calls are in, or at whose door."""

    def __init__(self) -> None:
        self._rooms: dict[ChannelId, str] = {}
        self.moved = False  # has any come or gone since it was told?
        self._told = frozenset[str]()

    def __repr__(self) -> str:
        return f"Attendance({len(self._rooms)} callers)"

    def goes_to(self, channel: ChannelId, room: str) -> None:
        """Its caller is there now; "" if nowhere."""
        if self._rooms.get(channel, "") != room:
            self.moved = True
            self._rooms[channel] = room
            if not room:
                del self._rooms[channel]

    def callers(self, number: str) -> int:
        """How many there are."""
        return list(self._rooms.values()).count(number)

    def news(self, clock: Callable[[ChannelId], int]) -> list[Tell]:
        """Other rooms than were told; `clock` of a caller is what his call says of the time, in milliseconds since 1970."""
        if not self.moved:
            return []
        self.moved, rooms = False, frozenset(self._rooms.values())
        if rooms == self._told:
            return []
        self._told = rooms
        return [Tell(RoomsLed(rooms, max(map(clock, self._rooms), default=0)))]
