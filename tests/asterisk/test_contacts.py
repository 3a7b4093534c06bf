"""The rule for a phone that moves b → c → b, and reading registrations."""

import asyncio
import secrets

import pytest

from pbxfed_ari.asterisk import insisting
from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.contacts import Contacts, Noted, contact_id, dialed, granted, stays
from pbxfed_ari.core.effects import DropContact, Note
from pbxfed_ari.core.events import ContactAdded, ContactRemoved
from pbxfed_ari.core.names import Extension
from pbxfed_ari.errors import Unreachable

from .fake import LOST, FakeAri

PHONE, URI = Extension("1001"), "sip:1001@10.0.0.9:5060"
AT = 1_000_500  # ms: it registered here; for 300 s
MARKED = {"authenticate_qualify": "yes", "expiration_time": "1300"}


def refreshed(second: int) -> dict[str, str]:
    """The contact, refreshed in this second, which took the mark away."""
    return {"authenticate_qualify": "no", "expiration_time": str(second + 300)}


@pytest.mark.parametrize(
    ("contact", "noted", "moved_ms", "it_stays"),
    [
        (MARKED, Noted(AT, 300), 1_000_600, False),  # moved on within the second
        (MARKED, Noted(AT, 300), 1_060_000, False),  # moved on later
        (refreshed(1000), Noted(AT, 300), 1_000_600, False),  # the same second: taken as before
        (refreshed(1050), Noted(AT, 300), 1_060_000, False),  # refreshed, then moved
        (refreshed(1060), Noted(AT, 300), 1_060_900, False),  # the same second
        (refreshed(1061), Noted(AT, 300), 1_060_900, True),  # came back
        (refreshed(1061), None, 1_060_900, False),  # never noted: its refresh will be an event
        (refreshed(1061), Noted(AT), 1_060_900, False),  # noted, interval not read yet
        (refreshed(1060), Noted(AT, 289), 1_060_900, False),  # told of late: not refreshed in 11 s
    ],
)
def test_a_registration_stays_only_if_the_phone_came_back(
    contact: dict[str, str], noted: Noted | None, moved_ms: int, it_stays: bool
) -> None:
    """Asterisk raises no event for a refresh and keeps whole seconds."""
    assert bool(stays(contact, noted, moved_ms, moved_ms + 300)) is it_stays


@pytest.mark.parametrize(
    ("expires", "at_ms", "interval"),
    [
        (1300, 1_000_500, 300),
        (1300, 1_000_001, 300),
        (1299, 1_000_001, 300),
        (1299, 1_000_400, 300),
        (1299, 1_000_500, 299),
    ],
)
def test_an_event_just_after_a_seconds_turn_belongs_to_the_one_before(
    expires: int, at_ms: int, interval: int
) -> None:
    """Asterisk reads the clock a moment before we hear of it."""
    assert granted(expires, at_ms) == interval


def test_a_contacts_name_is_the_registrars() -> None:
    """As Asterisk 22.10.1 named it."""
    name = contact_id(PHONE, "sip:1001@10.77.0.1:5071")
    assert name == "1001;@9f060ae6bc287a7a3bd6a0d491421b1f"


def test_what_would_be_dialed_is_read_apart() -> None:
    """A URI may contain anything but the seam."""
    answer = "PJSIP/1001/sip:1001@h;ob&PJSIP/1001/sip:x@[fd00::1]:5060?a=b&c=d"
    assert dialed(answer, PHONE) == ["sip:1001@h;ob", "sip:x@[fd00::1]:5060?a=b&c=d"]
    assert dialed("", PHONE) == []


@pytest.mark.parametrize("several", [True, False])
async def test_registrations_are_read_on_a_channel_that_nobody_dials(several: bool) -> None:
    """And the channel does not stay."""
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        fake.contacts = {"1001": ["sip:a", "sip:b"], "1002": ["sip:c"], "pf-b": ["sip:10.0.0.2"]}
        contacts = Contacts(ari, post=lambda event: None, note=lambda note: None)
        contacts.several = several
        listed = await contacts.listed()
        assert listed.contacts == {("1001", "sip:a"), ("1001", "sip:b"), ("1002", "sip:c")}
        assert contacts.registered(PHONE)
        made = [line for line in fake.asked if line == "POST channels/create"]
        gone = [line for line in fake.asked if line.startswith("DELETE channels/pbxfed-look-")]
        assert (len(made), len(gone)) == (1, 1)


