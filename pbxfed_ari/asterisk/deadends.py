"""Conversations with an Asterisk that is no more. By SIP nobody hears of its death: who is left listens to silence.

A node that the federation cannot reach may talk on, if only its daemon has died or the way between the sites. So three things
must come together before a conversation is ended: its node is out of reach, its SIP does not answer (`ask`), and from then on
no RTP packet has come for SILENT seconds; an answer, or a packet, and all begins again. IAX2 asks for itself (RFC 5456, PING).

An Asterisk may die and be back before anybody has missed it. Then it says another moment since which it runs
(`NodeInfo.asterisk_since`): a conversation that is older is one with the dead, if nothing has come for SILENT seconds either.
Older is, whatever the clocks say, what was there already while its SIP did not answer. Clocks are compared once, when that
word comes: whatever a clock does without it ends nothing.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.events import owner
from pbxfed_ari.asterisk.insisting import insist
from pbxfed_ari.asterisk.models import Channel
from pbxfed_ari.core.effects import Note
from pbxfed_ari.core.events import Address, FarEndDied
from pbxfed_ari.core.names import ChannelId, NodeName, node_of_trunk
from pbxfed_ari.errors import AsteriskError, Declined

EVERY = 1.0  # seconds between two looks, while there is something to look at
SILENT = 6.0  # seconds
GONE = 38  # Q.850: network out of order
UNSURE = 2.0  # seconds: clocks of nodes are compared by whole ones


class Fading:
    """Conversations whose other end did not answer, and for how long nothing has been heard of each. Pure."""

    def __init__(self) -> None:
        self._heard: dict[ChannelId, tuple[int, float]] = {}  # packets, and since when no more

    def __len__(self) -> int:
        return len(self._heard)

    def hear(self, now: float, received: Mapping[ChannelId, int]) -> list[ChannelId]:
        """Which are dead ends. `received`: packets so far of all whose other end has not answered just now."""
        before, self._heard = self._heard, {}
        for channel, packets in received.items():
            last = before.get(channel)
            same = last is not None and last[0] == packets
            self._heard[channel] = last if last and same else (packets, now)
        return [one for one, (_, since) in self._heard.items() if now - since >= SILENT]


class DeadEnds:
    """Ends them at one Asterisk."""

    def __init__(
        self,
        ari: AriClient,
        *,
        away: Callable[[], Mapping[NodeName, Address]],
        talks: Callable[[], set[NodeName]],
        since: Callable[[], Mapping[NodeName, tuple[int, float]]],
        ask: Callable[[Address], Awaitable[bool]],
        post: Callable[[FarEndDied], None],
        note: Callable[[Note], None],
    ) -> None:
        """`away`: the peers out of reach, and where their SIP would be; `ask`: does anything answer there?

        `talks`: with whom a call is known to talk; `since`: when each peer's Asterisk was started, seconds since 1970: by its
        own clock, which is its word, and by ours.
        `post` is told of each dead end before it is hung up: who is left may be rescued (core/calls/rescue.py).
        """
        self._ari, self._away, self._talks, self._since = ari, away, talks, since
        self._ask, self._post, self._note = ask, post, note
        self._fading = Fading()
        self._left: set[NodeName] = set()  # away, and nobody talks with them
        self._word: dict[NodeName, int] = {}  # since when each Asterisk runs, as it says itself
        self._new: dict[NodeName, float] = {}  # started anew, and when, by our clock
        self._mourned: set[ChannelId] = (
            set()
        )  # those that were there while the other end was silent

    def __repr__(self) -> str:
        return f"DeadEnds({len(self._fading)} fading)"

    async def run(self) -> None:
        """Look, until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            with suppress(AsteriskError):
                await self.turn()

    async def turn(self) -> None:
        """Look, if there is something to look at.

        Raises: Unreachable, Declined.
        """
        away = self._away()
        self._left &= away.keys()
        if self._left:
            self._left -= self._talks()
        self._hear_of_starts(time.time())
        if away.keys() - self._left or self._new or self._fading:
            await self.look(away)

    def _hear_of_starts(self, wall: float) -> None:
        for peer, (word, at) in self._since().items():
            if self._word.setdefault(peer, word) != word and at <= wall + UNSURE:
                self._new[peer] = at
            self._word[peer] = word

    async def look(self, away: Mapping[NodeName, Address]) -> None:
        """Once.

        Raises: Unreachable, Declined.
        """
        by_peer: dict[NodeName, list[ChannelId]] = {}
        there: set[NodeName] = set()
        mute: dict[ChannelId, NodeName] = {}
        for one in await self._ari.channels.list():
            peer = _peer(one)
            if peer is not None:
                there.add(peer)
                if one.state == "Up":
                    by_peer.setdefault(peer, []).append(ChannelId(one.id))
                    if peer in self._new and (
                        one.id in self._mourned or _older(one, self._new[peer])
                    ):
                        mute[ChannelId(one.id)] = peer
        self._left |= away.keys() - there
        self._new = {peer: at for peer, at in self._new.items() if peer in mute.values()}
        asked = sorted(away.keys() & by_peer.keys())
        answers = await asyncio.gather(*(self._ask(away[peer]) for peer in asked))
        silent = [peer for peer, answered in zip(asked, answers, strict=True) if not answered]
        mute |= {channel: peer for peer in silent for channel in by_peer[peer]}
        self._mourned &= {channel for channels in by_peer.values() for channel in channels}
        self._mourned |= {channel for peer in silent for channel in by_peer[peer]}
        received: dict[ChannelId, int] = {}
        for channel in mute:
            with suppress(Declined):  # it has ended, or has no RTP
                received[channel] = (await self._ari.channels.rtpstatistics(channel)).rxcount
        for channel in self._fading.hear(time.monotonic(), received):
            fields = (("peer", mute[channel]), ("channel", channel))
            self._note(Note("conversation with a dead node ended", fields))
            self._post(FarEndDied(channel))
            with suppress(AsteriskError):  # if it is there yet, it is found again
                await insist(lambda id=channel: self._ari.channels.hangup(id, reason_code=GONE))  # type: ignore[misc]


def _peer(channel: Channel) -> NodeName | None:
    """To whose Asterisk this channel leads, by SIP."""
    sip = channel.name.startswith("PJSIP/")
    return node_of_trunk(owner(channel.name)) if sip else None


def _older(channel: Channel, since: float) -> bool:
    """Was it made before that, for certain?"""
    made = channel.creationtime
    return made is not None and made.timestamp() < since - UNSURE
