"""A drained node's daemon stops: whom Asterisk gave to it in that moment is refused, and nobody else."""

import asyncio

import pytest

from pbxfed_ari.asterisk.alone import Alone
from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.core.names import ChannelId

from .fake import FakeAri, Json


def standing(id: str, data: str, app: str = "Stasis") -> Json:
    plan = {"context": "c", "exten": "7", "priority": 3, "app_name": app, "app_data": data}
    return {"id": id, "name": "PJSIP/1001-1", "state": "Ring", "dialplan": plan}


STANDING = [
    standing("1.1", "pbxfed,phone"),
    standing("1.2", "pbxfed,trunk,pf-b,"),
    standing("1.3", "pbxfed,did"),
    standing("1.4", "pbxfed,phone"),  # a call that waits for our return
    standing("1.5", "pbxfed,leg"),
    standing("1.6", "pbxfed,next,BUSY,17"),
    standing("1.7", "other,phone"),
    standing("1.8", "PJSIP/1002,30", app="Dial"),
]


def alone(ari: AriClient) -> Alone:
    return Alone(ari, reachable=asyncio.Event(), note=lambda note: None)


async def test_who_has_come_unheard_is_refused() -> None:
    """He alone; so if one of them has hung up meanwhile, or Asterisk knows no more of another."""
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        fake.channels = STANDING
        fake.refuse["DELETE channels/1.1"] = 404
        await alone(ari).refuse({ChannelId("1.4")})
        ended = {line for line in fake.asked if line.startswith("DELETE")}
        assert ended == {f"DELETE channels/{id}" for id in ("1.1", "1.2", "1.3")}


async def test_an_asterisk_that_hangs_keeps_no_daemon_from_stopping(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not for longer than the time that is set for all looks."""
    monkeypatch.setattr("pbxfed_ari.asterisk.alone.MOST", 0.05)
    async with FakeAri() as fake, AriClient(fake.url, "pbxfed", "right") as ari:
        fake.refuse["GET channels"] = 0
        async with asyncio.timeout(5):
            await alone(ari).refuse(())
        assert "GET channels" in fake.asked
