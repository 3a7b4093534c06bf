"""What should exist at this Asterisk, phones and trunks, and the workers that make it agree.

What should exist is kept as `wanted`; eight at a time are brought into line: trunks and whoever is being dialed first, then
phones that are registered here, then the others. Each set of objects carries a mark that is a hash of its fields
(`pjsip/objects.py`), and at each connect the tables tell what is there already (`tables.py`): only differences are pushed. An
Asterisk that has restarted, or reloaded res_pjsip, finds what it is asked for in its tables, but raises no news of an endpoint
before it was pushed anew: one PUT of the endpoint wakes it. CANARY, an endpoint with a contact that nobody calls, is online as
long as nothing has put them all to sleep. An endpoint without our mark is the administrator's own and is left alone.

A new phone's endpoint is pushed twice. `res_pjsip/pjsip_options.c` hears of aors and of endpoints by two queues: while many are
pushed, an endpoint may overtake its aor, which it then never finds, and no registration of that phone is ever news. SETTLED
seconds later the aor is there: one more PUT of the endpoint finds it, and takes NEW from the mark. Who has registered meanwhile
is looked for (`contacts.py`).

A PUT of an aor that is there makes a lasting contact of each registration, and keeps each former address: Asterisk changes a
copy, made of what `pjsip show aor` lists (`res_pjsip/location.c`, contacts_to_var_list). Measured on 22.10.1: a phone that has
moved on, or is switched off, then stands here for ever. So the aor bears a mark of its own, and one that stands already is left
alone. If a phone's must be another, as when it may have more devices, the tables forget the contact (`tables.py`), and a minute
later so does Asterisk's cache. A peer's is taken away and made anew: nobody registers there, whereas a phone's registrations
would go with its aor.

Unreachable means: again, when Asterisk is back. Declined means: said once, and again only when something has changed.

**Left over.** An extension removed while Asterisk was down is still there when it returns. Once `settled()` says that
`wanted` is complete, marked endpoints that nobody wants are removed, now and after each reconnect.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress

from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.contacts import Contacts
from pbxfed_ari.asterisk.pjsip.extension import NOWHERE, extension_objects
from pbxfed_ari.asterisk.pjsip.objects import MARK, PjsipObject, mark_of
from pbxfed_ari.asterisk.pjsip.trunk import trunk_objects
from pbxfed_ari.asterisk.tables import take_away
from pbxfed_ari.asterisk.trouble import trouble
from pbxfed_ari.clock import wall_ms
from pbxfed_ari.core.effects import Note, PushExtension, PushTrunk
from pbxfed_ari.core.events import Address
from pbxfed_ari.core.names import TRUNK_PREFIX, Extension, NodeName
from pbxfed_ari.errors import AsteriskError, Declined, Unreachable

RANKS = 4  # who is waited for, who is registered here, the others, who is just being pushed
PUSHERS = 8  # object sets at once; leaves half of the HTTP pool to calls
AGAIN = 1.0  # seconds before an unanswered push is tried again
SETTLED = 2.0  # seconds after which a new phone's endpoint is pushed once more
NEW = "-new"  # until then its mark ends so
LATER = 60.0  # seconds before one that Asterisk could not store is tried again
AWAKE = (
    "PBXFED_AWAKE"  # a global variable, set when all are awake: it lasts as long as this Asterisk
)
CANARY = "pf--canary"  # no node's name begins with a hyphen
LOOK = 1.0  # seconds to answer how the canary is

SecretFor = Callable[[NodeName, bytes], str]


class Objects:
    """Phones and trunks as Asterisk should have them."""

    def __init__(
        self,
        ari: AriClient,
        contacts: Contacts,
        *,
        own: NodeName,
        realm: str,
        secret_for: SecretFor,
        note: Callable[[Note], None],
        wall_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self._ari, self._contacts = ari, contacts
        self._wall_ms, self._begun = wall_ms, wall_ms()
        self._own, self._realm, self._secret_for = own, realm, secret_for
        self._note = note
        self.reachable = asyncio.Event()
        self._wanted: dict[str, PushExtension | PushTrunk | None] = {}
        self._pushed: dict[str, str] = {}  # name → mark: what Asterisk has in its tables
        self._asleep: set[str] = set()  # of those, what this Asterisk has not been shown
        self._born: dict[str, int] = {}  # who is new, and since when, ms
        self._unsettled: set[str] = set()  # of those, whose time has not come
        self._awake = False  # AWAKE is set
        self._alone: set[str] = set()  # declined: left alone
        self._queue = _Queue()
        self._queued: set[str] = set()
        self._busy: set[str] = set()
        self._settled = False

    def __repr__(self) -> str:
        return f"Objects({len(self._wanted)}, {self.pending} to push)"

    @property
    def pending(self) -> int:
        """Objects that Asterisk does not have yet as they should be."""
        return len(self._queued | self._busy)

    def trunks(self) -> dict[NodeName, Address]:
        """Where the SIP of each peer is."""
        wanted = [one for one in self._wanted.values() if isinstance(one, PushTrunk)]
        return {one.peer: (one.address, one.sip_port) for one in wanted}

    def begin(self, group: asyncio.TaskGroup) -> None:
        """From now on."""
        for number in range(PUSHERS):
            group.create_task(self._pusher(), name=f"asterisk push {number}")

    async def find(self, marks: Mapping[str, str]) -> None:
        """Asterisk holds these; whether it is awake, it tells itself.

        Raises: Unreachable, Declined.
        """
        self._pushed = dict(marks)
        told_all = await self._ari.asterisk.getGlobalVar(AWAKE) == "1"
        if told_all and await self._canary_lives():
            self._awake, self._asleep = True, set()
        else:
            await self._wake()

    async def look(self) -> None:
        """Has a reload put everything to sleep? Then wake it, in the order that is right now.

        Raises: Unreachable, Declined.
        """
        if not await self._canary_lives():
            await self._wake()
            self.up()

    async def _canary_lives(self) -> bool:
        try:
            return (await self._ari.endpoints.get("PJSIP", CANARY, deadline=LOOK)).state == "online"
        except Declined as declined:
            if declined.status == 404:
                return False
            raise

    async def _wake(self) -> None:
        """The canary first: should it sleep before the others are awake, all begins again."""
        self._awake, self._asleep = False, set(self._pushed)
        await self._ari.asterisk.setGlobalVar(AWAKE, "")
        aor = (("contact", "sip:127.0.0.1:9"),)
        endpoint = (
            ("aors", CANARY),
            ("allow", "ulaw"),  # without a codec it cannot be read again
            ("context", NOWHERE),  # it has no secret: whoever says its name can call, but nobody
        )
        await self._ari.asterisk.updateObject("aor", CANARY, aor)
        await self._ari.asterisk.updateObject("endpoint", CANARY, endpoint)

    def up(self) -> None:
        """Asterisk is there, and `find` has told what it holds: make it agree again, in the order that is right now."""
        self._alone.clear()
        self.reachable.set()
        self._queued.clear()
        self._queue.clear()
        for name in self._wanted:
            self._enqueue(name)
        if self._settled:
            self._sweep()

    def down(self) -> None:
        """Asterisk is gone: hold everything that is not a call."""
        self.reachable.clear()

    def settled(self) -> None:
        """All that should exist has been told: what else carries our mark is left over."""
        self._settled = True
        if self.reachable.is_set():
            self._sweep()

    def want(self, name: str, effect: PushExtension | PushTrunk | None) -> None:
        """So it should be; None: it should not be there."""
        if effect is not None and self._wanted.get(name) == effect:
            return
        self._wanted[name] = effect
        self._alone.discard(name)
        self._enqueue(name)

    def _enqueue(self, name: str) -> None:
        if name not in self._queued:
            self._queued.add(name)
            self._queue.put(self._rank(name), name)

    def hurry(self, name: str) -> None:
        """It is being dialled: ahead of all others with it."""
        if name in self._queued:
            self._queue.put(0, name)

    def _rank(self, name: str) -> int:
        if name.startswith(TRUNK_PREFIX):
            return 0
        return 1 if self._contacts.registered(Extension(name)) else 2

    async def _pusher(self) -> None:
        while True:
            name = await self._queue.get()
            await self.reachable.wait()
            await asyncio.sleep(0)  # ten thousand that agree already must not hold up a call
            if name not in self._queued:
                continue  # it was in a hurry, and came before
            if name in self._busy:  # another worker is at it: afterwards
                self._queue.put(3, name)
                await asyncio.sleep(0.01)
                continue
            self._queued.discard(name)
            self._busy.add(name)
            try:
                await self._agree(name)
            except Unreachable:
                await asyncio.sleep(AGAIN)
                self._enqueue(name)
            except Declined as declined:
                await self._declined(name, declined)
            finally:
                self._busy.discard(name)
            if not self.pending and not self._awake:
                await self._all_awake()

    async def _declined(self, name: str, declined: Declined) -> None:
        """403 says that it is written by hand, or that the tables cannot be written; the endpoint tells which."""
        self._alone.add(name)
        by_hand = False
        if declined.status == 403:
            with suppress(AsteriskError):
                by_hand = await self._mark_at(name) == ""
            if not by_hand:
                asyncio.get_running_loop().call_later(LATER, self._once_more, name)
        what = "left alone: written by hand" if by_hand else "object not pushed"
        self._note(trouble(what, declined, object=name))

    def _once_more(self, name: str) -> None:
        self._alone.discard(name)
        self._enqueue(name)

    async def _agree(self, name: str) -> None:
        """Make Asterisk's objects of this name what is wanted."""
        if name in self._alone or name not in self._wanted:
            return
        wanted = self._wanted[name]
        if wanted is None:
            self._unsettled.discard(name)
            self._born.pop(name, None)
            await self._remove(name)
            if self._wanted.get(name) is None:
                self._wanted.pop(name, None)
            return
        objects = self._objects(wanted)
        mark = mark_of(objects)
        if name not in self._pushed and (found := await self._mark_at(name)) is not None:
            if found == "":
                raise Declined(f"endpoint {name} is hand-written", status=403)
            self._pushed[name] = found
        differs = self._pushed.get(name) not in (mark, mark + NEW)
        aor_stands = differs and await self._aor_stands(objects[1])
        held = self._pushed.get(name)
        if held is None and isinstance(wanted, PushExtension):
            self._born.setdefault(name, self._wall_ms())
            self._unsettled.add(name)
        if name in self._unsettled:
            mark += NEW
        if held not in (mark, mark + NEW):
            for one in objects[:1] if aor_stands else objects[:-1]:
                await self._ari.asterisk.updateObject(one.kind, one.id, one.fields)
            fields = (*objects[-1].fields[:-1], (MARK, mark))
            await self._ari.asterisk.updateObject("endpoint", name, fields)
            if (
                held is None and name in self._unsettled
            ):  # whole at last: an attempt may have failed before
                since = self._born[name]
                asyncio.get_running_loop().call_later(SETTLED, self._settle, name, since)
        elif held != mark or name in self._asleep:
            await self._ari.asterisk.updateObject("endpoint", name, ((MARK, mark),))
        if isinstance(wanted, PushExtension) and held != mark and not mark.endswith(NEW):
            self._contacts.pushed(Extension(name), self._born.pop(name, self._begun))
        self._pushed[name] = mark
        self._asleep.discard(name)

    def _settle(self, name: str, since: int) -> None:
        if self._born.get(name) == since:  # it was not removed meanwhile
            self._unsettled.discard(name)
            self._enqueue(name)

    async def _all_awake(self) -> None:
        """From now on a reconnect to this Asterisk need not wake anything."""
        try:
            await self._ari.asterisk.setGlobalVar(AWAKE, "1")
            self._awake = True
        except AsteriskError:
            pass  # then the next reconnect wakes them again

    def _objects(self, wanted: PushExtension | PushTrunk) -> tuple[PjsipObject, ...]:
        if isinstance(wanted, PushExtension):
            return extension_objects(wanted, self._realm)
        secret = self._secret_for(wanted.peer, wanted.public_key)
        return trunk_objects(wanted, self._own, self._realm, secret)

    async def _aor_stands(self, aor: PjsipObject) -> bool:
        """Is this aor there already? That of a peer elsewhere is taken away, with the trunk."""
        found = await self._mark_at(aor.id, aor.kind)
        if found not in (None, mark_of((aor,))) and aor.id.startswith(TRUNK_PREFIX):
            await take_away(self._ari, aor.id)
            self._pushed.pop(aor.id, None)
        return found == mark_of((aor,))

    async def _mark_at(self, name: str, kind: str = "endpoint") -> str | None:
        """The mark of an object in Asterisk: "" if it bears none of ours, None if there is no such object."""
        try:
            return (await self._ari.asterisk.getObject(kind, name)).get(MARK, "")
        except Declined as declined:
            if declined.status == 404:
                return None
            raise

    async def _remove(self, name: str) -> None:
        """Of a number that was no phone there is nothing: to mark it as gone would make Asterisk complain of a new auth."""
        found = await self._mark_at(name)
        if found == "" or (found is None and name not in self._pushed):
            return
        await take_away(self._ari, name)
        self._pushed.pop(name, None)

    # --- left over

    def _sweep(self) -> None:
        """Marked endpoints that nobody wants go the way of those that somebody wants removed."""
        for name in self._pushed.keys() - self._wanted.keys():
            self._note(Note("left-over object removed", (("object", name),)))
            self.want(name, None)


class _Queue:
    """Names by rank, and of each rank in the order in which they came: tens of thousands, eight bytes each."""

    def __init__(self) -> None:
        self._ranks: tuple[deque[str], ...] = tuple(deque() for _ in range(RANKS))
        self._there = asyncio.Event()

    def put(self, rank: int, name: str) -> None:
        """One more."""
        self._ranks[rank].append(name)
        self._there.set()

    async def get(self) -> str:
        """The next one, as soon as there is one."""
        while True:
            for names in self._ranks:
                if names:
                    return names.popleft()
            self._there.clear()
            await self._there.wait()

    def clear(self) -> None:
        """Forget them all."""
        for names in self._ranks:
            names.clear()
