"""Who is registered at this Asterisk: reading it whole, following it, and ending a registration that has moved away.

**Reading.** ARI cannot list contacts, but `PJSIP_DIAL_CONTACTS(1001)` on any channel can. So one Local channel is made that
nobody ever dials, the function is asked on it for every online endpoint, many in one request, and the channel is destroyed.
The URIs are the ones that ContactStatusChange reports. What changes while we read is laid over what was read.

**Latecomers.** A phone that registers before Asterisk has seen its new endpoint as a whole (`objects.py`) gets its 200 and
raises no event: measured on 22.10.1 with sixty endpoints pushed at once, in four of eight runs for one of them. Its endpoint
stays offline to ARI, its contact is there all the same. So who is new is asked for once more, a little later.

**Ending.** `DELETE …/contact/<aor>;@<md5(uri)>` ends a registration: measured on 22.10.1, it raises "Removed", and the
phone's next REGISTER, a mere refresh to the phone, raises an event again. Without the DELETE it would raise none.

**The rule for a phone that moves b → c → b.** When c's registration (at `wall_ms`) reaches b, b must end its own, unless
the phone has meanwhile come back. Asterisk raises no event for a refresh and keeps its time only as `expiration_time`, in
whole seconds. Two things are therefore noted as soon as a registration's event is seen, at time `at`: the interval granted
(expiration_time minus `at`), and a mark on the contact itself, `authenticate_qualify=yes`, which Asterisk resets to the AOR's
value at each refresh and which means nothing while `qualify_frequency=0`. Then, told that the phone moved at `wall_ms`:

1. registered here, by its event, after `wall_ms`: it stays, ContactAdded again (the news crossed);
2. the mark still stands: not refreshed since `at`, hence not since `wall_ms`: it ends;
3. the mark is gone: refreshed in the second `expiration_time - interval`. After the second of `wall_ms`: the phone has
   come back; it stays, ContactAdded as of then, marked again. In that second or before it: it ends. Later than now: it was
   granted another interval, and ends.
4. never noted (the daemon is younger than the registration): it ends; the phone's next refresh is an event.

Only in the very second of `wall_ms` can 3 be wrong, for a phone that came back before the news of its move did (some 50 ms):
calls reach it by its contact at c until its next refresh here, which is an event again. A move that takes longer than the
news is an event at every step and needs none of this.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.dialing import plain
from pbxfed_ari.asterisk.events import phone_of
from pbxfed_ari.asterisk.insisting import Endings
from pbxfed_ari.clock import wall_ms
from pbxfed_ari.core.effects import DropContact, Note
from pbxfed_ari.core.events import ContactAdded, ContactRemoved, ContactsListed
from pbxfed_ari.core.names import Extension
from pbxfed_ari.errors import AsteriskError, Declined

LOOK = "pbxfed-look-"  # the ids of channels that exist only to be asked
BATCH = 25  # endpoints asked in one request: the answer's and the URL's length stay small
PAUSE = 0.005  # seconds between two batches, which are the calls'
NO_SUCH_PHONE = 500  # "Unable to read provided function", of an endpoint that is not there
NOTERS = 2  # registrations noted at once
SETTLED = 2.0  # seconds after which what was pushed is known to every part of Asterisk
MARK = "authenticate_qualify"

Key = tuple[Extension, str]


@dataclass(frozen=True, slots=True)
class Fresh:
    """A phone that is new: since when, and when its endpoint was whole; in ms since 1970."""

    since_ms: int
    whole_ms: int


@dataclass(frozen=True, slots=True)
class Noted:
    """A registration as its event told it: when, and for how many seconds (None: not read yet)."""

    at_ms: int
    interval: int | None = None


class Contacts:
    """The registrations of one Asterisk."""

    def __init__(
        self,
        ari: AriClient,
        *,
        expected: Callable[[], Iterable[Extension]] = lambda: (),
        post: Callable[[ContactAdded], None],
        note: Callable[[Note], None],
        wall_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self._ari = ari
        self._expected = expected
        self._post = post
        self._note = note
        self._wall_ms = wall_ms
        self.several = True  # variables in one request; 22.10 and later
        self._noted: dict[Key, Noted] = {}
        self._present: dict[Extension, set[str]] = {}
        self._to_note: asyncio.Queue[Key] = asyncio.Queue()
        self._fresh: dict[Extension, Fresh] = {}
        self._fresher = asyncio.Event()
        self._endings = Endings()
        self._changes: dict[Key, bool] | None = None  # while reading: what came, what went

    def __repr__(self) -> str:
        return f"Contacts({len(self._present)} phones)"

    def registered(self, phone: Extension) -> bool:
        """Has this phone a registration here?"""
        return phone in self._present

    def devices(self, phone: Extension) -> list[str]:
        """The Contacts of a phone that has several here, if all of them may stand in a dial string."""
        uris = sorted(self._present.get(phone, set()))
        return uris if len(uris) > 1 and all(map(plain, uris)) else []

    def saw(self, event: ContactAdded | ContactRemoved) -> None:
        """A registration has come or gone."""
        key = (event.extension, event.uri)
        here = isinstance(event, ContactAdded)
        if self._changes is not None:
            self._changes[key] = here
        if isinstance(event, ContactAdded):
            self._present.setdefault(event.extension, set()).add(event.uri)
            self._noted[key] = Noted(event.wall_ms)
            self._to_note.put_nowait(key)
        else:
            self._noted.pop(key, None)
            uris = self._present.get(event.extension, set())
            uris.discard(event.uri)
            if not uris:
                self._present.pop(event.extension, None)

    def pushed(self, phone: Extension, since_ms: int) -> None:
        """Its endpoint was new at `since_ms`, and whole as of now: what it did between was perhaps no event."""
        self._fresh[phone] = Fresh(since_ms, self._wall_ms())
        self._fresher.set()

    async def run(self) -> None:
        """Note what has registered, a few at a time; look for latecomers."""
        async with asyncio.TaskGroup() as group:
            self._endings.begin(group)
            group.create_task(self._latecomers(), name="asterisk latecomers")
            for number in range(NOTERS):
                group.create_task(self._noter(), name=f"asterisk contacts {number}")

    # --- reading

    async def listed(self) -> ContactsListed:
        """All registrations.

        Raises: Unreachable, Declined.
        """
        self._changes = {}
        began = self._wall_ms()
        try:
            found = await self._read()
            for key, here in self._changes.items():
                (found.add if here else found.discard)(key)
        finally:
            self._changes = None
        self._present = {}
        for phone, uri in found:
            self._present.setdefault(phone, set()).add(uri)
        self._noted = {key: noted for key, noted in self._noted.items() if key in found}
        return ContactsListed(frozenset(found), began)

    async def _read(self) -> set[Key]:
        endpoints = await self._ari.endpoints.listByTech("PJSIP")
        online = [phone_of(one.resource) for one in endpoints if one.state == "online"]
        return await self._of(
            {phone for phone in online if phone is not None}.union(self._expected())
        )

    async def _of(self, phones: Iterable[Extension]) -> set[Key]:
        """The registrations of these."""
        phones = sorted(phones)
        if not phones:
            return set()
        channel = f"{LOOK}{secrets.token_hex(4)}"
        try:
            await self._ari.channels.create(
                "Local/look@pbxfed-local/n", id=channel, other_id=f"{channel}-2"
            )
            return await self._ask(channel, phones)
        finally:
            await self._end(channel)

    async def _end(self, channel: str) -> None:
        """It may be made yet, if that was not answered."""

        def end() -> Awaitable[None]:
            return self._ari.channels.hangup(channel, reason_code=16)

        try:
            await end()
        except AsteriskError:
            self._endings.later(end, unborn=True)

    async def _ask(self, channel: str, phones: list[Extension]) -> set[Key]:
        found: set[Key] = set()
        for start in range(0, len(phones), BATCH):
            asked = {f"PJSIP_DIAL_CONTACTS({one})": one for one in phones[start : start + BATCH]}
            for question, answer in (await self._answers(channel, tuple(asked))).items():
                phone = asked.get(question)
                if phone is not None:
                    found.update((phone, uri) for uri in dialed(answer, phone))
            await asyncio.sleep(PAUSE)
        return found

    async def _answers(self, channel: str, questions: tuple[str, ...]) -> dict[str, str]:
        """A phone that Asterisk does not have makes it refuse all: then each is asked alone, and that one has none."""
        try:
            return await self._values(channel, questions)
        except Declined as declined:
            if declined.status != NO_SUCH_PHONE:
                raise
        found: dict[str, str] = {}
        for one in questions:
            try:
                found |= await self._values(channel, (one,))
            except Declined as declined:
                if declined.status != NO_SUCH_PHONE:
                    raise
        return found

    async def _values(self, channel: str, questions: tuple[str, ...]) -> dict[str, str]:
        if self.several:
            return await self._ari.channels.getChannelVars(channel, questions)
        return {one: await self._ari.channels.getChannelVar(channel, one) for one in questions}

    # --- latecomers

    async def _latecomers(self) -> None:
        while True:
            await self._fresher.wait()
            await asyncio.sleep(SETTLED)
            with suppress(AsteriskError):  # they stay fresh: asked for when it answers again
                await self.look_again()

    async def look_again(self) -> None:
        """Tell of the registrations of who was pushed since we looked, unless an event has.

        They count as of when the phone was new: what it did after that, anywhere, is newer. Who has left meanwhile is not
        missed: he may stand elsewhere now, and would be taken away from there. Whose push is not settled yet is asked for
        again. Raises: Unreachable, Declined.
        """
        fresh, settled = dict(self._fresh), self._wall_ms() - SETTLED * 1_000
        known = {(phone, uri) for phone in fresh for uri in self._present.get(phone, ())}
        found = await self._of(fresh)
        for phone, uri in sorted(found - known):
            if uri not in self._present.get(phone, set()):
                late = ContactAdded(phone, uri, fresh[phone].since_ms, late=True)
                self.saw(late)
                self._post(late)
        self._fresh = {
            phone: one
            for phone, one in self._fresh.items()
            if fresh.get(phone) != one or one.whole_ms > settled
        }
        if not self._fresh:
            self._fresher.clear()

    # --- noting

    async def _noter(self) -> None:
        while True:
            key = await self._to_note.get()
            try:
                await self._note_down(key)
            except Declined as declined:
                if declined.status != 404:  # 404: it has gone already
                    self._note(Note("contact not noted", (("error", str(declined)),), "warning"))
            except AsteriskError:
                pass  # without a note the rule's last line holds

    async def _note_down(self, key: Key) -> None:
        phone, uri = key
        noted = self._noted.get(key)
        if noted is None:
            return
        contact = await self._ari.asterisk.getObject("contact", contact_id(phone, uri))
        interval = granted(int(contact.get("expiration_time", "0")), noted.at_ms)
        if self._noted.get(key) is noted:
            self._noted[key] = replace(noted, interval=interval)
        if contact.get("qualify_frequency") == "0":
            await self._mark(key)

    async def _mark(self, key: Key) -> None:
        """Mark the contact. A PUT to one that has just gone would make it anew, without a phone: undo that."""
        name = contact_id(*key)
        await self._ari.asterisk.updateObject("contact", name, ((MARK, "yes"),))
        if key not in self._noted:
            await self._ari.asterisk.deleteObject("contact", name)

    # --- ending

    async def drop(self, effect: DropContact) -> None:
        """End this registration, unless the phone has come back since.

        Raises: Unreachable, Declined.
        """
        key = (effect.extension, effect.uri)
        name = contact_id(*key)
        try:
            contact = await self._ari.asterisk.getObject("contact", name)
            noted = self._noted.get(key)
            if noted is not None and noted.at_ms > effect.wall_ms:
                self._post(ContactAdded(*key, noted.at_ms))
            elif refreshed := stays(contact, noted, effect.wall_ms, self._wall_ms()):
                back = ContactAdded(*key, refreshed * 1_000)
                self.saw(back)
                self._post(back)
            else:
                self._noted.pop(key, None)  # a mark that comes too late is undone
                await self._ari.asterisk.deleteObject("contact", name)
        except Declined as declined:
            if declined.status != 404:
                raise


def stays(contact: dict[str, str], noted: Noted | None, wall_ms: int, now_ms: int) -> int:
    """In which second has the phone refreshed this registration since it registered elsewhere at `wall_ms`? 0: it has not.

    See the rule above. What would have been refreshed later than now was not: the interval is another one, by the phone's wish,
    or because Asterisk told of an old registration anew.
    """
    marked = contact.get(MARK) in ("yes", "true")
    if noted is None or noted.interval is None or marked:
        return 0
    refreshed = int(contact.get("expiration_time", "0")) - noted.interval
    return refreshed if wall_ms // 1_000 < refreshed <= now_ms // 1_000 else 0


def granted(expires: int, at_ms: int) -> int:
    """The interval granted to a registration, seconds.

    Asterisk computed `expires` from the whole second just before the event; an event of a second's first half may belong to the
    second before (a busy machine), which a round number betrays.
    """
    interval = expires - at_ms // 1_000
    early = at_ms % 1_000 < 500
    return interval + 1 if early and interval % 10 == 9 else interval


def contact_id(phone: Extension, uri: str) -> str:
    """The name under which the registrar keeps a contact (res_pjsip_registrar.c, `registrar_add_contact`)."""
    return f"{phone};@{hashlib.md5(uri.encode(), usedforsecurity=False).hexdigest()}"


def dialed(answer: str, phone: Extension) -> list[str]:
    """The URIs in what PJSIP_DIAL_CONTACTS says: `PJSIP/1001/sip:…&PJSIP/1001/sip:…`."""
    first = f"PJSIP/{phone}/"
    if not answer.startswith(first):
        return []
    return answer.removeprefix(first).split(f"&{first}")
