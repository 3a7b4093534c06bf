"""Bridge mode's requests, one at a time."""

from unittest.mock import AsyncMock

from pbxfed_ari.asterisk.legs import ANSWERED, WAIT, Legs
from pbxfed_ari.core.effects import Hush, Indicate, Note, Soothe
from pbxfed_ari.core.events import Ended, LegEnded
from pbxfed_ari.core.names import ChannelId
from pbxfed_ari.errors import Declined


async def test_an_answer_that_cannot_be_written_down_is_an_answer() -> None:
    """It is for a daemon that returns; the call goes on without."""

    async def set_variable(channel: str, variable: str, value: str) -> None:
        if variable == ANSWERED:
            raise Declined("500", status=500)

    ari, posted, noted = AsyncMock(), list[LegEnded | Ended](), list[Note]()
    ari.channels.setChannelVar = set_variable
    await Legs(ari, post=posted.append, note=noted.append).perform(
        Indicate(ChannelId("17.1"), "answer")
    )
    ari.channels.answer.assert_awaited_once_with("17.1")
    ari.channels.hangup.assert_not_awaited()
    assert (posted, noted) == ([], [])


async def test_who_waits_hears_a_tone_or_music_and_is_bounded_by_asterisk_meanwhile() -> None:
    """Should the daemon die, he does not wait for ever; the bound comes first, for a channel that plays does nothing else."""
    call = ChannelId("17.1")
    for music in "", "jazz":
        ari = AsyncMock()
        legs = Legs(ari, post=list[object]().append, note=list[Note]().append)
        await legs.perform(Soothe(call, music, 120))
        await legs.perform(Hush(call, music))
        said = [(name, args) for name, args, _ in ari.mock_calls]
        tone = "17.1-waits"
        on = ("channels.startMoh", (call, music)) if music else ("channels.play", (call, WAIT))
        off = ("channels.stopMoh", (call,)) if music else ("playbacks.stop", (tone,))
        bound = "channels.setChannelVar", (call, "TIMEOUT(absolute)", "120")
        assert said == [
            bound,
            on,
            off,
            ("channels.setChannelVar", (call, "TIMEOUT(absolute)", "0")),
        ]


async def test_a_tone_that_was_not_heard_leaves_no_bound() -> None:
    """An Asterisk without the module that plays it: nothing to stop, and the conversation may last."""
    ari = AsyncMock()
    ari.playbacks.stop.side_effect = Declined("404", status=404)
    legs = Legs(ari, post=list[object]().append, note=list[Note]().append)
    await legs.perform(Hush(ChannelId("17.1"), ""))
    ari.channels.setChannelVar.assert_awaited_once_with("17.1", "TIMEOUT(absolute)", "0")
