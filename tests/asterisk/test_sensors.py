"""What Asterisk says of itself: queues by its control socket, trunks by ARI."""

import asyncio
from pathlib import Path

import pytest

from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.lines import Lines
from pbxfed_ari.asterisk.models import Endpoint
from pbxfed_ari.asterisk.queues import alerted
from pbxfed_ari.core.membership.health import Reading
from pbxfed_ari.core.names import ObjectId
from pbxfed_ari.core.records.objects.trunk import PstnTrunk
from pbxfed_ari.errors import Declined, Unreachable

NONE = "\nSubsystem                         Alert Count\n\n0 subsystems\n\n"
ONE = "\nSubsystem                         Alert Count\npjsip                                       1\n\n1 subsystems\n\n"
TWO = """
Subsystem                         Alert Count
pjsip                                       2
stasis/m                                    1

2 subsystems

"""


@pytest.mark.parametrize(
    ("printed", "found"),
    [
        (NONE, Reading(0.0)),
        (ONE, Reading(1.0, "pjsip 1")),
        (TWO, Reading(3.0, "pjsip 2, stasis/m 1")),
    ],
)
async def test_queues_above_high_water_are_counted(
    printed: str, found: Reading, tmp_path: Path
) -> None:
    """The first two as 22.10.1 printed them: at rest, and with a queue of PJSIP's flooded (tests/lab/test_health.py)."""
    asked: list[bytes] = []

    async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"host/1/22.10.1\n")
        asked.append(await reader.readuntil(b"\0"))
        writer.write(printed.encode() + b"\0")
        writer.close()

    server = await asyncio.start_unix_server(control, tmp_path / "ctl")
    async with server:
        assert await alerted(tmp_path / "ctl") == found
    assert asked == [b"cli quit after core show taskprocessor alerted subsystems\0"]


async def test_where_it_cannot_be_asked_the_reason_is_said(tmp_path: Path) -> None:
    """Not there, or not for us: no sickness."""
    found = await alerted(tmp_path / "ctl")
    assert (
        found == f"asterisk.control = {tmp_path}/ctl: No such file or directory; see docs/health.md"
    )


def trunk(key: str, technology: str = "pjsip") -> PstnTrunk:
    return PstnTrunk(
        key=key,
        id=ObjectId(b""),
        claimed=(0, ""),
        site="main",
        endpoint=f"ep-{key}",
        nodes=("a",),
        technology=technology,
    )


async def test_trunks_are_asked_about_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trunk that nobody asks the provider of is taken for good; one that is not there is not."""
    states = {"ep-city": "online", "ep-cheap": "unknown", "ep-old": "offline"}
    asked: list[str] = []

    async def get(tech: str, resource: str, *, deadline: float) -> Endpoint:
        asked.append(f"{tech}/{resource}")
        state = states.get(resource, "404")
        if state == "hangs":
            raise Unreachable("no answer")
        if state.isdecimal():
            raise Declined(state, status=int(state))
        return Endpoint(tech, resource, state)

    ari = AriClient("http://127.0.0.1:1", "u", "p")
    monkeypatch.setattr(ari.endpoints, "get", get)
    trunks = [trunk("city"), trunk("cheap"), trunk("old", "iax2")]
    lines = Lines(ari, lambda: trunks)
    readings = [await lines.read() for _ in range(3)]
    assert asked == ["PJSIP/ep-cheap", "IAX2/ep-old", "PJSIP/ep-city"]
    assert readings[2] == Reading(1 / 3, "old (offline), 1 of 3", "none")
    states.update({"ep-old": "hangs", "ep-city": "404"})
    readings = [await lines.read() for _ in range(3)]
    said = "city (not in Asterisk), old (offline), 2 of 3"
    assert readings[2] == Reading(2 / 3, said, "none")
    states.update({"ep-old": "online", "ep-city": "500"})
    readings = [await lines.read() for _ in range(3)]
    assert isinstance(readings[2], Reading)
    assert readings[2].value == 0.0
    trunks.clear()
    assert await lines.read() == "this node has no PSTN trunk"
