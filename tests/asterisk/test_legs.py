"""Bridge mode's requests, one at a time."""

from unittest.mock import AsyncMock

from pbxfed_ari.asterisk.legs import ANSWERED, Legs
from pbxfed_ari.core.effects import Indicate, Note
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
