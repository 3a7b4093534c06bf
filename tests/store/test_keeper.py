"""Between the core and the disk: what the disk refuses waits, in order, and is written when it can be."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from pbxfed_ari.core.effects import Persist, Remember, Reply
from pbxfed_ari.core.messages import ShelfPut
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.store import keeper
from pbxfed_ari.store.keeper import Keeper
from pbxfed_ari.store.sqlite import Store
from pbxfed_ari.store.writer import Writer
from tests.disks import refusing


class Rig:
    """A keeper, its store and its thread."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state.db"
        self.store, self.writer = Store(self.path), Writer()
        self.keeper = Keeper(self.store, self.writer, hung=5.0)
        self.answers: list[Reply] = []

    def put(self, origin: str, version: int) -> None:
        record = ShelfPut(f"n{version}", b"1")
        effect = Persist(NodeName(origin), 1, version, ((version, record),), durable=True)
        self.keeper.keep(effect)

    def end(self) -> list[tuple[str, int, int]]:
        """What the next life finds: origin, epoch, version."""
        self.keeper.finish()
        assert self.writer.close()
        self.store.close()
        return [(str(o), e, v) for o, e, v in Store(self.path).load().streams.vector()]

    async def healed(self) -> None:
        async with asyncio.timeout(10):
            while self.keeper.failed:  # noqa: ASYNC110 - the thread tells nobody
                await asyncio.sleep(0.01)


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(keeper, "AGAIN", 0.01)
    return Rig(tmp_path)


async def test_what_a_full_disk_refuses_is_written_when_there_is_room(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """In order, a stream that was new then included; meanwhile the trouble has a thing, a value and a remedy."""
    rig.put("a", 1)
    with refusing():
        rig.put("b", 1)
        rig.put("c", 1)
        rig.keeper.remember(Remember("drain", "since 1"))
        rig.writer.wait()
        assert (
            f"node.state: {rig.path}: disk I/O error; nothing is kept until" in rig.keeper.trouble
        )
        assert "make room" in rig.keeper.trouble
        rig.keeper.confirm(Reply(7, 201), rig.answers.append)
        assert (rig.answers[0].status, "not kept here" in rig.answers[0].error) == (507, True)
    await rig.healed()
    assert rig.keeper.trouble == ""
    rig.put("c", 2)
    assert rig.end() == [("a", 1, 1), ("b", 1, 1), ("c", 1, 2)]
    assert Store(rig.path).fact("drain") == "since 1"
    assert len([one for one in caplog.records if one.levelname == "ERROR"]) == 1


async def test_what_is_owed_at_the_end_is_tried_once_more(rig: Rig) -> None:
    """Room may have come just now."""
    with refusing():
        rig.put("a", 1)
        rig.writer.wait()
    assert rig.end() == [("a", 1, 1)]


async def test_what_cannot_be_kept_at_all_ends_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is damaged under us: what is kept stays without holes, and the operator is told."""

    def damaged(effect: Persist) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    rig.put("a", 1)
    with monkeypatch.context() as patched:
        patched.setattr(rig.store, "perform", damaged)
        rig.put("a", 2)
        rig.writer.wait()
    rig.put("a", 3)
    assert "the daemon is started again" in rig.keeper.trouble
    assert rig.end() == [("a", 1, 1)]


async def test_memory_is_not_endless(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what a disk refuses for days too much would wait."""
    monkeypatch.setattr(keeper, "MOST", 3)
    with refusing():
        for version in range(1, 6):
            rig.put("a", version)
        rig.writer.wait()
        assert "has refused too much" in rig.keeper.trouble
    assert rig.end() == []


async def test_a_mistake_holds_up_nobody(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes after it is kept."""

    def wrong(effect: Persist) -> None:
        raise ValueError

    with monkeypatch.context() as patched:
        patched.setattr(rig.store, "perform", wrong)
        rig.put("a", 1)
        rig.writer.wait()
    rig.put("b", 1)
    assert rig.end() == [("b", 1, 1)]
