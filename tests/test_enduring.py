"""A room that fails is begun anew."""

import asyncio

import pytest

from pbxfed_ari.node import enduring


async def test_a_room_that_fails_is_begun_anew(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is wrong is logged; who is told to end ends."""
    monkeypatch.setattr(enduring, "AGAIN", 0.0)
    begun = 0
    third = asyncio.Event()

    async def run() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise ExceptionGroup("of a group", [ZeroDivisionError()])
        third.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(enduring.enduring("the room", run))
        await asyncio.wait_for(third.wait(), 10)
        task.cancel()
    assert caplog.text.count("the room failed, and is begun anew") == 2
