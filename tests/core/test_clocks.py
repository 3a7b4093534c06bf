"""Clocks: whose is off, by how much, and when that is noticed."""

import pytest

from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.clocks import Clocks

NOW = 1_800_000_000


def clocks(*peers: float) -> tuple[Clocks, list[NodeName]]:
    """Our clock says NOW at our second 0; the peers' are ahead of it by so many seconds."""
    found = Clocks()
    found.read(NOW * 1_000, 0.0)
    names = [NodeName(f"p{i}") for i in range(len(peers))]
    for name, ahead in zip(names, peers, strict=True):
        found.heard(name, 1, int(NOW + ahead), 0.0)
    return found, names


@pytest.mark.parametrize(
    ("peers", "ahead"),
    [
        ((0,), 0),
        ((100,), -100),
        ((0, 3_600), 0),  # we agree with one of the two: he is right, not they
        ((3_600, 3_600), -3_600),
        ((-100, 100), 0),
        ((0, 0, 3_600), 0),
        ((-500, -400, 3_600), 400),
        ((-500, -400, -300, 9), 300),
    ],
)
def test_the_distance_to_the_median(peers: tuple[float, ...], ahead: float) -> None:
    """Of an even number the nearer end of the median counts."""
    found, names = clocks(*peers)
    assert found.median(names) == (ahead, len(peers))


def test_without_peers_there_is_no_distance() -> None:
    """Nor before our own clock was read."""
    found, _ = clocks()
    assert found.median([NodeName("x")]) is None
    unread = Clocks()
    unread.heard(NodeName("p"), 1, NOW, 0.0)
    assert unread.median([NodeName("p")]) is None
    assert unread.seconds(5.0) == 0


def test_frames_that_waited_do_not_make_a_clock_late() -> None:
    """The largest of the last samples is the truest; a peer that restarts is heard anew."""
    found, (peer,) = clocks(0)
    found.heard(peer, 1, NOW + 8, 98.0)
    assert found.ahead(peer) == 0
    found.heard(peer, 2, NOW + 8, 98.0)
    assert found.ahead(peer) == -90


def test_a_step_of_our_own_clock_is_seen_at_once() -> None:
    """Peers' times are held against time that does not step."""
    found, (peer,) = clocks(0)
    assert not found.read(NOW * 1_000 + 500, 0.5)
    assert found.read(NOW * 1_000 + 301_000, 1.0)
    assert found.ahead(peer) == -300


def test_a_clock_that_is_set_back_is_believed_after_a_while() -> None:
    """Till then peers go by the time of before: what we say is good until then must not be past for them."""
    ours, (peer,) = clocks(0)
    theirs = Clocks()
    theirs.read(NOW * 1_000, 0.0)
    theirs.heard(peer, 1, NOW, 0.0)
    assert ours.told_ms(5.0) == (NOW + 5) * 1_000
    assert ours.read((NOW - 3_600) * 1_000 + 10_000, 10.0)
    for at in (10, 18, 27):
        theirs.heard(peer, 1, NOW - 3_600 + at, float(at))
        believed = (NOW + at + (theirs.ahead(peer) or 0.0)) * 1_000
        assert ours.told_ms(float(at)) >= believed
    assert ours.told_ms(41.0) == (NOW - 3_600 + 41) * 1_000
    assert Clocks().told_ms(1.0) == 0


def test_the_latest_time_is_what_most_clocks_say() -> None:
    """Our own, the median's, or a claim if there is nobody to compare with; none if our clock was never set."""
    found, names = clocks(50, 60)
    assert found.latest(names, 10.0, 0) == NOW + 60
    assert found.latest(names, 10.0, NOW + 9_000) == NOW + 60
    assert found.latest([], 10.0, NOW + 9_000) == NOW + 9_000
    assert found.latest([], 10.0, 0) == NOW + 10
    unset = Clocks()
    unset.read(40_000, 0.0)
    assert unset.latest([], 10.0, NOW) is None
