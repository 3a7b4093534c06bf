"""The bundle: what follows on leaves together, nothing overtakes it, and nothing is lost or doubled."""

import msgspec

from pbxfed_ari.core.effects import Broadcast, Effect, Forward, Note, Persist
from pbxfed_ari.core.messages import Delta, Heartbeat, Piece, Record, ShelfPut
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.replication.bundle import FULL, Bundle

ME = NodeName("a")


def put(n: int, size: int = 7) -> ShelfPut:
    return ShelfPut(f"c{n} x", bytes(size))


def delta(*numbers: int) -> Broadcast:
    return Broadcast(Delta(numbers[0], tuple(put(n) for n in numbers)))


def piece(base: int, to: int, origin: str = "a") -> Forward:
    numbered: tuple[tuple[int, Record], ...] = tuple((n, put(n)) for n in range(base + 1, to + 1))
    return Forward(Piece(origin, 1, base, to, numbered))


def turn(*effects: Effect) -> list[Effect]:
    bundle = Bundle()
    return [*bundle.through(effects), *bundle.rest()]


def test_one_alone_leaves_at_the_end_of_its_turn() -> None:
    bundle = Bundle()
    assert list(bundle.through([delta(1)])) == []
    assert bundle.rest() == [delta(1)]
    assert bundle.rest() == []


def test_what_follows_on_leaves_together_and_after_it_was_kept() -> None:
    kept = [Persist(ME, 1, n, ((n, put(n)),)) for n in (1, 2)]
    assert turn(kept[0], delta(1), kept[1], delta(2)) == [*kept, delta(1, 2)]


def test_each_way_and_stream_has_its_own() -> None:
    told = turn(delta(1), piece(0, 1), piece(4, 5, "b"), delta(2), piece(1, 2), piece(5, 7, "b"))
    assert told == [delta(1, 2), piece(0, 2), piece(4, 7, "b")]


def test_a_gap_is_not_joined() -> None:
    assert turn(delta(1), delta(3)) == [delta(1), delta(3)]
    assert turn(piece(0, 1), piece(2, 3)) == [piece(0, 1), piece(2, 3)]


def test_nothing_that_is_sent_overtakes_and_notes_do_not_part() -> None:
    beat, note = Broadcast(Heartbeat(2, 0)), Note("x")
    assert turn(delta(1), note, delta(2), beat, delta(3)) == [note, delta(1, 2), beat, delta(3)]


def test_a_full_one_leaves_and_none_is_lost() -> None:
    """Each fits a frame, all are full but the last."""
    told = turn(*(delta(n) for n in range(100, 300)))
    messages = [
        e.message for e in told if isinstance(e, Broadcast) and isinstance(e.message, Delta)
    ]
    assert len(messages) == len(told) > 1
    assert [r for m in messages for r in m.records] == [put(n) for n in range(100, 300)]
    assert all(len(m.records) == len(messages[0].records) for m in messages[:-1])
    record = len(msgspec.msgpack.encode((put(100),)))
    assert FULL - record < len(messages[0].records) * record <= FULL
