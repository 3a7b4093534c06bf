"""Which servers a phone asks, in which order: RFC 3263, with the time and the chance in our hands."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from lab.dnsbox import DnsBox, Record
from lab.locating import SHUNNED, Listed, Located, NotFound, drawn
from lab.sip import Target

A, B, C = (Target(f"10.0.0.{i}", 5060) for i in (1, 2, 3))
RECORDS: dict[str, list[Record]] = {
    "_sip._udp.pbx.example.": [
        ("c.pbx.example.", 5060, 20, 100),
        ("a.pbx.example.", 5060, 10, 300),
        ("b.pbx.example.", 5070, 10, 100),
    ],
    "a.pbx.example.": ["10.0.0.1"],
    "b.pbx.example.": ["10.0.0.2"],
    "c.pbx.example.": ["10.0.0.3"],
    "bare.example.": ["10.0.0.9"],
}


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def box() -> Iterator[DnsBox]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    with DnsBox(sock, RECORDS, ttl=0) as found:
        yield found


def located(box: DnsBox, domain: str = "pbx.example", seed: int = 1) -> Located:
    resolver = Target("127.0.0.1", box.port)
    return Located(domain, [resolver], transport="udp", patience=0.2, rng=Random(seed))


async def test_a_phone_stays_where_it_is_until_that_fails() -> None:
    """The first of the list, then the second one for good; who failed is asked last, and that is forgotten."""
    clock = Clock()
    phone = Listed([A, B, C], clock=clock)
    assert await phone.targets() == [A, B, C]
    assert await phone.targets(B) == [B, A, C]
    phone.shun(A)
    assert await phone.targets() == [B, C, A]
    clock.now += 1
    phone.shun(B)
    assert await phone.targets() == [C, A, B]
    clock.now += SHUNNED
    assert await phone.targets() == [A, B, C]


async def test_srv_gives_ranks_by_priority_and_a_draw_by_weight(box: DnsBox) -> None:
    """The node c is the last resort whatever is drawn; a, of three times the weight, comes first three times as often."""
    far, near = Target("10.0.0.3", 5060), Target("10.0.0.2", 5070)
    found = [await located(box, seed=seed).targets() for seed in range(60)]
    assert all(len(one) == 3 and one[2] == far for one in found)
    assert 35 <= sum(one[0] == A for one in found) <= 55
    assert (await located(box).targets(near))[0] == near
    assert (await located(box).targets(far))[2] == far


def test_a_draw_follows_the_weights_and_leaves_nobody_out() -> None:
    """RFC 2782: also those of weight 0 come, if seldom first."""
    order = [drawn([(3, A), (1, B), (0, C)], Random(seed)) for seed in range(1_000)]
    assert all(set(one) == {A, B, C} for one in order)
    first = Counter(one[0] for one in order)
    assert 700 < first[A] < 800
    assert first[C] < 20


async def test_without_srv_the_addresses_of_the_domain_are_asked(box: DnsBox) -> None:
    assert await located(box, "bare.example").targets() == [Target("10.0.0.9", 5060)]
    assert await located(box, "nobody.example").targets() == []


async def test_an_answer_is_kept_for_its_ttl_and_used_on_if_nobody_answers() -> None:
    """A new one is seen once the old one is over; with no resolver left the old one stands."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    with DnsBox(sock, {"_sip._udp.x.": [("a.x.", 5060)], "a.x.": ["10.0.0.1"]}, ttl=0) as box:
        phone = located(box, "x")
        assert await phone.targets() == [A]
        box.records["a.x."] = ["10.0.0.2"]
        assert await phone.targets() == [B]
    assert await phone.targets() == [B]
    with pytest.raises(NotFound) as none:
        await located(box, "x").targets()
    assert str(none.value).startswith("nobody answers for x at 127.0.0.1: `up --dns`")


async def test_a_cached_answer_asks_nobody() -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    with DnsBox(sock, {"_sip._udp.x.": [("a.x.", 5060)], "a.x.": ["10.0.0.1"]}, ttl=60) as box:
        phone = located(box, "x")
        for _ in range(3):
            assert await phone.targets() == [A]
        assert box.asked == ["_sip._udp.x.", "a.x."]
