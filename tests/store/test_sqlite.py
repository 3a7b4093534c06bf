"""The store: what was kept comes back, whatever happened to the process; what was damaged is asked for again."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbxfed_ari.core.effects import Persist, PersistGone, PersistLineage
from pbxfed_ari.core.messages import BookSet, Record, ShelfDrop, ShelfPut
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.records.streams import ASIDE
from pbxfed_ari.core.replication.republishing import unindexed
from pbxfed_ari.errors import ConfigError
from pbxfed_ari.store import opening
from pbxfed_ari.store.sqlite import Store
from tests.disks import refusing

A = NodeName("a")
EDIT = BookSet(b"x1", 3, 5, "", b"\xa1y")


def persist(
    store: Store,
    directory: Directory,
    records: list[Record],
    epoch: int = 1,
    *,
    durable: bool = False,
) -> None:
    first, _ = directory.write((A, epoch), records)
    numbered = tuple(enumerate(records, first))
    store.persist(Persist(A, epoch, first + len(records) - 1, numbered, durable))


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    """A node that starts alone knows all it knew."""
    store, before = Store(tmp_path / "state.db"), Directory()
    persist(store, before, [ShelfPut("n", b"1"), BookSet(b"x1", 3, 5, "", b"\xa1y")], durable=True)
    persist(store, before, [ShelfPut("k", b"2"), ShelfDrop("n")])
    store.close()
    after = Store(tmp_path / "state.db").load()
    assert after.streams.vector() == before.streams.vector() == [(A, 1, 4)]
    assert (after.shelves.value(A, "n"), after.shelves.value(A, "k")) == (None, b"2")
    assert after.book.groups(b"x1") == {3: b"\xa1y"}


def test_a_killed_writer_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Another process opens the file while the first still has it, as after kill -9: the log is replayed."""
    store = Store(tmp_path / "state.db")
    persist(store, Directory(), [ShelfPut("n", b"1")], durable=True)
    assert Store(tmp_path / "state.db").load().streams.vector() == [(A, 1, 1)]


def test_a_damaged_record_begins_its_stream_anew(tmp_path: Path) -> None:
    """The checksum tells; peers give back what is missing. Edits that are whole stand meanwhile, though without numbers."""
    store = Store(tmp_path / "state.db")
    persist(store, Directory(), [ShelfPut("n", b"1"), ShelfPut("k", b"2"), EDIT])
    store.close()
    with sqlite3.connect(tmp_path / "state.db") as db:
        db.execute("update records set record = x'00' where version = 1")
    for _ in range(2):
        found = Store(tmp_path / "state.db").load()
        assert found.streams.vector() == []
        assert found.shelves.value(A, "k") is None
        assert unindexed(A, found) == [EDIT]


@pytest.mark.parametrize(
    "damage",
    [
        "held = held + 64",
        "base = 1",
        "epoch = 65",
        "floor = 3",
        "lineage = x'80'",
        "origin = x'ff'",
    ],
)
def test_a_damaged_stream_is_held_through_nothing(tmp_path: Path, damage: str) -> None:
    """Else peers would believe in numbers that nobody gave. Of an origin that cannot be read nothing is known at all."""
    store = Store(tmp_path / "state.db")
    store.persist_lineage(PersistLineage(A, 1, ()))
    persist(store, Directory(), [ShelfPut("n", b"1"), EDIT])
    store.close()
    with sqlite3.connect(tmp_path / "state.db") as db:
        db.execute(f"update streams set {damage}")
    for _ in range(2):
        found = Store(tmp_path / "state.db").load()
        assert (found.streams.vector(), found.streams.lineage((A, 1))) == ([], None)
        assert unindexed(A, found) == ([] if "origin" in damage else [EDIT])


def test_edits_in_a_file_whose_structure_is_damaged_are_known_still(tmp_path: Path) -> None:
    """The file is put aside; each edit that its checksum vouches for is in the new one, until it was published anew."""
    path = tmp_path / "state.db"
    store = Store(path, lambda: 7)
    store.persist_lineage(PersistLineage(A, 1, ()))
    persist(store, Directory(), [ShelfPut("n", b"1"), EDIT])
    store._db.execute("pragma wal_checkpoint(truncate)")
    page = "select rootpage from sqlite_master where name like 'sqlite_autoindex_streams%'"
    at = (store._db.execute(page).fetchone()[0] - 1) * 4_096
    store.close()
    data = bytearray(path.read_bytes())
    data[at + 3 : at + 5] = bytes(2)  # the index has no cells, it says
    path.write_bytes(data)
    for _ in range(2):
        store = Store(path, lambda: 7)
        found = store.load()
        assert found.streams.vector() == []
        assert unindexed(A, found) == [EDIT]
        store.close()
    assert (tmp_path / "state.db.damaged-7").exists()
    store = Store(path)
    store.persist_gone(PersistGone(*ASIDE, tuple(found.salvaged), 0))
    assert unindexed(A, store.load()) == []


