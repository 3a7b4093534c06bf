"""What phones speak that do not speak the same: Asterisk translates between them, and only then; media checked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.conftest import Federation
from tests.lab.furnishing import both_hear, in_mode, nothing_left, put, set_up


@pytest.fixture
def phones(federation: Federation) -> Iterator[Federation]:
    """1001 at a and 1003 at c; afterwards they speak mu-law again, as all others do."""
    for number, node in ("1001", "a"), ("1003", "c"):
        federation.phone(number, node)
    yield federation
    for number in "1001", "1003":
        federation.lab.speaks(number, "PCMU")
    nothing_left(federation)


@pytest.mark.parametrize(("trunk", "times"), [("sip", 6), ("iax2", 1)])
@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_two_phones_without_a_common_codec_hear_each_other(
    phones: Federation, control: str, trunk: str, times: int
) -> None:
    """Each is sent what it speaks, whoever calls. By SIP it depends on what numbers packets happen to have."""
    with set_up(phones, control, trunk):
        for caller, called in [("PCMA", "PCMU"), ("PCMU", "PCMA")] * times:
            phones.lab.speaks("1001", caller)
            phones.lab.speaks("1003", called)
            assert heard(phones, control) == ([caller], [called])


def test_they_hear_each_other_when_the_call_came_by_a_phone_that_was_busy(
    phones: Federation,
) -> None:
    """It was rung in a bridge in which the numbers of packets jump; who is rung next waits in another one. No bridge stays."""
    lab = phones.lab
    phones.phone("1002", "a")
    put(phones, "extension", "1002", forward_busy="1003")
    lab.manners("1002", refuse="486 Busy Here", answer_after_ms=None)
    log = lab.node("a").folder / "log" / "pbxfed.log"
    with set_up(phones, "bridge", "sip"):
        since = log.stat().st_size
        for caller, called in [("PCMA", "PCMU"), ("PCMU", "PCMA")] * 6:
            lab.speaks("1001", caller)
            lab.speaks("1003", called)
            assert heard(phones, "bridge", dialed="1002") == ([caller], [called])
            nothing_left(phones)
    lab.manners("1002")
    with log.open() as told:
        told.seek(since)
        assert "leg not handled" not in told.read()


@pytest.mark.parametrize("trunk", ["sip", "iax2"])
@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_what_the_caller_speaks_goes_all_the_way(
    phones: Federation, control: str, trunk: str
) -> None:
    """By every trunk, to a phone that knows it, whatever that would rather speak; in bridge mode nobody translates."""
    with set_up(phones, control, trunk):
        for codec, knows in ("PCMU", ["PCMU"]), ("PCMA", ["PCMA"]), ("PCMA", ["PCMU", "PCMA"]):
            phones.lab.speaks("1001", codec)
            phones.lab.speaks("1003", *knows)
            own = {"PCMU": "ulaw", "PCMA": "alaw"}[codec]
            found = heard(phones, control, only=own)
            assert found == ([codec], [codec])


def heard(
    federation: Federation, control: str, *, only: str = "", dialed: str = "1003"
) -> tuple[list[str], list[str]]:
    """1001 and 1003 talk: in which codecs what each hears comes. `only`: what all channels speak."""
    lab = federation.lab
    dialled = in_mode(control, federation, "1001", dialed)
    assert both_hear(federation, dialled)  # until packets come a channel may be set for another
    for shown in _channels(federation) if only else []:
        assert f"NativeFormats: ({only})" in shown, shown
        assert control != "bridge" or "Transcode: Yes" not in shown, shown
    result = lab.finish(dialled)
    assert result.ok, result
    (first,), (second,) = (lab.calls_of(number, dialled.started) for number in ("1001", "1003"))
    return list(first["codecs"]), list(second["codecs"])


def _channels(federation: Federation) -> list[str]:
    """What the Asterisks tell of the two legs that each has."""
    found = []
    for node in "ac":
        rows = federation.lab.asterisk(node, "core show channels concise").splitlines()
        names = [row.split("!")[0] for row in rows if "!" in row]
        assert len(names) == 2
        found += [federation.lab.asterisk(node, f"core show channel {name}") for name in names]
    return found
