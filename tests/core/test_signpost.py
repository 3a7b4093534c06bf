"""Which nodes a phone is told of: by site, standing and capacity; the dead never."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxfed_ari.core.events import AsteriskDown, AsteriskUp
from pbxfed_ari.core.federation.federation import describe
from pbxfed_ari.core.naming.signpost import (
    MOST,
    Pointer,
    Sign,
    Standing,
    nearest,
    pointers,
    signs,
    site_of,
)
from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.core.records.shelf import NodeInfo
from tests.stories.world import World

WELL, LAST, SICK, GONE = Standing


def sign(node: str, site: str = "main", standing: Standing = WELL, weight: int = 100) -> Sign:
    return Sign(node, site, standing, weight, weight, ("10.0.0.1",), (("udp", 5060),), True)


def told(known: list[Sign], site: str = "main", transport: str = "udp") -> list[tuple[int, str]]:
    found = pointers(known, transport, site, Random(1))
    return [(p.priority, p.sign.node) for p in found]


def test_the_own_site_comes_first_then_others_then_doubtful_ones() -> None:
    """Three priorities; equal ones stand in the order that is known."""
    known = [sign("a"), sign("b", "berlin"), sign("c", "berlin", LAST), sign("d", "main", GONE)]
    assert told(known) == [(10, "a"), (20, "b"), (30, "c")]
    assert told(known, "berlin") == [(10, "b"), (20, "a"), (30, "c")]
    assert told(known, "nowhere") == [(20, "a"), (20, "b"), (30, "c")]


def test_who_takes_no_calls_is_named_only_if_there_is_nobody_else() -> None:
    """An empty answer would be remembered."""
    assert told([sign("a", standing=SICK), sign("b", standing=LAST)]) == [(30, "b")]
    assert told([sign("a", standing=SICK), sign("b", standing=GONE)]) == [(30, "a")]
    assert told([sign("b", standing=GONE)]) == []


def test_only_who_takes_the_transport_is_named() -> None:
    """A TLS port that is not there is no help."""
    secure = replace(sign("b"), ports=(("tls", 5061), ("udp", 5060)))
    assert told([sign("a"), secure], transport="tls") == [(10, "b")]
    assert told([sign("a"), secure], transport="wss") == []


def test_of_many_some_are_drawn_and_others_stay_in_reserve() -> None:
    """The answer stays small, and whole sites may fail."""
    known = [sign(f"a{i}") for i in range(50)] + [sign(f"b{i}", "berlin") for i in range(50)]
    rng = Random(2)
    seen: Counter[str] = Counter()
    for _ in range(2_000):
        found = pointers(known, "udp", "main", rng)
        assert len(found) == MOST
        assert Counter(p.priority for p in found) == {10: 6, 20: 2}
        seen.update(p.sign.node for p in found)
    assert len(seen) == 100
    alone = pointers(known[:50], "udp", "main", rng)
    assert len(alone) == MOST


def test_plain_lookups_name_the_best_rank_by_weight() -> None:
    """Phones take the first address: each comes first by its share."""
    known = [sign("a", weight=300), sign("b"), sign("c", "berlin"), sign("d", standing=LAST)]
    rng = Random(3)
    firsts = Counter(nearest(known, "main", rng)[0].node for _ in range(4_000))
    assert set(firsts) == {"a", "b"}
    assert 2.6 < firsts["a"] / firsts["b"] < 3.4
    assert nearest([sign("x", standing=GONE)], "main", rng) == []


@given(
    st.lists(
        st.builds(
            sign,
            st.text("abcdef", min_size=1, max_size=3),
            st.sampled_from(["main", "x"]),
            st.sampled_from(Standing),
        ),
        unique_by=lambda s: s.node,
        max_size=40,
    ),
    st.integers(),
)
def test_whoever_is_there(known: list[Sign], seed: int) -> None:
    """Never too many, never twice, never the dead, never nobody while one lives; priorities rise."""
    found: list[Pointer] = pointers(known, "udp", "main", Random(seed))
    nodes = [p.sign.node for p in found]
    assert len(found) <= MOST
    assert len(set(nodes)) == len(nodes)
    assert all(p.sign.standing != GONE for p in found)
    assert bool(found) == any(s.standing != GONE for s in known)
    assert [p.priority for p in found] == sorted(p.priority for p in found)


@pytest.mark.parametrize(
    ("client", "site"),
    [
        ("10.1.2.3", "berlin"),
        ("10.1.9.3", "floor9"),
        ("192.0.2.1", "main"),
        ("fd00:1::5", "berlin"),
        ("fd00:2::5", "main"),
    ],
)
def test_the_narrowest_network_says_whose_a_client_is(client: str, site: str) -> None:
    """Whatever a newer release lets others write is passed over."""
    known = [
        ("berlin", "10.1.0.0/16"),
        ("floor9", "10.1.9.0/24"),
        ("berlin", "fd00:1::/48"),
        ("bad", "10.1.0.0/99"),
    ]
    assert site_of(client, known, "main") == site


def test_what_the_federation_knows_becomes_standing() -> None:
    """The living, the sick, the dead; and the networks that an operator gave a site."""
    world = World(names="abc")
    federation = world["a"].federation
    for name in "abc":
        world[name].handle(AsteriskUp("22.10.1", False))
    world.run(1)

    def standings() -> dict[str, Standing]:
        return {s.node: s.standing for s in signs(federation)}

    assert standings() == {"a": WELL, "b": WELL, "c": WELL}
    assert [s.node for s in signs(world["c"].federation)] == ["c", "a", "b"]
    world["b"].handle(AsteriskDown("it stopped"))
    world.run(1)
    assert standings()["b"] == SICK
    world["b"].handle(AsteriskUp("22.10.1", False))
    world.kill("c")
    world.run(2.5, lambda: standings()["c"] == SICK)
    assert standings()["c"] == SICK, "nobody has heard of it, and nobody is sure yet"
    world.run(1)
    assert standings() == {"a": WELL, "b": WELL, "c": GONE}
    world["b"].put("site", "berlin", nets=["10.1.0.0/16"])
    world.run(1)
    assert federation.view.nets() == [("berlin", "10.1.0.0/16")]


def test_what_a_node_says_of_itself_is_what_phones_are_told() -> None:
    """Ports and addresses; of what makes no sense nothing, and an older release has UDP at its SIP port."""
    world = World(names="ab")
    federation = world["a"].federation
    old = NodeInfo("10.0.0.2", "main", 100, ("sip",), bytes(32), 5070)
    world["b"].handle(describe(old))
    world.run(1)
    found = signs(federation)[1]
    assert (found.hosts, found.ports, found.dns) == (("10.0.0.2",), (("udp", 5070),), False)
    new = NodeInfo(
        "10.0.0.2",
        "main",
        100,
        ("sip",),
        bytes(32),
        phones=(("tls", 5061), ("smoke", 9), ("udp", 5060)),
        phone_addresses=("2001:DB8::7", "fe80::1%eth0", "nonsense", "0.0.0.0", "198.51.100.7"),
        dns=True,
    )
    world["b"].handle(describe(new))
    world.run(1)
    found = signs(federation)[1]
    assert found.hosts == ("2001:db8::7", "198.51.100.7")
    assert found.ports == (("tls", 5061), ("udp", 5060))
    assert found.dns


def test_a_wrong_network_is_refused() -> None:
    """With the rule."""
    field = KINDS["site"].fields["nets"]
    for text in ("10.1.0.1/16", "fd00::/129", "ten", "10.0.0.0/8 "):
        with pytest.raises(ValueError, match="must be like"):
            field.type.check([text])
    assert field.type.check(["10.1.0.0/16", "fd00:1::/48"]) == ("10.1.0.0/16", "fd00:1::/48")
