"""Records of calls: found again, old ones gone, damage survived."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pbxfed_ari.core.calls.notebook import Noted
from pbxfed_ari.core.effects import Attempted, CallEnded, Leg, Outside
from pbxfed_ari.core.names import CallId, ChannelId, NodeName
from pbxfed_ari.store import records
from pbxfed_ari.store.records import MOST, SWEEP, Records
from tests.disks import refusing

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


def test_the_records_of_one_call_are_found_by_its_id(tmp_path: Path) -> None:
    """Its own and those of its parts; of a file that was begun before there was such an index, those kept since."""
    path = tmp_path / "calls.db"
    with sqlite3.connect(path) as before:
        before.execute(
            "create table calls (id integer primary key, began integer not null, caller text not null, "
            "number text not null, part integer not null, record text not null)"
        )
        before.execute("insert into calls values (1, 4000000000000, '1001', '1002', 0, '{}')")
    kept, steps = Records(path), list[int]()
    kept.add(*(record(i, began=4_000_000_000_000) for i in range(4_999)))
    kept.add(record(7, began=4_000_000_000_000, peer="b"))
    kept._db.set_progress_handler(lambda: steps.append(1), 100)
    assert [(one["call"], one["peer"]) for one in kept.of("c7")] == [("c7", ""), ("c7", "b")]
    assert kept.of("c5000") == []
    assert len(steps) < 20
    assert len(kept.read(limit=1)) == 1


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"number": "1009"}, ["c4999"]),
        ({"number": "7"}, []),
        ({"number": "1002", "last": True, "limit": 1}, ["c4999"]),
        ({"since_ms": 4_000_000_004_999}, ["c4999"]),
        ({"since_ms": 4_000_000_009_999, "number": "1002"}, []),
    ],
)
def test_what_is_asked_is_found_without_reading_all(
    tmp_path: Path, asked: dict[str, Any], found: list[str]
) -> None:
    """The daemon waits for the answer, with all its calls: ninety days of a busy node are millions of records."""
    kept, now, steps = Records(tmp_path / "calls.db"), 4_000_000_000_000, list[int]()
    kept.add(*(record(i, began=now + i) for i in range(4_999)))
    kept.add(record(4_999, began=now + 4_999, caller="1009"))
    kept._db.set_progress_handler(lambda: steps.append(1), 100)
    assert [r["call"] for r in kept.read(**asked)] == found
    assert len(steps) < 20


def noted(key: str) -> Noted:
    legs = (Leg(NodeName("b"), "sip"), Outside("city", "pjsip", "provider", "030123"))
    tries = (Attempted("1002", legs, "1002 is on b", 0.0, 1.5, "answered"),)
    so_far = CallEnded(CallId(key), "1001", "1002", 1, True, 16, 3.0, attempts=tries, note=key)
    return Noted((ChannelId("17.1"),), so_far)


def test_a_call_that_goes_on_is_noted_until_its_record_is_kept(tmp_path: Path) -> None:
    """Over a kill -9, which closes nothing; as it was noted last."""
    kept = Records(tmp_path / "calls.db")
    assert kept.noted() == ([], 0)
    kept.note([noted("n1"), noted("n2"), noted("n3")], [], 1_000)
    kept.note([replace(noted("n1"), channels=())], ["n3"], 2_000)
    again = Records(tmp_path / "calls.db")
    assert again.noted() == ([replace(noted("n1"), channels=()), noted("n2")], 2_000)
    again.add(record(1), over=["n1"])
    again.add(record(2), record(3, began=2**70), over=["n2", "n4"])
    assert Records(tmp_path / "calls.db").noted() == ([], 2_000)


def test_a_note_that_cannot_be_read_costs_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another release may have written it."""
    kept = Records(tmp_path / "calls.db")
    kept.note([noted("n1"), noted("n2")], [], 1_000)
    kept.close()
    with sqlite3.connect(tmp_path / "calls.db") as db:
        db.execute("update notes set note = x'00' where key = 'n1'")
    db.close()
    assert Records(tmp_path / "calls.db").noted() == ([noted("n2")], 1_000)
    assert "the note of call n1 cannot be read" in caplog.text


def test_old_records_go(tmp_path: Path) -> None:
    """When so many were written, and at each start."""
    clock = [100 * DAY / 1_000]
    kept = Records(tmp_path / "calls.db", days=10, clock=lambda: clock[0])
    kept.add(record(0, began=89 * DAY))
    for i in range(1, SWEEP):
        kept.add(record(i, began=99 * DAY))
    assert [r["call"] for r in kept.read(limit=1)] == ["c1"]
    clock[0] = 200 * DAY / 1_000
    kept.add(record(SWEEP, began=200 * DAY))
    kept.close()
    kept = Records(tmp_path / "calls.db", days=10, clock=lambda: clock[0])
    assert [r["call"] for r in kept.read()] == [f"c{SWEEP}"]


def test_a_clock_that_is_months_ahead_takes_no_records_away(tmp_path: Path) -> None:
    """It may be set right a minute later; nobody can give records back."""
    kept = Records(tmp_path / "calls.db", days=10, clock=lambda: 100 * DAY / 1_000)
    kept.add(record(1, began=90 * DAY), record(2, began=99 * DAY))
    kept.close()
    kept = Records(tmp_path / "calls.db", days=10, clock=lambda: 400 * DAY / 1_000)
    assert [r["call"] for r in kept.read()] == ["c1", "c2"]
    kept.close()
    kept = Records(tmp_path / "calls.db", days=10, clock=lambda: 100 * DAY / 1_000)
    assert [r["call"] for r in kept.read()] == ["c1", "c2"]


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


def test_what_a_full_disk_refuses_waits_for_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Records, and notes of calls that go on, in order; it is told once, with its remedy."""
    kept = Records(tmp_path / "calls.db")
    kept.note([noted("n1"), noted("n2")], [], 1_000)
    with refusing():
        kept.add(record(1), record(2), over=["n1"])
        kept.note([noted("n3")], ["n2"], 2_000)
        kept.add(record(3), over=["n3"])
        kept.settle()
        assert (
            "calls.db: disk I/O error; records of calls wait in memory: make room" in kept.trouble
        )
    kept.settle()
    assert kept.trouble == ""
    assert [one["call"] for one in kept.read()] == ["c1", "c2", "c3"]
    assert kept.noted() == ([], 2_000)
    assert [one.levelname for one in caplog.records] == ["ERROR", "WARNING"]


def test_not_too_many_wait(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is not endless: what is more than that is lost, and told."""
    monkeypatch.setattr(records, "WAITING", 2)
    kept = Records(tmp_path / "calls.db")
    with refusing():
        for i in range(3):
            kept.add(record(i))
    kept.settle()
    assert [one["call"] for one in kept.read()] == ["c0", "c1"]
    assert "1 records and notes of calls are lost" in caplog.text


def test_a_full_disk_is_no_damage(tmp_path: Path) -> None:
    """A daemon that starts on one reads its records, and puts nothing aside."""
    kept = Records(tmp_path / "calls.db")
    kept.add(record(1))
    kept.close()
    with refusing():
        again = Records(tmp_path / "calls.db")
        assert [one["call"] for one in again.read()] == ["c1"]
        again.add(record(2))
        assert again.trouble
    again.settle()
    assert [one["call"] for one in again.read()] == ["c1", "c2"]
    assert [one.name for one in tmp_path.glob("*damaged*")] == []
