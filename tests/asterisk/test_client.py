"""Two ways to fail, and the names that errors give to things."""

import pytest

from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.errors import Declined, Unreachable

from .fake import FakeAri


async def test_a_refusal_names_operation_object_and_asterisks_words() -> None:
    """The engineer paged at night greps for these."""
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        with pytest.raises(Declined, match=r"asterisk.getObject auth 1001: 404 not found") as found:
            await ari.asterisk.getObject("auth", "1001")
        assert found.value.status == 404


async def test_silence_is_unreachable_after_the_deadline() -> None:
    """No request waits for ever."""
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right", deadline=0.02) as ari:
        fake.answers.clear()
        with pytest.raises(Unreachable, match=r"asterisk.getInfo: no answer within 0.02 s"):
            await ari.asterisk.getInfo()


async def test_nobody_there_is_unreachable() -> None:
    """Whether it took effect is known, this once; the caller need not know."""
    async with AriClient("http://127.0.0.1:9", "pbxfed", "right") as ari:
        with pytest.raises(Unreachable, match="connection refused"):
            await ari.asterisk.getInfo()


async def test_an_answer_that_is_not_understood_is_declined() -> None:
    """A proxy in between, or an Asterisk of another planet."""
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        fake.started = "yesterday"
        with pytest.raises(Declined, match="answer not understood"):
            await ari.asterisk.getInfo()


@pytest.mark.parametrize("said", [b"", b"{", b"3", b'"\xff"', b"[" * 100_000])
async def test_whatever_is_said_is_understood_or_declined(said: bytes) -> None:
    """Whoever asks is ready for a refusal, and for nothing else."""
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        fake.garbage = said
        for asked in (
            ari.asterisk.getGlobalVar("X"),
            ari.asterisk.getObject("auth", "1001"),
            ari.applications.get(),
            ari.bridges.list(),
            ari.bridges.get("b"),
            ari.channels.list(),
            ari.channels.get("c"),
            ari.channels.getChannelVar("c", "X"),
            ari.channels.getChannelVars("c", ("X",)),
            ari.channels.rtpstatistics("c"),
            ari.endpoints.listByTech("PJSIP"),
            ari.endpoints.get("PJSIP", "1001", deadline=5.0),
        ):
            with pytest.raises(Declined, match="answer not understood"):
                await asked


async def test_ids_are_quoted() -> None:
    """A contact's id has signs in it; a channel's could have a slash."""
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        await ari.channels.hangup("a/b ?", reason_code=16)
        await ari.asterisk.updateObject("contact", "1001;@abc", (("uri", "sip:x"),))
        assert ("contact", "1001;@abc") in fake.objects
        assert fake.asked[0] == "DELETE channels/a/b ?"


async def test_values_are_quoted() -> None:
    """Names of people stand in them, and lists."""
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        for name in ("Ada & Eve = 100 %", "", "a+b,c", "\u00c4da"):
            await ari.asterisk.setGlobalVar("WHO(all,i)", f'"{name}" <1001>')
            assert fake.globals == {"WHO(all,i)": f'"{name}" <1001>'}


def test_the_password_is_in_no_repr() -> None:
    """Reprs end in logs."""
    assert "geheim" not in repr(AriClient("http://h:8088/ari/", "pbxfed", "geheim"))
    assert AriClient("http://h:8088/ari/", "u", "p").url == "http://h:8088"
