"""When each call in setup, or just transferred, is looked at: all of them soon after one of them was, each when it is due.

A thousand that talk need not be looked at, and a thousand that ring wait for nothing.
"""

from heapq import heappop, heappush

from pbxfed_ari.core.calls.call import SETTING_UP, Call, Phase
from pbxfed_ari.core.calls.setup import NEVER
from pbxfed_ari.core.names import ChannelId

PAUSE = 0.1  # seconds between two looks at all calls in setup: has the view changed for them?
IN_SETUP = (*SETTING_UP, Phase.RESCUING)


class Agenda:
    """The calls in setup, by their callers' channels."""

    def __init__(self) -> None:
        self.calls: dict[ChannelId, Call] = {}
        self._due: dict[ChannelId, float] = {}  # of those that wait for something, when
        self._heap: list[tuple[float, ChannelId]] = []  # the same; what is not due is void
        self._looked, self._look = -NEVER, NEVER  # at all: when, and when again

    def __repr__(self) -> str:
        return f"Agenda({len(self.calls)} in setup, {len(self._due)} due)"

    def next_deadline(self) -> float:
        """When calls are due."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return min(self._heap[0][0] if self._heap else NEVER, self._look)

    def due(self, now: float) -> list[Call]:
        """All; if they were looked at just now, those whose time has come: many wait in queues, each for his."""
        if not now < self._looked + PAUSE:
            self._looked, self._look = now, NEVER
            return list(self.calls.values())
        self._look = self._looked + PAUSE if self.calls else NEVER
        found: list[Call] = []
        while self._heap and self._heap[0][0] <= now:
            due, channel = heappop(self._heap)
            if self._due.get(channel) == due:
                del self._due[channel]
                found.append(self.calls[channel])
        return found

    def note(self, call: Call) -> None:
        """It is here, or stands otherwise than before."""
        channel, due = call.arrival.channel, call.next_deadline()
        if call.phase not in IN_SETUP and (call.phase is not Phase.TALKING or due == NEVER):
            self.forget(channel)
            return
        self.calls[channel] = call
        if due == NEVER:
            self._due.pop(channel, None)
        elif self._due.get(channel) != due:
            self._due[channel] = due
            heappush(self._heap, (due, channel))

    def forget(self, channel: ChannelId) -> None:
        """This call is over."""
        self.calls.pop(channel, None)
        self._due.pop(channel, None)