async def test_who_is_expected_is_asked_for_though_its_endpoint_sleeps() -> None:
    """After a restart Asterisk calls no pushed endpoint online; its contacts are there all the same."""
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        fake.contacts = {"1001": ["sip:a"], "1002": ["sip:b"]}
        fake.online = {"1002"}
        here = [Extension("1001"), Extension("1003")]
        contacts = Contacts(ari, expected=lambda: here, post=_never, note=_never)
        assert (await contacts.listed()).contacts == {("1001", "sip:a"), ("1002", "sip:b")}


async def test_a_phone_that_asterisk_does_not_have_hides_no_other() -> None:
    """It was removed, or is not pushed yet: Asterisk refuses the whole question."""
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        fake.contacts = {"1001": ["sip:a"], "1002": ["sip:b"]}
        fake.unheard_of = {"1009"}
        contacts = Contacts(ari, expected=lambda: [Extension("1009")], post=_never, note=_never)
        assert (await contacts.listed()).contacts == {("1001", "sip:a"), ("1002", "sip:b")}


async def test_who_registers_while_its_endpoint_is_pushed_is_found_though_nobody_was_told() -> None:
    """Asterisk raises no event for it and calls the endpoint offline; it counts as of the push, and is told once."""
    posted: list[ContactAdded] = []
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        contacts = Contacts(ari, post=posted.append, note=_never, wall_ms=lambda: 7_000)
        fake.contacts = {"1001": ["sip:a"], "1002": ["sip:b"]}
        fake.online = {"1002"}
        for number in ("1001", "1002", "1003"):
            contacts.pushed(Extension(number), 6_000)
        contacts.saw(ContactAdded(Extension("1002"), "sip:b", 8_000))
        await contacts.look_again()
        assert posted == [ContactAdded(PHONE, "sip:a", 6_000, late=True)]
        assert contacts.registered(PHONE)
        await contacts.look_again()
        assert len(posted) == 1


async def test_whose_push_has_only_just_been_when_latecomers_are_looked_for_is_looked_for_again() -> (
    None
):
    """Many are pushed one after the other: the look that the first one's push brought comes too early for the last one."""
    posted: list[ContactAdded] = []
    now = [7_000]
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        contacts = Contacts(ari, post=posted.append, note=_never, wall_ms=lambda: now[0])
        contacts.pushed(PHONE, 6_000)
        now[0] = 7_100
        await contacts.look_again()
        fake.contacts = {"1001": ["sip:a"]}
        now[0] = 9_200
        await contacts.look_again()
        assert posted == [ContactAdded(PHONE, "sip:a", 6_000, late=True)]
        asked = len(fake.asked)
        await contacts.look_again()
        assert len(fake.asked) == asked


async def test_who_leaves_while_latecomers_are_looked_for_is_none() -> None:
    """He has moved to another node: said to have come here, he would be taken away from there."""
    posted: list[ContactAdded] = []
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        fake.contacts = {"1001": ["sip:a"]}
        contacts = Contacts(ari, post=posted.append, note=_never, wall_ms=lambda: 7_000)
        contacts.pushed(PHONE, 6_000)
        contacts.saw(ContactAdded(PHONE, "sip:a", 8_000))
        fake.answers.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(contacts.look_again())
            await fake.until("POST channels/create")
            contacts.saw(ContactRemoved(PHONE, "sip:a"))
            fake.answers.set()
        assert posted == []