def test_a_file_that_is_no_database_is_refused_with_a_remedy(tmp_path: Path) -> None:
    """Never a traceback, never overwritten."""
    (tmp_path / "state.db").write_text(
        "not a database, but long enough to be looked at as one" * 30
    )
    with pytest.raises(ConfigError, match="move the file away"):
        Store(tmp_path / "state.db")


def test_the_file_of_another_node_or_a_newer_release_is_refused(tmp_path: Path) -> None:
    """Streams must not go on under a second name."""
    store = Store(tmp_path / "state.db")
    store.belongs_to(A)
    with pytest.raises(ConfigError, match="belongs to node 'a', not to 'b'"):
        store.belongs_to(NodeName("b"))
    store.remember("schema", "99")
    with pytest.raises(ConfigError, match="newer release"):
        Store(tmp_path / "state.db")
    assert Store(tmp_path / "other.db").fact("schema") == "1"


keys = st.sampled_from("pqrst")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), keys, st.binary(max_size=3)),
        st.tuples(st.just("drop"), keys, st.just(b"")),
        st.tuples(st.just("edit"), keys, st.binary(max_size=3)),
        st.tuples(st.just("boot"), st.sampled_from(["all", "older", "lost"]), st.just(b"")),
    ),
    max_size=25,
)


@settings(max_examples=150)
@given(steps)
def test_file_and_memory_agree_through_any_history(history: list[tuple[str, str, bytes]]) -> None:
    """Renaming of epochs is written twice, in memory and in SQL: they must never differ."""
    store, live = Store(":memory:"), Directory()
    epoch, stamp = 1, 0
    live.adopt(A, epoch, ())
    store.persist_lineage(PersistLineage(A, epoch, ()))
    for what, key, value in history:
        stamp += 1
        if what == "boot":
            held = live.streams.held((A, epoch))
            kept = {"all": held, "older": held // 2, "lost": 0}[key]
            earlier = ((epoch, kept), *(live.streams.lineage((A, epoch)) or ())) if kept else ()
            epoch += 1
            live.adopt(A, epoch, earlier)
            store.persist_lineage(PersistLineage(A, epoch, earlier))
            continue
        record: Record = BookSet(key.encode(), 1, stamp, "", value)
        if what == "put":
            record = ShelfPut(key, value)
        elif what == "drop":
            record = ShelfDrop(key)
        persist(store, live, [record], epoch)
    again = store.load()
    assert again.streams.vector() == live.streams.vector()
    assert [again.shelves.value(A, k) for k in "pqrst"] == [
        live.shelves.value(A, k) for k in "pqrst"
    ]
    assert [again.book.groups(k.encode()) for k in "pqrst"] == [
        live.book.groups(k.encode()) for k in "pqrst"
    ]


def test_a_node_starts_on_a_full_disk_with_all_it_knew(tmp_path: Path) -> None:
    """SQLite has no room for what it has beside the file; nothing is put aside, and nothing is said of moving it away."""
    store, before = Store(tmp_path / "state.db"), Directory()
    persist(store, before, [ShelfPut("n", b"1"), EDIT])
    store.belongs_to(A)
    store.close()
    with refusing():
        full = Store(tmp_path / "state.db")
        full.belongs_to(A)
        assert full.load().streams.vector() == before.streams.vector()
        full.close()
        with pytest.raises(ConfigError, match=r"new.db: .*make room on its disk") as refused:
            Store(tmp_path / "new.db")
        assert "move the file away" not in str(refused.value)
    assert not list(tmp_path.glob("*damaged*"))


def test_a_damaged_store_on_a_full_disk_is_told(tmp_path: Path) -> None:
    """It cannot be repaired there: the daemon says so, and keeps the file."""
    store = Store(tmp_path / "state.db")
    persist(store, Directory(), [ShelfPut(f"n{i}", bytes(200)) for i in range(100)])
    store.close()
    whole = bytearray((tmp_path / "state.db").read_bytes())
    whole[8192:12288] = bytes(4096)
    (tmp_path / "state.db").write_bytes(whole)
    with refusing(), pytest.raises(ConfigError, match=r"node.state: .*make room on its disk"):
        Store(tmp_path / "state.db").load()
    assert (tmp_path / "state.db").read_bytes() == whole


def test_a_node_starts_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that the kernel has made read-only: it knows all it knew, and what is to be kept is refused."""
    store, before = Store(tmp_path / "state.db"), Directory()
    persist(store, before, [ShelfPut("n", b"1"), EDIT])
    store.belongs_to(A)
    store.close()
    usual = opening._opened

    def read_only(path: str, *first: str) -> sqlite3.Connection:
        if first:
            raise sqlite3.OperationalError("unable to open database file")
        return usual(path)

    monkeypatch.setattr(opening, "_opened", read_only)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    fixed = Store(tmp_path / "state.db")
    fixed.belongs_to(A)
    known = fixed.load()
    assert known.streams.vector() == before.streams.vector()
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        persist(fixed, known, [ShelfPut("k", b"2")])
