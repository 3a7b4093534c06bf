"""Introductions: what a Hello means, and who is asked for one.

A Hello says who a boot is, and under which epoch. Whether it belongs, the gate says; whether it lives, it must prove to the
members (a recording cannot); whose name it has, the namesakes. What its epoch continues, the ledger takes over.
"""

from pbxfed_ari.core.effects import Effect, SendTo
from pbxfed_ari.core.events import Address, Introduced, by_wan
from pbxfed_ari.core.federation.gate import Gate
from pbxfed_ari.core.federation.namesakes import Namesakes
from pbxfed_ari.core.federation.ourselves import Ourselves
from pbxfed_ari.core.membership.members import Members
from pbxfed_ari.core.membership.watch import Watch
from pbxfed_ari.core.messages import Lineage, Neighbours
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.replication.ledger import Ledger
from pbxfed_ari.core.replication.sites import Sites

WELCOMES = 20.0  # strangers answered a second, at most: garbage must not make us talk


class Introductions:
    """Takes Hellos, and asks for them."""

    def __init__(
        self,
        ourselves: Ourselves,
        members: Members,
        sites: Sites,
        ledger: Ledger,
        watch: Watch,
        gate: Gate,
        namesakes: Namesakes,
    ) -> None:
        self._me = ourselves.identity.name
        self._ourselves, self._members, self._sites = ourselves, members, sites
        self._ledger, self._watch, self._gate, self._namesakes = ledger, watch, gate, namesakes
        self._welcome_from = 0.0  # strangers are answered from this time on

    def heard(self, event: Introduced, now: float) -> list[Effect]:
        """A boot has said who it is."""
        hello, source = event.hello, event.source
        if hello.name == self._me:
            return self._namesakes.claimed(hello, source)
        if not self._ledger.open:
            return []
        taken, effects = self._gate.meet(event, len(self._members.alive()) + 1, now)
        return effects + self._met(event, now) if taken else effects

    def _met(self, event: Introduced, now: float) -> list[Effect]:
        hello, source = event.hello, event.source
        name = NodeName(hello.name)
        known = self._ledger.directory.streams.current_epoch(name)
        if not self._ledger.open or self._watch.unexplained(
            name, hello.epoch, known, now, hello.clock
        ):
            return []
        self._watch.introduced(hello)
        if by_wan(source) and not hello.joining:
            if self._namesakes.elsewhere(Lineage(hello.name, hello.epoch, ())):
                return self._namesakes.ours(name, source)
            met = self._sites.meet(hello, self._ourselves.hello(), now, event.session)
            return met + self._ledger.adopt(name, hello.epoch, hello.lineage, source)
        current = self._ledger.directory.streams.current_epoch(name)
        if hello.epoch < current or (hello.joining and hello.epoch == current):
            return [
                SendTo(source, self._ourselves.hello()),
                SendTo(source, Lineage(name, current, ())),
            ]
        if hello.joining:
            held = self._namesakes.elsewhere(Lineage(hello.name, hello.epoch, ()))
            if by_wan(source):
                return self._namesakes.ours(name, source) if held else []
            return [] if event.multicast else self._namesakes.holder(hello, source)
        effects: list[Effect] = [SendTo(source, self._ourselves.hello())] if hello.ask else []
        effects += self._members.meet(hello, now, event.session)
        return effects + self._ledger.adopt(name, hello.epoch, hello.lineage, source)

    def directed(self, neighbours: Neighbours) -> list[Effect]:
        """Peers that others know: say Hello. Until we have joined, only to who may have our name."""
        effects: list[Effect] = []
        for name, address, port in neighbours.nodes:
            if not self._ledger.open and name == self._me:
                effects.append(SendTo((address, port), self._ourselves.hello(joining=True)))
            elif self._ledger.open and not self._members.up(NodeName(name)):
                effects.append(SendTo((address, port), self._ourselves.hello(ask=True)))
        return effects

    def stranger(self, source: Address, now: float) -> list[Effect]:
        """A session that has not been introduced: tell it who we are and ask who it is."""
        if not self._ledger.open or now < self._welcome_from:
            return []
        self._welcome_from = max(self._welcome_from, now - 1.0) + 1.0 / WELCOMES
        return [SendTo(source, self._ourselves.hello(ask=True))]
