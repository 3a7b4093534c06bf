"""Records are gathered for a moment; nobody who reads, and no end of the daemon, is too early for them."""

import asyncio
from pathlib import Path

from pbxfed_ari.store import recorder
from pbxfed_ari.store.recorder import Recorder
from pbxfed_ari.store.records import Records
from pbxfed_ari.store.writer import Writer
from tests.store.test_records import record


def told(i: int) -> tuple[dict[str, object], str]:
    return record(i), f"n{i}"


async def test_what_ended_together_is_written_together(tmp_path: Path) -> None:
    writer, written = Writer(), list[list[object]]()
    both = asyncio.Event()
    loop = asyncio.get_running_loop()

    def write(records: list[dict[str, object]], over: list[str]) -> None:
        written.append([one["call"] for one in records])
        assert over == ["n1", "n2"]
        loop.call_soon_threadsafe(both.set)

    gathered = Recorder(writer, told, write)
    gathered.add(1)
    gathered.add(2)
    async with asyncio.timeout(50 * recorder.GATHERED):
        await both.wait()
    assert written == [["c1", "c2"]]
    writer.close()


async def test_who_reads_and_who_stops_loses_none(tmp_path: Path) -> None:
    writer = Writer()
    gathered = Recorder(writer, told, lambda ended, over: kept.add(*ended, over=over))
    kept = Records(tmp_path / "calls.db", ask=gathered.ask)
    gathered.add(1)
    assert [one["call"] for one in kept.read()] == ["c1"]
    gathered.add(2)
    gathered.flush()
    assert writer.close()
    kept.close()
    assert [one["call"] for one in Records(tmp_path / "calls.db").read()] == ["c1", "c2"]
