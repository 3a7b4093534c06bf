"""Recordings at an Asterisk: looked at when their calls are over, given out."""

import asyncio

import pytest
from msgspec.structs import replace

from pbxfed_ari.asterisk import recordings
from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.recordings import HEAD, SECOND, judged
from pbxfed_ari.core.effects import CallEnded
from pbxfed_ari.core.names import CallId
from pbxfed_ari.errors import Declined, Unreachable
from tests.asterisk.fake import FakeAri

NAME = "pbxfed/f00"
GET = "GET recordings/stored/pbxfed/f00/file"
CALL = CallEnded(CallId("f00"), "1002", "1001", 1, True, 16, 32.0, talked=30.0, recording=NAME)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is closed at once."""
    monkeypatch.setattr(recordings, "CLOSED", 0.0)


def sound(seconds: float) -> bytes:
    return bytes(HEAD + round(seconds * SECOND))


@pytest.mark.parametrize(
    ("stored", "seconds", "error"),
    [
        (sound(30), 30.0, ""),
        (sound(29.26), 29.3, ""),
        (sound(12), 12.0, "there are 12 of 30 seconds"),
        (sound(0), 0.0, "there are 0 of 30 seconds"),
        (b"", 0.0, "there are 0 of 30 seconds"),
    ],
)
async def test_what_there_is_stands_in_the_record(
    stored: bytes, seconds: float, error: str
) -> None:
    """Of a disk that was full too little is there, or nothing."""
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        fake.recordings[NAME] = stored
        found = await judged(ari, CALL)
    assert found == replace(CALL, recorded=seconds, recording_error=error)


async def test_who_has_hardly_talked_need_not_be_on_it() -> None:
    """He hung up at once."""
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        fake.recordings[NAME] = sound(0)
        short = replace(CALL, talked=0.4)
        assert await judged(ari, short) == short


async def test_what_was_not_kept_has_no_name_and_the_reason_is_told() -> None:
    """Of a call that nobody has answered, as far as we saw, nothing is amiss."""
    nothing = replace(CALL, recording="", recording_error="Asterisk has kept nothing")
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        assert await judged(ari, CALL) == nothing
        unseen = replace(CALL, answered=False, unseen=3.0)
        assert await judged(ari, unseen) == replace(unseen, recording="")
        fake.refuse[GET], fake.why = 403, "may not be read"
        assert (await judged(ari, CALL)).recording_error.endswith("403 may not be read")


async def test_of_an_asterisk_that_is_silent_nothing_is_said_but_that() -> None:
    """The recording may be whole."""
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right", deadline=0.05) as ari:
        fake.answers.clear()
        found = await judged(ari, CALL)
    assert found.recording == NAME
    assert found.recording_error.startswith("it is not known how much there is: ")


async def test_a_file_comes_in_pieces() -> None:
    """It may be larger than what one answer may be; what is not there, or not to be had, is an error of ours."""
    async with (
        FakeAri() as fake,
        AriClient(fake.url, "pbxfed", "right", deadline=5.0) as ari,
        AriClient(fake.url, "pbxfed", "right", deadline=0.05) as hasty,
    ):
        fake.recordings[NAME] = sound(60)
        async with ari.recordings.getStoredFile(NAME) as stored:
            assert stored.size == len(sound(60))
            assert b"".join([piece async for piece in stored.pieces]) == sound(60)
        with pytest.raises(Declined) as declined:
            async with ari.recordings.getStoredFile("pbxfed/f01"):
                pass
        assert declined.value.status == 404
        fake.answers.clear()
        with pytest.raises(Unreachable):
            async with hasty.recordings.getStoredFile(NAME):
                pass
    await asyncio.sleep(0)
