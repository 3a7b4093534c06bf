"""The ring: no needless move, fair shares, the same answer everywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxfed_ari.core.membership.ring import Ring, score

KEYS = [str(1000 + i) for i in range(4_000)]
weights = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=3), st.integers(1, 9), min_size=1, max_size=8
)


def owners(ring: Ring) -> dict[str, str | None]:
    return {key: ring.get_node(key) for key in KEYS[:300]}


@given(weights)
def test_a_node_that_goes_only_gives(given_weights: dict[str, int]) -> None:
    """Keys of the others stay where they are."""
    ring = Ring(given_weights)
    gone = sorted(given_weights)[0]
    rest = Ring({n: w for n, w in given_weights.items() if n != gone})
    before, after = owners(ring), owners(rest)
    assert [k for k in before if before[k] != after[k] and before[k] != gone] == []


@given(weights, st.integers(1, 9))
def test_a_changed_weight_moves_only_that_nodes_keys(
    given_weights: dict[str, int], weight: int
) -> None:
    """A heavier node only takes, a lighter one only gives."""
    name = sorted(given_weights)[0]
    before, after = owners(Ring(given_weights)), owners(Ring({**given_weights, name: weight}))
    assert [k for k in before if before[k] != after[k] and name not in (before[k], after[k])] == []


def test_shares_follow_the_weights() -> None:
    """Twice the weight, twice the keys, within the noise of counting."""
    ring = Ring({"a": 100, "b": 200, "c": 100})
    held = [sum(ring.get_node(k) == n for k in KEYS) / len(KEYS) for n in "abc"]
    assert held == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    assert ring.share("b") == 0.5


def test_the_preference_list_is_the_order_of_failover() -> None:
    """When the owner dies, the second in the list owns the key."""
    ring = Ring(dict.fromkeys("abcde", 1))
    for key in KEYS[:50]:
        first, second, *_ = ring.iterate_nodes(key)
        assert Ring({n: 1 for n in "abcde" if n != first}).get_node(key) == second


def test_the_order_of_building_does_not_matter() -> None:
    """Nodes with the same members have the same ring."""
    one, two = Ring({"a": 1, "b": 2}), Ring({"b": 2, "a": 1})
    assert one == two
    assert one.fingerprint() == two.fingerprint()


def test_an_empty_ring_owns_nothing() -> None:
    """And says so without raising."""
    assert Ring({}).get_node("1001") is None
    assert Ring({}).share("a") == 0.0


def test_a_weight_below_one_is_refused() -> None:
    """A node that shall own nothing leaves the ring instead."""
    with pytest.raises(ValueError, match="weight of a = 0"):
        Ring({"a": 0})


def test_a_score_grows_with_the_weight() -> None:
    """The formula, by example: twice the weight, twice the bid."""
    assert score("a", 2, "1001") == pytest.approx(2 * score("a", 1, "1001"))