async def test_what_changes_while_we_read_counts() -> None:
    """A phone that registers meanwhile must not be forgotten by an older reading."""
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        fake.contacts = {"1001": ["sip:a"]}
        contacts = Contacts(ari, post=_never, note=_never)
        fake.answers.clear()
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(contacts.listed())
            await fake.until("GET endpoints/PJSIP")
            contacts.saw(ContactAdded(Extension("1002"), "sip:new", 1))
            contacts.saw(ContactRemoved(Extension("1001"), "sip:a"))
            fake.answers.set()
        assert reading.result().contacts == {("1002", "sip:new")}


async def test_a_phone_that_came_back_is_said_to_be_here_again() -> None:
    """Its contact stays, is marked again, and the federation hears that it is newest here."""
    posted: list[ContactAdded] = []
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        contacts = Contacts(ari, post=posted.append, note=_never, wall_ms=lambda: 1_062_000)
        fake.objects["contact", contact_id(PHONE, URI)] = refreshed(1061)
        contacts._noted[PHONE, URI] = Noted(AT, 300)
        await contacts.drop(DropContact(PHONE, URI, 1_060_900))
        assert posted == [ContactAdded(PHONE, URI, 1_061_000)]
        assert ("contact", contact_id(PHONE, URI)) in fake.objects


async def test_a_phone_that_moved_on_is_registered_here_no_more() -> None:
    """So that its return will be an event."""
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        contacts = Contacts(ari, post=_never, note=_never)
        fake.objects["contact", contact_id(PHONE, URI)] = dict(MARKED)
        await contacts.drop(DropContact(PHONE, URI, 1_060_900))
        await contacts.drop(DropContact(PHONE, URI, 1_060_900))  # gone already: nothing to do
        assert fake.objects == {}


async def test_a_mark_that_comes_after_the_end_leaves_no_contact_without_a_phone() -> None:
    """Asterisk would make it anew, and the phone's return would be a refresh, of which nobody hears."""
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        contacts = Contacts(ari, post=_never, note=_never)
        fake.objects["contact", contact_id(PHONE, URI)] = refreshed(1000)
        contacts._noted[PHONE, URI] = Noted(AT, 300)
        await contacts.drop(DropContact(PHONE, URI, 1_060_900))
        await contacts._mark((PHONE, URI))
        assert fake.objects == {}


def _never(what: ContactAdded | Note) -> None:
    raise AssertionError(what)


@pytest.mark.parametrize(
    ("uris", "several"),
    [
        ([URI], False),
        ([URI, "sip:1001-2@[2001:db8::1]:5060;transport=tcp"], True),
        ([URI, "sip:1001,3,gG(x)@10.0.0.9"], False),
        ([URI, "sip:1001@10.0.0.9&Local/900@out"], False),
    ],
)
def test_contacts_that_could_end_an_argument_stay_out_of_dial(
    uris: list[str], several: bool
) -> None:
    """A phone chooses its Contact; it must not choose Dial's options, or whom else to call."""
    contacts = Contacts(AriClient("http://127.0.0.1:1", "u", "p"), post=print, note=print)
    for uri in uris:
        contacts.saw(ContactAdded(PHONE, uri, AT))
    assert bool(contacts.devices(PHONE)) is several


@pytest.mark.parametrize("silent", ["POST channels/create", "the end"])
async def test_what_looks_for_registrations_does_not_stay(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A channel is made for it: should Asterisk not say that it was made, or not end it, it is ended later."""
    monkeypatch.setattr(insisting, "LATER", (0.001, 0.001, 0.001))
    monkeypatch.setattr(secrets, "token_hex", lambda size: "f00")
    end = "DELETE channels/pbxfed-look-f00"
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right", deadline=0.2) as ari:
        contacts = Contacts(
            ari, expected=lambda: [PHONE], post=lambda event: None, note=lambda note: None
        )
        async with asyncio.TaskGroup() as group:
            running = group.create_task(contacts.run())
            await asyncio.sleep(0)
            if silent == "the end":
                fake.refuse[end] = 500
                await contacts.listed()
            else:
                fake.refuse |= {silent: LOST, end: 404}
                with pytest.raises(Unreachable):
                    await contacts.listed()
            await fake.until(end, 2)
            del fake.refuse[end]
            await fake.until(end, 3)
            running.cancel()
