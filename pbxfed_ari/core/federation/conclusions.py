"""Conclusions: what follows here from what has changed in the directory, whoever changed it.

What Asterisk shall hold (phones, trunks), which registrations of ours have moved away, who belongs, what an operator must hear.
"""

from collections.abc import Callable, Sequence

from pbxfed_ari.core.effects import DropContact, Effect, ForgetSession, Note, PersistAbsorbed
from pbxfed_ari.core.federation import claims, pushing
from pbxfed_ari.core.federation.failures import Failures
from pbxfed_ari.core.federation.gate import Gate
from pbxfed_ari.core.federation.outlook import Outlook
from pbxfed_ari.core.membership.members import Members
from pbxfed_ari.core.messages import Record, ShelfDrop
from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.records import registering, shelf
from pbxfed_ari.core.records.catalogue import NUMBER
from pbxfed_ari.core.records.changes import (
    Absorbed,
    Change,
    Conflicted,
    ContactChanged,
    FailuresChanged,
    InfoChanged,
    KeyGranted,
    MemberChanged,
    ObjectChanged,
)
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.replication.sites import Sites
from pbxfed_ari.core.stamp import wall_ms_of

ROUGH = 2.0  # seconds; peers tell their time in whole seconds, and a little late


class Conclusions:
    """Draws them, for one node."""

    def __init__(
        self,
        view: Outlook,
        directory: Directory,
        members: Members,
        sites: Sites,
        gate: Gate,
        failures: Failures,
        publish: Callable[[Sequence[Record]], list[Effect]],
    ) -> None:
        """`publish` puts records into our stream."""
        self._me, self._view, self._directory = view.me, view, directory
        self._members, self._sites, self._gate = members, sites, gate
        self._failures, self._publish = failures, publish
        self._contests = claims.Contests(directory)
        directory.shelves.hidden = self._outside()

    def start(self) -> list[Effect]:
        """What follows from all that the store kept."""
        return [
            *pushing.everything(self._me, self._directory),
            *self._contests.everything(),
        ]

    def conclude(self, changes: Sequence[Change]) -> list[Effect]:
        """What Asterisk must hear of, after something has changed."""
        effects: list[Effect] = []
        for change in changes:
            match change:
                case ContactChanged():
                    effects += self._moved(change)
                case InfoChanged(node):
                    effects += pushing.trunk(node, self._me, self._directory)
                    self._view.remake_ring()
                case Absorbed(node, epoch, through):
                    effects.append(PersistAbsorbed(node, epoch, through))
                case FailuresChanged(address=address):
                    effects += self._failures.alarms([address])
                case ObjectChanged(space, key):
                    if space == NUMBER:
                        effects += pushing.phone(Extension(key), self._directory)
                    effects += self._contests.look(space, key)
                case MemberChanged(node):
                    effects += self._membership(node)
                case KeyGranted():
                    self._gate.remember(self._view.now)
                    effects += self._gate.consider(self._view.now)
                    effects += self._gate.spoiled([m.name for m in self._members.alive()])
                case Conflicted():
                    effects.append(claims.conflict(change))
        return list(dict.fromkeys(effects))

    def _moved(self, change: ContactChanged) -> list[Effect]:
        """A registration of ours that no longer stands, because a newer one does elsewhere, is ended here.

        Asterisk knows when the phone was here last by our clock, which may be fast, or may have been set back since.
        """
        if change.stamp is None or not self._members.up(change.node):
            return []
        ahead = self._view.ahead(change.node) or 0.0
        wall_ms = wall_ms_of(change.stamp) - (round(ahead * 1_000) if ahead < -ROUGH else 0)
        effects: list[Effect] = []
        standing = self._view.where(change.extension)
        for number, uri in registering.fallen(
            change.extension, self._me, self._directory, standing
        ):
            effects += self._publish([ShelfDrop(shelf.contact_key(number, uri))])
            effects.append(DropContact(number, uri, wall_ms))
            moved = (("extension", number), ("uri", uri), ("to", change.node))
            effects.append(Note("registration moved away", moved))
        return effects

    def settle(self) -> list[Effect]:
        """Others have come or gone: which of our registrations still stand?"""
        effects: list[Effect] = []
        for number in self._directory.registrations.numbers(lambda node: node == self._me):
            for place in self._view.where(number)[:1]:
                if place.node != self._me:
                    effects += self._moved(
                        ContactChanged(place.node, number, place.uri, place.stamp)
                    )
        return effects

    def _membership(self, node: NodeName) -> list[Effect]:
        """The book says something new of who belongs."""
        self._gate.roster.read(node)
        self._gate.remember(self._view.now)
        effects = self._gate.consider(self._view.now)
        before, self._directory.shelves.hidden = self._directory.shelves.hidden, self._outside()
        for other in sorted(self._directory.shelves.hidden - before):
            member = self._members.get(other)
            effects += [ForgetSession(member.session)] if member else []
            self._members.forget(other)
            self._sites.forget(other)
        for other in sorted(self._directory.shelves.hidden ^ before):
            effects += pushing.trunk(other, self._me, self._directory)
        if node in self._directory.shelves.hidden - before:
            effects += self._gate.expulsion(node)
        return effects + self._gate.spoiled([m.name for m in self._members.alive()])

    def _outside(self) -> frozenset[NodeName]:
        """Whose shelf counts no more: who was expelled; everybody's, if it was we."""
        if self._gate.expelled:
            return frozenset([*self._gate.roster.expelled(), *self._directory.shelves.known()])
        return frozenset(self._gate.roster.expelled()) - {self._me}
