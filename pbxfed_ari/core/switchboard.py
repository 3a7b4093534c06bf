"""The switchboard: all calls that came in here, by channel.

It finds the call that an event concerns, and forgets it at its end.
"""

from collections.abc import Iterator

from pbxfed_ari.core.call import Call
from pbxfed_ari.core.effects import Effect, HangUp
from pbxfed_ari.core.events import Arrived, CallEvent, ChannelsListed, Ended, Returned
from pbxfed_ari.core.lines import Usage
from pbxfed_ari.core.names import CallId, ChannelId
from pbxfed_ari.core.tries import NORMAL, View


class Switchboard:
    """Every call's machine, and the way to it."""

    def __init__(self, *, ring_seconds: int = 30) -> None:
        self.ring_seconds = ring_seconds
        self.usage = Usage()
        self._calls: dict[ChannelId, Call] = {}

    def __repr__(self) -> str:
        return f"Switchboard({len(self._calls)} calls)"

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._calls.values()))

    def __len__(self) -> int:
        return len(self._calls)

    def handle(self, event: CallEvent, now: float, view: View) -> list[Effect]:
        """What the event means to the call that it concerns."""
        if isinstance(event, ChannelsListed):
            return self._reconcile(event, now, view)
        if isinstance(event, Arrived):
            known = CallId(event.note.split("/")[0] or event.fresh_id)
            self._calls[event.channel] = Call(known, event, now, self.ring_seconds)
        call = self._calls.get(event.channel)
        if call is None:
            return self._stranger(event)
        tries = len(call.tried)
        effects = call.handle(event, now, view, self.lines(now, view))
        if len(call.tried) > tries:
            self.usage.began(call, now)
        if isinstance(event, Ended):
            del self._calls[event.channel]
        return effects

    def lines(self, now: float, view: View) -> Usage:
        """What goes on here, for limits."""
        return self.usage.at(self._calls.values(), view, now)

    def _stranger(self, event: CallEvent) -> list[Effect]:
        """A call of before a restart: if it comes back from Dial its try has failed, and its tries are forgotten."""
        return [HangUp(event.channel, event.cause or NORMAL)] if isinstance(event, Returned) else []

    def _reconcile(self, listed: ChannelsListed, now: float, view: View) -> list[Effect]:
        """Calls that ended while we could not see."""
        effects: list[Effect] = []
        for channel in [channel for channel in self._calls if channel not in listed.channels]:
            effects += self._calls.pop(channel).handle(
                Ended(channel), now, view, self.lines(now, view)
            )
        return effects
