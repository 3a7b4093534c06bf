"""Whoever was led into a dialplan of others is answered when his channel is up there, and is looked at until then only."""

import asyncio
from pathlib import Path

import pytest

from pbxfed_ari.asterisk import answers
from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.core.events import Answered
from pbxfed_ari.core.names import ChannelId

from .fake import FakeAri, Json

DIALPLAN = Path(__file__).parents[2] / "dialplan/extensions.conf"
CALLER = ChannelId("17.1")
ASKED = f"GET channels/{CALLER}"


def standing(state: str, context: str = "ivr", app: str = "Echo", data: str = "") -> Json:
    plan = {"context": context, "exten": "s", "priority": 1, "app_name": app, "app_data": data}
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
    ("channels", "looks"),
    [
        ([], 1),
        ([standing("Up", app="Stasis", data="pbxfed,phone")], 2),
        ([standing("Up", "pbxfed-dial", "Dial", "PJSIP/1002,30,i")], 2),
    ],
)
async def test_who_is_there_no_more_is_looked_at_no_more(channels: list[Json], looks: int) -> None:
    """He has hung up; or that dialplan has sent him to us again, where Dial tells the answer (the second look says so)."""
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        fake.channels = channels
        assert await answers.answer(ari, CALLER) is None
        assert fake.asked.count(ASKED) == looks


@pytest.mark.parametrize(
    "channel",
    [
        standing("Up", app="Stasis", data="their-ivr,welcome"),
        standing("Up", app="Stasis", data="pbxfed-ivr"),
        standing("Up", "pbxfed-mail", "VoiceMail", "1001"),
    ],
)
async def test_what_only_looks_like_ours_is_theirs(channel: Json) -> None:
    """An ARI application of the operator's, or a context that he has named after us."""
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        fake.channels = [channel]
        assert await answers.answer(ari, CALLER) == Answered(CALLER)


async def test_on_his_way_there_he_is_looked_at_again() -> None:
    """A busy Asterisk takes a while; that he was up before, in a queue of ours, tells nothing."""
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        fake.channels = [standing("Up", "pbxfed-lead", "GotoIf")]
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(answers.answer(ari, CALLER))
            await fake.until(ASKED, 1)
            fake.channels = [standing("Up")]
        assert asking.result() == Answered(CALLER)


def test_our_contexts_are_those_of_the_dialplan() -> None:
    """A new one must say so here."""
    lines = DIALPLAN.read_text().splitlines()
    assert {line[1:-1] for line in lines if line.startswith("[")} == answers.OURS
