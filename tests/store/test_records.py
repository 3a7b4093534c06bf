"""Records of calls: found again, old ones gone, damage survived."""

from pathlib import Path

import pytest

from pbxfed_ari.store.records import MOST, SWEEP, Records

DAY = 86_400_000


def record(i: int, *, began: int = 0, peer: str = "", caller: str = "1001") -> dict[str, object]:
    return {"call": f"c{i}", "began_ms": began, "from": caller, "to": "1002", "peer": peer}


def test_what_was_kept_is_found(tmp_path: Path) -> None:
    """By number, by time, after an id, the last ones; a peer's calls only if they are wanted; after a restart too."""
    kept = Records(tmp_path / "calls.db")
    now = 4_000_000_000_000
    for i in range(10):
        kept.add(record(i, began=now + i, peer="b" if i % 2 else "", caller=f"100{i}"))
    kept.close()
    again = Records(tmp_path / "calls.db")
    assert [r["call"] for r in again.read()] == ["c0", "c2", "c4", "c6", "c8"]
    assert len(again.read(parts=True)) == 10
    assert [r["call"] for r in again.read(number="1003", parts=True)] == ["c3"]
    assert [r["call"] for r in again.read(since_ms=now + 6)] == ["c6", "c8"]
    assert [r["call"] for r in again.read(limit=2, last=True)] == ["c6", "c8"]
    assert [r["id"] for r in again.read(after=8, parts=True)] == [9, 10]
    assert [len(some) for some in again.all(parts=True)] == [10]


def test_old_records_go(tmp_path: Path) -> None:
    """When so many were written, and at each start."""
    clock = [100 * DAY / 1_000]
    kept = Records(tmp_path / "calls.db", days=10, clock=lambda: clock[0])
    kept.add(record(0, began=89 * DAY))
    for i in range(1, SWEEP):
        kept.add(record(i, began=95 * DAY))
    assert [r["call"] for r in kept.read(limit=1)] == ["c1"]
    kept.close()
    clock[0] = 200 * DAY / 1_000
    assert Records(tmp_path / "calls.db", days=10, clock=lambda: clock[0]).read() == []


def test_a_damaged_file_is_put_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A PBX must not stand still for its records."""
    file = tmp_path / "calls.db"
    file.write_bytes(b"no database at all" * 100)
    kept = Records(file)
    kept.add(record(1))
    assert [one["call"] for one in kept.read()] == ["c1"]
    assert len([f for f in tmp_path.iterdir() if "damaged" in f.name]) == 1
    kept.close()
    kept.add(record(2))  # told in the log
    assert "record of call c2 is not kept" in caplog.text
    assert MOST >= 500


def test_one_that_cannot_be_kept_costs_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Records are written together."""
    kept = Records(tmp_path / "calls.db")
    kept.add(record(1), record(2, began=2**70), record(3))
    assert [one["call"] for one in kept.read()] == ["c1", "c3"]
    assert "record of call c2 is not kept" in caplog.text
