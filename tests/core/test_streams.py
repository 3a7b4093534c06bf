"""Streams: claims that stay true through overwriting, restarts and restored disks."""

from random import Random

from pbxfed_ari.core.messages import BookSet, ShelfDrop, ShelfPut
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.records.streams import Stream

A, B = NodeName("a"), NodeName("b")
OBJECT = b"xobject01"


def put(key: str, value: bytes = b"1") -> ShelfPut:
    return ShelfPut(key, value)


def test_of_each_key_only_the_newest_version_stays() -> None:
    """A stream is an index, not a log."""
    stream = Stream()
    for version, key in enumerate(["x", "y", "x", "z", "x"], 1):
        stream.note(version, key)
    assert list(stream.above(0)) == [(2, "y"), (4, "z"), (5, "x")]
    assert list(stream.above(4)) == [(5, "x")]


def test_a_piece_carries_the_newer_value_of_another_writer() -> None:
    """Whoever holds A's number 1 as claimed must hold B's edit that replaced it, even if it never hears of B's stream."""
    donor = Directory()
    donor.apply((A, 1), [(1, BookSet(OBJECT, 3, 10, "", b"\xa1x"))], 1)
    donor.apply((B, 1), [(1, BookSet(OBJECT, 3, 20, "", b"\xa1y"))], 1)
    (piece,) = donor.pieces((A, 1), 0, 9)
    assert piece.records == ((1, BookSet(OBJECT, 3, 20, "b", b"\xa1y")),)


def test_a_new_epoch_that_continues_keeps_everything() -> None:
    """A restart sends nothing twice."""
    directory = Directory()
    directory.apply((A, 1), [(1, put("k1")), (2, put("k2"))], 2)
    assert directory.adopt(A, 2, ((1, 2),)) == []
    assert directory.streams.vector() == [(A, 2, 2)]
    assert directory.shelves.value(A, "k1") == b"1"


def test_a_replica_that_was_behind_pulls_the_rest_under_the_new_name() -> None:
    """Held 1 of 2: the new epoch's numbering goes on where the old one's was left."""
    directory = Directory()
    directory.apply((A, 1), [(1, put("k1"))], 1)
    directory.adopt(A, 2, ((1, 2),))
    assert directory.streams.held((A, 2)) == 1


def test_what_the_origin_no_longer_vouches_for_leaves_its_shelf_but_is_kept_for_it() -> None:
    """A restored disk: version 3 was published, then forgotten by its own origin."""
    directory = Directory()
    edit = BookSet(OBJECT, 3, 10, "", b"\xa1x")
    directory.apply((A, 1), [(1, put("k1")), (2, put("k2")), (3, edit)], 3)
    directory.adopt(A, 2, ((1, 1),))
    assert directory.shelves.value(A, "k2") is None
    assert directory.streams.vector() == [(A, 1, 3), (A, 2, 1)]
    (piece,) = directory.pieces((A, 1), 1, 9)
    assert piece.records == ((2, ShelfDrop("k2")), (3, edit))


def test_who_knows_the_lineage_asks_only_for_the_rest() -> None:
    """Through version 1 the old epoch is part of the new one."""
    directory = Directory()
    directory.adopt(A, 2, ((1, 1),))
    assert directory.streams.held((A, 1)) == 1
    assert directory.streams.held((A, 2)) == 0


def test_a_lost_disk_voids_the_whole_shelf() -> None:
    """No lineage: nothing of the past is vouched for."""
    directory = Directory()
    directory.apply((A, 1), [(1, put("k1"))], 1)
    directory.adopt(A, 7, ())
    assert directory.shelves.value(A, "k1") is None
    assert directory.streams.vector() == [(A, 1, 1)]


def test_what_was_void_once_does_not_void_what_was_written_since() -> None:
    """Found by the history test: a lost boot, the key again, then a boot that continues."""
    directory = Directory()
    directory.apply((A, 1), [(1, put("k1"))], 1)
    directory.adopt(A, 2, ())
    directory.apply((A, 2), [(1, put("k1", b"2"))], 1)
    directory.adopt(A, 3, ((2, 1),))
    assert directory.shelves.value(A, "k1") == b"2"


def test_an_older_epoch_is_not_adopted() -> None:
    """A replayed introduction turns nothing back."""
    directory = Directory()
    directory.apply((A, 5), [(1, put("k1"))], 1)
    directory.adopt(A, 5, ())
    assert directory.adopt(A, 4, ()) == []
    assert directory.streams.current_epoch(A) == 5
    assert directory.shelves.value(A, "k1") == b"1"


def test_a_delta_applied_twice_changes_nothing() -> None:
    """Duplicates are harmless."""
    directory = Directory()
    records = [(1, put("c1001 ~CgAABxPE", b"\x91\x01"))]
    assert len(directory.apply((A, 1), records, 1)) == 1
    assert directory.apply((A, 1), records, 1) == []


def test_pieces_end_where_they_are_told() -> None:
    """What the asker has laid aside is not sent again."""
    directory = Directory()
    directory.apply((A, 1), [(i, put(f"k{i}", Random(i).randbytes(500))) for i in range(1, 9)], 8)
    pieces = directory.pieces((A, 1), 2, 9, 5)
    assert [(p.base, p.to) for p in pieces] == [(2, 4), (4, 5)]
    assert [(p.base, p.to, p.more, p.last) for p in directory.pieces((A, 1), 0, 2)] == [
        (0, 2, True, False),
        (2, 4, True, True),
    ]


def test_a_key_that_was_collected_and_is_back_stands_once() -> None:
    """Else it would be cut off twice where a later epoch ends this one."""
    stream = Stream()
    stream.note(1, "n")
    stream.note(2, "c1 x:y")
    stream.drop(["n"])
    stream.note(1, "n")
    assert list(stream.above(0)) == [(1, "n"), (2, "c1 x:y")]
    assert list(stream.split(0).above(0)) == [(1, "n"), (2, "c1 x:y")]


def test_a_stretch_without_a_key_is_held_all_the_same() -> None:
    """Found by the fault matrix: a stream that names nothing more is held through where it was pulled."""
    directory = Directory()
    directory.adopt(A, 2, ((1, 27),))
    directory.apply((A, 1), [], 28)
    assert directory.streams.held((A, 1)) == 28
    directory.apply((A, 1), [(29, put("k"))], 29)
    assert directory.streams.held((A, 1)) == 29


def test_a_lineage_that_comes_after_the_first_piece_of_its_epoch_voids_nothing_of_it() -> None:
    """What the new epoch has put stands, though the old one had put it too."""
    directory = Directory()
    directory.adopt(B, 1, ())
    directory.apply((B, 1), [(1, put("k")), (2, put("l"))], 2)
    directory.apply((B, 2), [(1, put("k"))], 1)
    directory.adopt(B, 2, ())
    assert directory.shelves.value(B, "k") == b"1"
    assert directory.shelves.value(B, "l") is None


def test_of_two_keys_with_one_number_one_travels() -> None:
    """A broken origin says two things of one number: the rest of its stream is passed on all the same."""
    directory = Directory()
    for key in "pqr":
        directory.write((A, 1), [put(key)])
    directory.streams.note((A, 1), 2, "s")
    (piece,) = directory.pieces((A, 1), 0, 9)
    assert piece.records == ((1, put("p")), (2, put("q")), (3, put("r")))
