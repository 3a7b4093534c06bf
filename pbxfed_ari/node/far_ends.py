"""What dead ends are found by (asterisk/deadends.py): whom the federation cannot reach, whose Asterisk was started anew."""

from collections.abc import Callable

from pbxfed_ari.asterisk.deadends import DeadEnds
from pbxfed_ari.asterisk.room import AsteriskRoom
from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import Note
from pbxfed_ari.core.events import Address, Event
from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.core.names import NodeName, trunk_to
from pbxfed_ari.sensors import options


def dead_ends(
    federation: Federation,
    switchboard: Switchboard,
    room: AsteriskRoom,
    *,
    post: Callable[[Event], None],
    note: Callable[[Note], None],
) -> DeadEnds:
    """Those at the Asterisk of this node."""
    trunks = room.operator.objects.trunks

    def away() -> dict[NodeName, Address]:
        """Peers out of reach, and where their SIP would be."""
        reachable = federation.view.reachable
        return {peer: at for peer, at in trunks().items() if not reachable(peer)}

    def since() -> dict[NodeName, tuple[int, float]]:
        """When the Asterisk of each peer was started, by its clock and by ours, as far as it is known."""
        view, info = federation.view, federation.directory.shelves.info
        found = {peer: one for peer in trunks() if (one := info(peer))}
        return {
            peer: (one.asterisk_since, one.asterisk_since - ahead)
            for peer, one in found.items()
            if one.asterisk_since and (ahead := view.ahead(peer)) is not None
        }

    async def answers(to: Address) -> bool:
        """Does a peer's SIP? If it cannot even be asked our own network is down."""
        try:
            return await options.ask(to, trunk_to(federation.me)) < options.NEVER
        except OSError:
            return False

    return DeadEnds(
        room.ari,
        away=away,
        talks=switchboard.talks_with,
        since=since,
        ask=answers,
        post=post,
        note=note,
    )
