"""What is written down of calls that go on, so that one whose end nobody has seen has a record, too.

Every second (store/recorder.py) the edge asks what is `new`: a call that has come, or that stands otherwise than before, is
written down as it would be recorded now, with who of several that ring together has said no. Its record, when it ends, strikes
the note out. A daemon that was killed finds the notes that stand, of calls of before. One that is found again at Asterisk goes
on under its note, whatever it is called now. Of one whose channels are no more a record tells until when it was seen, and for
how long nobody looked then (`unseen`): what came of it meanwhile is not known. One whose channels stand still, though nobody
knows it, ends with the last of them.
"""

from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from pbxfed_ari.core.calls.call import Call
from pbxfed_ari.core.effects import CallEnded, Leg, Listened, Outside
from pbxfed_ari.core.names import ChannelId

UNTOLD = 0  # a cause that nobody heard


class Noted(Struct, frozen=True):
    """A call that goes on: its record, had it ended then. `so_far.note` is under what it is written down."""

    channels: tuple[ChannelId, ...]
    so_far: CallEnded
    refused: tuple[Leg | Outside, ...] = ()  # of its last try, while others ring on
    payer: str = ""  # whose calling class counts
    put_by: str = ""  # who has gone out of it, and has put it through if it goes on


class Notebook:
    """What is not written down yet, and what an earlier life has left."""

    def __init__(self, before: Sequence[Noted] = (), seen_ms: int = 0) -> None:
        """`before` stood at the last moment at which that life lived and saw: milliseconds since 1970."""
        self._before = {one.so_far.note: one for one in before}
        self._seen_ms = seen_ms
        self._new: dict[str, Call] = {}
        self._void: list[str] = []

    def __repr__(self) -> str:
        return f"Notebook({len(self._new)} new, {len(self._before)} of before)"

    def name(self, call: Call) -> None:
        """A call has come: under what is it written down? One that was found again as it was before."""
        call.note = call.key
        if self._before:
            mine = call.arrival.channel
            found = (key for key, one in self._before.items() if mine in one.channels)
            call.note = next(found, call.key)
            if (noted := self._before.pop(call.note, None)) is not None:
                call.before, call.refused = noted.so_far, noted.refused
                call.paid_by, call.put_by = noted.payer, noted.put_by
                call.listened = list(noted.so_far.listened)
        self.changed(call)

    def changed(self, call: Call) -> None:
        """It stands otherwise than it is written down."""
        self._new[call.note] = call

    def forget(self, call: Call) -> None:
        """It is over. One without a record is as if it had never been."""
        self._new.pop(call.note, None)
        if not call.finished:
            self._void.append(call.note)

    def new(self, now: float) -> tuple[list[Noted], list[str]]:
        """What is to be written down, and what to be struck out."""
        fresh = [
            Noted(call.channels, call.so_far(now), call.who_refused(), call.payer, call.put_by)
            for call in self._new.values()
        ]
        void, self._void = self._void, []
        self._new.clear()
        return fresh, void

    # --- of before

    def channels(self) -> set[ChannelId]:
        """Whose ends are to be told."""
        return {channel for one in self._before.values() for channel in one.channels}

    def listed(self, channels: Collection[ChannelId], wall_ms: int) -> list[CallEnded]:
        """These are all that there are: which calls have ended while nobody looked? The others wait for who is left."""
        for key, one in self._before.items():
            so_far, left = one.so_far, tuple(c for c in one.channels if c in channels)
            if so_far.listened and left:
                seconds = (wall_ms - so_far.began_ms) / 1_000
                so_far = replace(so_far, listened=still(so_far.listened, channels, seconds))
            self._before[key] = replace(one, channels=left, so_far=so_far)
        gone = [one for one in self._before.values() if not one.channels]
        seen, self._seen_ms = self._seen_ms, wall_ms
        return [self._over(one, seen, wall_ms, UNTOLD) for one in gone]

    def ended(self, channel: ChannelId, wall_ms: int, cause: int) -> list[CallEnded]:
        """A channel that no call of now knows has ended: was it the last one of a call of before?"""
        for key, one in self._before.items():
            if channel in one.channels:
                left = tuple(c for c in one.channels if c != channel)
                so_far = replace(one.so_far, by=one.so_far.by or one.put_by)
                self._before[key] = gone_on = replace(one, channels=left, so_far=so_far)
                return [] if left else [self._over(gone_on, wall_ms, wall_ms, cause)]
        return []

    def _over(self, one: Noted, seen_ms: int, until_ms: int, cause: int) -> CallEnded:
        so_far = one.so_far
        del self._before[so_far.note]
        seconds = max(so_far.seconds, (seen_ms - so_far.began_ms) / 1_000)
        talked = so_far.talked + seconds - so_far.seconds if so_far.answered else 0.0
        unseen = max(0, until_ms - max(seen_ms, so_far.began_ms)) / 1_000
        tries = tuple(one.lost_sight(seconds) for one in so_far.attempts)
        return replace(
            so_far,
            seconds=seconds,
            talked=talked,
            unseen=unseen,
            cause=cause,
            attempts=tries,
            listened=tuple(one.over(seconds) for one in so_far.listened),
        )


def still(
    listened: Iterable[Listened], channels: Collection[str], seconds: float
) -> tuple[Listened, ...]:
    """Whose channel is no more has ceased by now, so many seconds after the call came."""
    return tuple(one if one.channel in channels else one.over(seconds) for one in listened)
