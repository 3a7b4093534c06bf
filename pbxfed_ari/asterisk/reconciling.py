"""What was missed: Asterisk replays nothing, so at each connect everything is read anew.

Which channels exist and which of them wait for us, who talks and who is rung for, our bridges, who is registered. Events that
arrive meanwhile are held (callers.py), and told after what was read.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from msgspec.structs import replace

from pbxfed_ari.asterisk import found
from pbxfed_ari.asterisk.callers import Callers, fresh_id
from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.contacts import LOOK, Contacts
from pbxfed_ari.asterisk.events import waiting
from pbxfed_ari.asterisk.models import Bridge, Channel
from pbxfed_ari.asterisk.subscriptions import Subscriptions
from pbxfed_ari.clock import wall_ms
from pbxfed_ari.core.events import (
    Answered,
    Arrived,
    ChannelsListed,
    ContactsListed,
    LegDialed,
    Returned,
    RingFound,
)
from pbxfed_ari.core.names import ChannelId, key_of_name
from pbxfed_ari.errors import Declined


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands in Asterisk at a connect."""

    bridges: list[Bridge]
    channels: list[Channel]
    contacts: ContactsListed
    answers: dict[str, int]  # when the calls in our bridges were answered, as `found.answered`
    rings: list[RingFound]  # who is rung for since before we lived
    back: dict[ChannelId, RingFound]  # who has come back to wait for us since then
    replaced: frozenset[ChannelId]  # by transfers, as `found.replaced`

    def listed(self, heard: Collection[ChannelId] = ()) -> ChannelsListed:
        """The channels, with those whose ends are heard; and our bridges."""
        seen = frozenset(ChannelId(one.id) for one in self.channels).union(heard)
        ours = found.ours(self.bridges, self.channels, self.answers)
        return ChannelsListed(seen, ours, wall_ms(), self.replaced)

    def connected(self) -> list[ChannelId]:
        """Who is in bridges of ours."""
        ours = [bridge for bridge in self.bridges if key_of_name(bridge.id)]
        return [ChannelId(one) for bridge in ours for one in bridge.channels]


class Reconciler:
    """Reads one Asterisk, and tells what that means for calls."""

    def __init__(
        self, ari: AriClient, subscriptions: Subscriptions, contacts: Contacts, callers: Callers
    ) -> None:
        self._ari, self._subscriptions = ari, subscriptions
        self._contacts, self._callers = contacts, callers

    async def read(self) -> Standing:
        """Everything.

        Raises: Unreachable, Declined.
        """
        bridges = await self._ari.bridges.list()
        channels = await self._ari.channels.list()
        contacts = await self._contacts.listed()
        await self._sweep(channels)
        await self._subscriptions.narrow(bridges)
        answers = await found.answered(self._ari, bridges)
        strangers = [one for one in channels if one.id not in self._callers]
        replaced = await found.replaced(self._ari, bridges, strangers)
        rings, back = await self._in_setup(bridges, strangers)
        return Standing(bridges, channels, contacts, answers, rings, back, replaced)

    async def _sweep(self, channels: list[Channel]) -> None:
        """Channels that an earlier life had made only to ask something."""
        for channel in channels:
            if channel.id.startswith(LOOK) and not channel.id.endswith("-2"):
                try:
                    await self._ari.channels.hangup(channel.id, reason_code=16)
                except Declined:
                    continue

    async def _in_setup(
        self, bridges: list[Bridge], strangers: list[Channel]
    ) -> tuple[list[RingFound], dict[ChannelId, RingFound]]:
        """Who was handed over before we lived and is rung for, and who has come back: asked before they may go on."""
        dialing, back = found.in_setup(bridges, strangers)
        for caller in (*dialing, *filter(found.stands, strangers)):
            await self._subscriptions.hear_end(caller)
        asked = [found.how_it_rings(self._ari, c, wall_ms()) for c in (*dialing, *back)]
        told = [one for one in await asyncio.gather(*asked) if one is not None and one.note]
        waits = {c.id for c in back}
        return (
            [one for one in told if one.arrived.channel not in waits],
            {one.arrived.channel: one for one in told if one.arrived.channel in waits},
        )

    def tell(self, standing: Standing) -> None:
        """Who talks, who is rung for, who waits; then what was held."""
        talking = found.handed_over(standing.bridges, standing.channels)
        unknown = [one for one in talking if self._callers.is_of_before(one[0])]
        self._tell_answers([one for one in talking if not self._callers.is_of_before(one[0])])
        self._callers.talk(unknown)
        for ring in standing.rings:
            self._callers.ring(ring)
        self._tell_waiting(standing)

    def _tell_answers(self, talking: list[tuple[Channel, Channel | None]]) -> None:
        """Callers whom we know talk: they may have been answered, by legs that we know nothing of, while we were deaf."""
        for caller, leg in talking:
            if leg is not None:
                self._callers.tell(LegDialed(ChannelId(caller.id), ChannelId(leg.id), leg.name))
            self._callers.tell(Answered(ChannelId(caller.id), ChannelId(leg.id if leg else "")))

    def _tell_waiting(self, standing: Standing) -> None:
        """Who waits for us since before we were connected; then what was held, without those."""
        self._callers.keep(standing.channels)
        told: set[ChannelId] = set()
        for channel in standing.channels:
            if self._callers.has_gone_on(channel.id):
                continue  # a call that goes on is no new one
            back = standing.back.get(ChannelId(channel.id))
            if back is not None and self._callers.has_just_come(channel.id):
                self._callers.ring(back)  # until now: what came of it is told next
                continue
            news = waiting(channel, app=self._ari.app, wall_ms=wall_ms(), fresh_id=fresh_id())
            for one in news:
                if isinstance(one, Arrived | Returned):
                    told.add(one.channel)
                    self._callers.tell(_anew(back) if back else one)
                else:
                    self._callers.tell(one)
        self._callers.release(told)


def _anew(back: RingFound) -> Arrived:
    """He waits in a queue, or in bridge mode: of his tries nothing is known."""
    return replace(back.arrived, fresh_id=fresh_id(), again=True)
