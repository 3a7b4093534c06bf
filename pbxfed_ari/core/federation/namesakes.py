"""Namesakes: a name belongs to one node, and only that node says which boots it has had.

Of two that claim a name, who came later stops, if the other lives (`challenges.py`). A newcomer asks before it takes a name
(`joining.py`), so most that collide never get in. Two that could not hear one another meet when the cut between them heals.
"""

from pbxfed_ari.core.effects import Effect, Note, SendTo, Stop
from pbxfed_ari.core.events import Address
from pbxfed_ari.core.federation.challenges import Challenges
from pbxfed_ari.core.federation.ourselves import Ourselves
from pbxfed_ari.core.membership.members import Members
from pbxfed_ari.core.membership.watch import Watch
from pbxfed_ari.core.messages import AnyMessage, Hello, Lineage, Neighbours, Piece, SiteReport
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.replication.ledger import Ledger
from pbxfed_ari.core.replication.sites import UP


class Namesakes:
    """What is said to, and of, nodes that have a name in common."""

    def __init__(
        self,
        ourselves: Ourselves,
        members: Members,
        ledger: Ledger,
        watch: Watch,
        challenges: Challenges,
    ) -> None:
        self._me = ourselves.identity.name
        self._ourselves, self._members, self._ledger = ourselves, members, ledger
        self._watch, self._challenges = watch, challenges

    def claimed(self, hello: Hello, source: Address) -> list[Effect]:
        """Another node with our name: who came later stops, if the other lives. Our own past, at our own address, is none."""
        identity, joined = self._ourselves.identity, self._ledger.open
        if hello.address == identity.address:
            return []
        ours, theirs = (identity.epoch, identity.address), (hello.epoch, hello.address)
        later = ours > theirs if joined is not hello.joining else not joined
        if later:
            stop = Stop(taken(self._me, hello.address))
            return [self._challenges.ask(self._me, hello.epoch, source, stop)]
        claimed = Note("name claimed by another node too", (("by", hello.address),), "warning")
        told = self._challenges.ask(self._me, hello.epoch, source, claimed)
        return [SendTo(source, self._ourselves.hello()), told]

    def ours(self, name: NodeName, source: Address) -> list[Effect]:
        """A node of another site has the name of one of ours, which lives: tell it so."""
        member = self._members.get(name)
        epoch = member.epoch if member else self._ourselves.identity.epoch
        fingerprint = self._ledger.directory.fingerprint()
        nodes = ((str(name), epoch, UP),)
        return [
            SendTo(source, self._ourselves.hello()),
            SendTo(source, SiteReport(self._ourselves.identity.site, fingerprint, nodes)),
        ]

    def holder(self, hello: Hello, source: Address) -> list[Effect]:
        """A newcomer that the holder of its name may not hear: tell it where that one is."""
        holder = self._members.get(NodeName(hello.name))
        if holder is None or not holder.up or holder.address[0] == hello.address:
            return []
        where = Neighbours(((str(holder.name), *holder.address),))
        return [SendTo(source, self._ourselves.hello()), SendTo(source, where)]

    def elsewhere(self, news: Piece | Lineage) -> bool:
        """Is it of a node that lives in our own LAN, under an epoch that it does not have? Somebody took its name."""
        member = self._members.get(NodeName(news.origin))
        if news.origin == self._me:
            return news.epoch > self._ourselves.identity.epoch
        return member is not None and not member.away and member.up and news.epoch > member.epoch

    def explained(self, message: AnyMessage, now: float) -> AnyMessage | None:
        """A message about knowing, without epochs that no clock explains; None if it is about nothing else."""
        match message:
            case Piece(origin, epoch) | Lineage(origin, epoch):
                # nobody knows more of a living node than itself
                own, held = self._ledger.own, self._ledger.directory.streams.held
                to = message.to if isinstance(message, Piece) else 0
                more = (origin, epoch) == own and to > held(own)
                plausible = self.plausible(NodeName(origin), epoch, now)
                return message if plausible and not more and not self.elsewhere(message) else None
            case _:
                return message

    def plausible(self, origin: NodeName, epoch: int, now: float) -> bool:
        """Does a clock explain this epoch?"""
        known = self._ledger.directory.streams.current_epoch(origin)
        return not self._watch.unexplained(origin, epoch, known, now)


def taken(name: NodeName, address: str) -> str:
    """Why a node must stop, and what its operator can do."""
    return f"the node name {name!r} is held by {address}: choose another for this node (node.name)"
