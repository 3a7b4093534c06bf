"""The gate: whose introduction is taken, who gets which key, who is put out.

    rotation    a new key, and a grant of it in the book for each that belongs (`keys.py` says when they use it)
    expulsion   a signed record, and a rotation in a hurry that leaves the node out
    return      who was away introduces itself under a key of yesterday. Members answer with a Grant for it alone. It waits a
                moment, takes the key that most of them offer, and introduces itself again
    two keys    both sides of a cut made one: each hears introductions under a key that it does not hold, and answers with its
                own under older keys, until each has the other's

Of two keys the younger stamp wins. If the younger was made by somebody who had not heard of an expulsion, it was granted to the
expelled node, too; whoever sees that first by rank makes another.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from pbxfed_ari.core.effects import AskRotation, Effect, ForgetSession, KeepKeys, Note, SendTo
from pbxfed_ari.core.events import Address, Admit, Introduced, Noticed, Rotate, by_wan, wan
from pbxfed_ari.core.membership.members import Members
from pbxfed_ari.core.messages import BookSet, Grant, Hello, Refusal
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.book import Book
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.records.keys import GroupKey, Keyring, Signer
from pbxfed_ari.core.records.roster import IS_EXPELLED, NOT_ADMITTED, OTHER_KEY, Roster
from pbxfed_ari.errors import Refused

OFFERS = 0.5  # seconds in which a returning node collects what members offer
GRANTERS = 6  # members that answer one introduction under an old key, about
PAUSE = 1.0  # seconds between two notices to one node
NOTE_PAUSE = 60.0  # and between two lines in the log about it
QUIET = 10.0  # seconds between two introductions of a node that is refused
KEEP = 1.0  # seconds in which several new members are kept at once
OLDER = 3  # older keys under which we introduce ourselves to who has a key that we do not know
MOST_NAMES = 1_000  # remembered for the pauses

OTHER_GROUP = (
    "nodes are heard whose group key this node does not hold: another federation on this LAN, or this one after a "
    "rotation that this node has missed; if it shall belong to them, `pbxfed invite` there and `pbxfed join` here"
)
REMEDY = {
    IS_EXPELLED: "this node was expelled",
    OTHER_KEY: "the federation knows this name with another key (node.state lost, or another machine's name)",
    NOT_ADMITTED: "this node is not admitted: a member has rotated the key and did not know of it; if that member has lost "
    "its store, it is the one to invite; if not",
}


@dataclass(slots=True)
class _Offer:
    """A key that members have offered us."""

    key: GroupKey
    closed: tuple[int, str] | None
    by: set[NodeName] = field(default_factory=set)


class Gate:
    """This node's roster and keyring, and what follows from them."""

    def __init__(
        self, me: NodeName, signer: Signer, keys: Keyring, book: Book, *, rng: Random
    ) -> None:
        self.me = me
        self.keys = keys
        self.roster = Roster(me, signer, book, keys)
        self.signer = signer
        self._rng = rng
        self._offers: dict[bytes, _Offer] = {}
        self._decide_at = self._keep_at = float("inf")
        self._noticed: dict[
            str, float
        ] = {}  # whom or what we have told something, until when not again
        self.refused = ""  # why members do not take our introduction, as the last of them said
        self._foreign = False  # introductions were heard under a key that we do not hold
        self.refusals = 0  # introductions that we did not take

    def __repr__(self) -> str:
        return f"Gate({self.roster}, {self.keys})"

    @property
    def expelled(self) -> bool:
        """Does our own book say that this node is out? Its name may be, and it back under it with another key."""
        found = self.roster.expulsion(self.me)
        unnamed = found is not None and not found.signing
        return unnamed or self.roster.is_out(self.signer.signing)

    def trouble(self) -> str:
        """Why this node is alone, for the operator; empty if it belongs."""
        why = IS_EXPELLED if self.expelled else self.refused
        if not why:
            return self._lost()
        expulsion = self.roster.expulsion(self.me)
        by = f" by {expulsion.by}" if expulsion else ""
        fresh = "" if why != IS_EXPELLED else "remove node.key from node.state and "
        first = "" if why != OTHER_KEY else f"`pbxfed expel {self.me}` and "
        return (
            f"{REMEDY.get(why, why)}{by}: it serves its own phones alone; to bring it back, {first}`pbxfed invite` "
            f"on a member, and here, with the daemon stopped, {fresh}`pbxfed join`"
        )

    def _lost(self) -> str:
        """What to do if our store was lost and nobody has told us what stood there; empty if it is not so."""
        lost = self.roster.lost()
        if not lost:
            return ""
        some = ", ".join(lost[:5]) + ", …" * (len(lost) > 5)
        return (
            f"this node has lost its store (state.db), or has one that is older than its keys, and has learned nothing from "
            f"{some} since: wait, or start one of them; if they run and do not answer, `pbxfed invite` there and `pbxfed join` "
            "here; if all of them are gone for good, remove `holders` from the file `keys` in node.state"
        )

    def warning(self) -> str:
        """What may be wrong if this node is alone; empty if there is no sign of it."""
        return OTHER_GROUP if self._foreign and not self.trouble() else ""

    # --- time

    def next_deadline(self) -> float:
        """When `tick` wants to be called."""
        return min(self.keys.next_deadline(), self._decide_at, self._keep_at)

    def tick(self, now: float) -> tuple[list[Effect], bool]:
        """Let time pass. Returns the effects, and whether we must introduce ourselves anew."""
        effects: list[Effect] = []
        again = False
        if now >= self._decide_at:
            effects = self._decide(now)
            again = bool(effects)
        if now >= self._keep_at:
            self._keep_at = float("inf")
            before, self.keys.holders = self.keys.holders, self.roster.holders()
            effects += [KeepKeys()] * (before != self.keys.holders)
        if self.keys.tick(now):
            effects.append(self.keys.use())
        return effects, again

    # --- introductions

    def meet(self, event: Introduced, members: int, now: float) -> tuple[bool, list[Effect]]:
        """Is an introduction taken? And what the node is told if not, or if it lacks a key."""
        hello, source = event.hello, event.source
        if by_wan(source):
            source = wan(hello.name)
        why = self.roster.refusal(
            NodeName(hello.name), hello.signing, newest=event.key == self.keys.newest.id
        )
        if why:
            self.refusals += 1
            return False, [ForgetSession(event.session), *self._refuse(hello, source, why, now)]
        used = self.keys.get(event.key)
        behind = used is not None and used.made < self.keys.sealing.made
        effects = self._grant(hello, source, members, now) if behind else []
        return self.keys.readable(event.key), effects

    def stranger(self, hello: Hello, source: Address, now: float) -> list[Effect]:
        """An introduction under a key that we do not hold: perhaps it knows one of ours of yesterday."""
        self._foreign = True
        if self._told(f"{source}", now):
            return []
        older = [key for key in self.keys if key is not self.keys.sealing]
        return [SendTo(source, hello, key.id) for key in older[:OLDER]]

    def _refuse(self, hello: Hello, source: Address, why: str, now: float) -> list[Effect]:
        if self._told(hello.name, now):
            return []
        refusal = SendTo(source, Refusal(hello.public, why))
        if self._told(f"note {hello.name}", now, NOTE_PAUSE):
            return [refusal]
        fields = (("node", hello.name), ("address", hello.address), ("why", why))
        remedy = {
            OTHER_KEY: f"its node.key is new: `pbxfed expel {hello.name}`, then `pbxfed invite`",
            NOT_ADMITTED: "`pbxfed invite` it",
            IS_EXPELLED: "`pbxfed invite` it if it shall come back",
        }
        note = Note("introduction refused", (*fields, ("remedy", remedy[why])), "warning")
        return [note, refusal]

    def _grant(self, hello: Hello, source: Address, members: int, now: float) -> list[Effect]:
        """Tell a member that was away the key that we use; some of us do, so that it can compare."""
        key = self.keys.newest
        if not self.roster.has_rotation(key) or self.roster.lost():
            return []  # whom it leaves out, others know and we do not yet
        if self._rng.random() * max(members, 1) > GRANTERS or self._told(hello.name, now):
            return []
        grant = Grant(
            hello.public, key.material, key.made, key.by, key.urgent, closed=self.keys.closed
        )
        return [SendTo(source, grant), Note("key granted", (("node", hello.name),))]

    def _told(self, whom: str, now: float, pause: float = PAUSE) -> bool:
        """Have we told them a moment ago? If not, we do now."""
        if self._noticed.get(whom, 0.0) > now:
            return True
        if len(self._noticed) >= MOST_NAMES:
            self._noticed.clear()
        self._noticed[whom] = now + pause
        return False

    # --- notices

    def noticed(self, event: Noticed, now: float) -> list[Effect]:
        """A member says something for us alone. A recording of it says nothing new."""
        match event.message:
            case Grant(_, material, made, by, urgent, closed):
                key = GroupKey(material, made, by, urgent)
                if self.keys.get(key.id) is None and len(self._offers) < MOST_NAMES:
                    offer = self._offers.setdefault(key.id, _Offer(key, closed))
                    offer.by.add(event.sender)
                    self._decide_at = min(self._decide_at, now + OFFERS)
                return []
            case Refusal(_, why):
                before, self.refused = self.refused, why
                return [Note("refused", (("by", event.sender), ("why", why)), "warning")] * (
                    before != why
                )

    def _decide(self, now: float) -> list[Effect]:
        """Take the key that most members offer. Two keys with as many: take none, and say so."""
        offers = sorted(self._offers.values(), key=lambda o: len(o.by), reverse=True)
        self._offers, self._decide_at = {}, float("inf")
        offers = [o for o in offers if self.keys.get(o.key.id) is None]
        if not offers:
            return []
        if len(offers) > 1 and len(offers[0].by) == len(offers[1].by):
            by = ", ".join(sorted({name for offer in offers for name in offer.by}))
            return [Note("members disagree on the key", (("members", by),), "warning")]
        best = offers[0]
        return self._hold(
            best.key, now, of=", ".join(sorted(best.by)), closed=best.closed, at_once=True
        )

    # --- keys

    def consider(self, now: float) -> list[Effect]:
        """Is there a key for us in the book that we do not hold?"""
        key = None if self.expelled else self.roster.unwrap(self.me)
        if key is None or self.keys.get(key.id) is not None:
            return []
        return self._hold(key, now, of=key.by)

    def remember(self, now: float) -> None:
        """The book says something new of who belongs: keep that outside of it, too."""
        self._keep_at = min(self._keep_at, now + KEEP)

    def spoiled(self, alive: Sequence[NodeName]) -> list[Effect]:
        """Was the newest key granted to a node that is out? Then the first of us makes another."""
        if min([self.me, *alive]) != self.me or not self._is_spoiled():
            return []
        return [AskRotation()]

    def rotate(
        self, material: bytes, stamp: int, now: float, expel: NodeName | None = None
    ) -> tuple[list[Effect], list[BookSet]]:
        """A new key, of these 32 bytes: the effects, and the records that hand it to the others."""
        urgent = expel is not None or self._is_spoiled()
        key = GroupKey(material, stamp, self.me, urgent)
        records = self.roster.confirm(self.me, stamp)
        if expel is not None:
            admission = self.roster.admission(expel)
            signing = admission.signing if admission else b""
            records.append(self.roster.expel(expel, signing, self.me, stamp))
        records += self.roster.grants(key, expel)
        return self._hold(key, now, of=self.me), records

    def may_rotate(self, event: Rotate, members: Members, directory: Directory) -> NodeName | None:
        """Whom a rotation shall leave out, if anybody.

        Raises: Refused.
        """
        if self.expelled:
            raise Refused(self.trouble(), status=409)
        if self._lost():
            raise Refused(f"a rotation now would shut the others out: {self._lost()}", status=409)
        if not event.expel:
            return None
        name = NodeName(event.expel)
        if name == self.me:
            raise Refused(f"node {name}: cannot expel itself; ask another node to", status=409)
        if name in self.roster.expelled():
            raise Refused(f"node {name}: is expelled already", status=409)
        known = self.roster.admission(name) or members.get(name) or directory.shelves.info(name)
        if not known:
            raise Refused(f"node {name}: not known in the federation", status=404)
        return name

    def may_admit(self, event: Admit, members: Members) -> bool:
        """Is an invited node new? False if it is admitted already, with the same key.

        Raises: Refused.
        """
        name = event.name
        if self.expelled:
            raise Refused(self.trouble(), status=409)
        admission = self.roster.admission(name)
        if admission is not None and admission.signing == event.signing:
            return admission.by == name
        if self.roster.is_out(event.signing):
            raise Refused(
                f"node {name}: its key was expelled; remove node.key from its state folder",
                status=409,
            )
        member = members.get(name)
        if name == self.me or admission is not None or (member is not None and member.up):
            raise Refused(
                f"node name {name!r}: another node has it; choose another name (node.name), "
                f"or, if that node is gone for good, `pbxfed expel {name}` first",
                status=409,
            )
        return True

    def expulsion(self, node: NodeName) -> list[Effect]:
        """What to tell the operator when a node has been put out."""
        found = self.roster.expulsion(node)
        by = found.by if found else "?"
        if node == self.me:
            return [Note("expelled", (("by", by), ("remedy", self.trouble())), "error")]
        return [Note("member expelled", (("node", node), ("by", by)), "warning")]

    def stamp(self) -> int:
        """What a new record must be above: all that is signed, and all keys."""
        return max(self.roster.stamp(), self.keys.newest.made)

    def needless(self) -> bool:
        """Is a rotation that nobody waits for no longer needed?"""
        return not self._is_spoiled()

    def _is_spoiled(self) -> bool:
        for name in self.roster.expelled():
            found = self.roster.granted(name)
            if found is not None and found[0] >= self.keys.newest.made:
                return True
        return False

    def _hold(
        self,
        key: GroupKey,
        now: float,
        *,
        of: str,
        closed: tuple[int, str] | None = None,
        at_once: bool = False,
    ) -> list[Effect]:
        if not self.keys.hold(key, now, closed=closed, at_once=at_once):
            return []
        self.refused, self._foreign = "", False
        fields = (("key", key.id.hex()), ("by", key.by), ("from", of), ("urgent", key.urgent))
        return [KeepKeys(), self.keys.use(), Note("group key held", fields)]
