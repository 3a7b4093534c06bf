"""Conversations with an Asterisk that has died end; all others go on."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.deadends import SILENT, DeadEnds, Fading
from pbxfed_ari.core.effects import Note
from pbxfed_ari.core.events import Address, FarEndDied
from pbxfed_ari.core.names import ChannelId, NodeName
from tests.asterisk.fake import FakeAri

ONE, TWO = ChannelId("1"), ChannelId("2")
AWAY = {NodeName("b"): ("192.0.2.2", 5060)}


def test_who_is_silent_for_long_enough_has_reached_a_dead_end() -> None:
    """Since the moment when the other end did not answer, not since he has said the last word."""
    fading = Fading()
    story: list[tuple[float, dict[ChannelId, int], list[ChannelId]]] = [
        (0.0, {}, []),
        (10.0, {ONE: 500, TWO: 300}, []),
        (12.0, {ONE: 500, TWO: 390}, []),
        (10.0 + SILENT, {ONE: 500, TWO: 500}, [ONE]),
    ]
    for now, received, ends in story:
        assert fading.hear(now, received) == ends


def test_an_end_that_answers_again_is_none() -> None:
    """The cable was out for a moment; who is silent may have nothing to say."""
    fading = Fading()
    fading.hear(0.0, {ONE: 500})
    assert fading.hear(4.0, {}) == []
    assert fading.hear(SILENT, {ONE: 500}) == []


def dead_ends(
    ari: AriClient,
    ask: Callable[[Address], Awaitable[bool]],
    told: list[FarEndDied],
    notes: list[Note],
    talks: Callable[[], set[NodeName]] = set[NodeName],
    since: Callable[[], dict[NodeName, tuple[int, float]]] = dict[NodeName, tuple[int, float]],
    away: dict[NodeName, Address] = AWAY,
) -> DeadEnds:
    return DeadEnds(
        ari,
        away=lambda: away,
        talks=talks,
        since=since,
        ask=ask,
        post=told.append,
        note=notes.append,
    )


async def test_only_those_who_talk_with_the_dead_are_hung_up() -> None:
    """By SIP, with a node out of reach, which does not answer."""

    async def ask(to: Address) -> bool:
        asked.append(to)
        return False

    asked: list[Address] = []
    notes: list[Note] = []
    told: list[FarEndDied] = []
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        fake.channels = [
            {"id": "1", "name": "PJSIP/pf-b-00000001", "state": "Up"},
            {"id": "2", "name": "PJSIP/pf-b-00000002", "state": "Ringing"},
            {"id": "3", "name": "PJSIP/pf-c-00000003", "state": "Up"},
            {"id": "4", "name": "PJSIP/1001-00000004", "state": "Up"},
            {"id": "5", "name": "IAX2/pf-b-5", "state": "Up"},
        ]
        ends = dead_ends(ari, ask, told, notes)
        await ends.look(AWAY)
        assert asked == [AWAY[NodeName("b")]]
        assert [line for line in fake.asked if "rtp" in line] == ["GET channels/1/rtp_statistics"]
        assert not notes
        ends._fading._heard[ONE] = (500, -SILENT)  # long ago
        await ends.look(AWAY)
        assert fake.asked[-1] == "DELETE channels/1"
        assert [dict(note.fields)["peer"] for note in notes] == ["b"]
        assert told == [FarEndDied(ONE)]


async def test_who_talks_with_an_asterisk_that_was_started_anew_since_is_at_a_dead_end() -> None:
    """It answers again, and knows nothing of him. Who has called since is not meant, and whoever is heard is not ended."""

    async def ask(to: Address) -> bool:
        raise AssertionError

    notes: list[Note] = []
    told: list[FarEndDied] = []
    made = {"1": "12:00:00", "2": "12:00:09", "3": "12:00:00"}
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        fake.channels = [
            {
                "id": number,
                "name": f"PJSIP/pf-{'c' if number == '3' else 'b'}-0000000{number}",
                "state": "Up",
                "creationtime": f"2026-01-26T{at}.000+0000",
            }
            for number, at in made.items()
        ]
        began = datetime(2026, 1, 26, 12, 0, 10, tzinfo=UTC).timestamp()
        said = {NodeName("b"): (int(began) - 900, began)}
        ends = dead_ends(ari, ask, told, notes, since=lambda: said, away={})
        await ends.turn()
        said = {NodeName("b"): (int(began) - 900, began + 3_600)}  # a clock was put right
        await ends.turn()
        assert fake.asked == []
        said = {NodeName("b"): (int(began), began)}
        await ends.turn()
        assert [line for line in fake.asked if "rtp" in line] == ["GET channels/1/rtp_statistics"]
        said = {NodeName("b"): (int(began), began + 3_600)}
        ends._fading._heard[ONE] = (500, -SILENT)
        await ends.turn()
        assert told == [FarEndDied(ONE)]
        fake.channels = fake.channels[1:]
        await ends.turn()
        read = len(fake.asked)
        await ends.turn()
        assert len(fake.asked) == read  # nobody is left: it is not asked again


async def test_a_conversation_that_begins_while_its_node_is_away_is_watched() -> None:
    """It rang when its daemon died, and was answered after that: while nobody talked, channels were not read again."""
    talking: set[NodeName] = set()

    async def ask(to: Address) -> bool:
        return True

    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        ends = dead_ends(ari, ask, [], [], lambda: talking)
        for begins, reads in ((), 1), ((), 1), (("b",), 2):
            talking |= set(map(NodeName, begins))
            await ends.turn()
            assert fake.asked.count("GET channels") == reads


async def test_who_was_there_while_it_was_silent_is_at_a_dead_end_however_late_he_had_called() -> (
    None
):
    """Clocks of whole seconds would not tell it: he had called a moment before."""

    async def ask(to: Address) -> bool:
        return False

    told: list[FarEndDied] = []
    began = datetime(2026, 1, 26, 12, 0, 10, tzinfo=UTC).timestamp()
    said = {NodeName("b"): (int(began) - 900, began - 900)}
    away = dict(AWAY)
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        fake.channels = [
            {
                "id": number,
                "name": f"PJSIP/pf-b-0000000{number}",
                "state": "Up",
                "creationtime": "2026-01-26T12:00:09.000+0000",
            }
            for number in "12"
        ]
        ends = dead_ends(ari, ask, told, [], lambda: {NodeName("b")}, lambda: said, away)
        late, fake.channels = fake.channels[1], fake.channels[:1]
        await ends.turn()
        away.clear()
        said = {NodeName("b"): (int(began), began)}
        fake.channels.append(late)
        await ends.turn()
        assert ends._fading._heard.keys() == {ONE}
        ends._fading._heard[ONE] = (500, -SILENT)
        await ends.turn()
        assert told == [FarEndDied(ONE)]
