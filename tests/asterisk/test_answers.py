"""Whoever was led into a dialplan of others is answered when his channel is up there, and is looked at until then only."""

import asyncio

import pytest

from pbxfed_ari.asterisk import answers
from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.core.events import Answered
from pbxfed_ari.core.names import ChannelId

from .fake import FakeAri, Json

CALLER = ChannelId("17.1")
ASKED = f"GET channels/{CALLER}"


def standing(state: str, context: str = "ivr", app: str = "Echo") -> Json:
    plan = {"context": context, "exten": "s", "priority": 1, "app_name": app, "app_data": ""}
    return {"id": CALLER, "name": "PJSIP/1001-1", "state": state, "dialplan": plan}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Milliseconds for seconds."""
    monkeypatch.setattr(answers, "SOON", 0.001)


async def test_an_answer_is_told_when_the_channel_is_up() -> None:
    """Whatever it hears before that, and whether Asterisk answers each time."""
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right", deadline=0.05) as ari:
        fake.channels = [standing("Ring")]
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(answers.answer(ari, CALLER))
            await fake.until(ASKED, 3)
            fake.refuse[ASKED] = 0
            await fake.until(ASKED, 5)
            fake.channels = [standing("Up")]
            del fake.refuse[ASKED]
        assert asking.result() == Answered(CALLER)


@pytest.mark.parametrize(
    "channels",
    [[], [standing("Up", app="Stasis")], [standing("Up", "pbxfed-dial", "Dial")]],
)
async def test_who_is_there_no_more_is_looked_at_no_more(channels: list[Json]) -> None:
    """He has hung up; or that dialplan has sent him to us again, where Dial tells the answer."""
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        fake.channels = channels
        assert await answers.answer(ari, CALLER) is None
        assert fake.asked.count(ASKED) == 1
