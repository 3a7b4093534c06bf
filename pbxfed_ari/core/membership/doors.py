"""Doors: where a peer may be that multicast does not show us. Knocking is a Hello that asks for the other's.

Behind a door may be a seed (listed, or found in DNS), a node of our site that the directory knows of, or a member that is down.
Who hears nobody knocks at one door a second, in turn; later, when some are missing still, at one every ten. A seed that answers
is one peer; it tells us the others once we ask it for copies (core/membership/reach.py).
"""

from random import Random

from pbxfed_ari.core.effects import Effect, SendTo
from pbxfed_ari.core.events import Address
from pbxfed_ari.core.membership.member import State
from pbxfed_ari.core.membership.members import Members
from pbxfed_ari.core.messages import Hello
from pbxfed_ari.core.records.directory import Directory

ALONE, SETTLED = 1.0, 10.0  # seconds between two knocks, on average


class Doors:
    """Where to knock next, and when."""

    def __init__(
        self, own: Address, site: str, directory: Directory, members: Members, *, rng: Random
    ) -> None:
        """`own` is this node's address; nodes that only the directory knows are expected at the same port."""
        self.seeds: tuple[Address, ...] = ()
        self._own = own
        self._site = site
        self._directory = directory
        self._members = members
        self._rng = rng
        self._next = 0.0
        self._turn = 0

    def next_deadline(self) -> float:
        """When `tick` wants to be called."""
        return self._next

    def found(self, seeds: tuple[Address, ...], now: float) -> None:
        """The seeds are these from now on."""
        if set(seeds) - set(self.seeds):
            self._next = now
        self.seeds = seeds

    def closed(self) -> list[Address]:
        """The addresses of the site behind which nobody is known to live, seeds first."""
        mine, port = self._members, self._own[1]
        settled = {peer.address for peer in mine if peer.up or peer.state is State.LEFT}
        known = [
            (info.address, port)
            for name, info in self._directory.shelves.infos().items()
            if info.site == self._site
            and mine.get(name) is None
            and name not in self._directory.shelves.hidden
        ]
        down = [p.address for p in mine if p.state is State.DOWN and p.site == self._site]
        doors = dict.fromkeys([*self.seeds, *known, *down])
        return [door for door in doors if door not in settled and door != self._own]

    def tick(self, now: float, greeting: Hello) -> list[Effect]:
        """Knock at the next door, if it is time."""
        if now < self._next:
            return []
        alone = not any(peer.site == self._site for peer in self._members.alive())
        self._next = now + (ALONE if alone else SETTLED) * (0.75 + self._rng.random() / 2)
        doors = [] if self._members.roll.stands(now) else self.closed()
        if not doors:
            return []
        self._turn += 1
        return [SendTo(doors[self._turn % len(doors)], greeting)]
