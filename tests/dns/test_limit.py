"""How much a stranger is answered."""

from collections import Counter

from pbxfed_ari.dns.limit import BURST, MOST, RATE, TOTAL, TOTAL_BURST, Limit, Verdict

ANSWER, TRUNCATE, DROP = Verdict


def test_a_flood_of_one_address_is_answered_little_and_told_to_come_by_tcp() -> None:
    """Others are answered meanwhile; after a pause it is answered again."""
    limit = Limit()
    said = Counter(limit.judge("192.0.2.1", i / 10_000) for i in range(100_000))
    assert BURST + 9 * RATE < said[ANSWER] < BURST + 11 * RATE
    assert abs(said[TRUNCATE] - said[DROP]) <= 1
    assert limit.judge("192.0.2.2", 10) is ANSWER
    assert limit.judge("192.0.2.1", 20) is ANSWER


def test_an_ipv6_network_is_one_asker() -> None:
    """Its 2^64 addresses are one machine's."""
    limit = Limit()
    said = [limit.judge(f"2001:db8::{i:x}", 0.0) for i in range(200)]
    assert said.count(ANSWER) == BURST
    assert limit.judge("2001:db8:0:1::1", 0.0) is ANSWER


def test_forged_addresses_without_end_are_bounded_together() -> None:
    """In answers and in memory; truncated answers are not sent instead."""
    limit = Limit()
    said = Counter(
        limit.judge(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}", i / 50_000) for i in range(100_000)
    )
    assert said[ANSWER] <= TOTAL_BURST + 2 * TOTAL + 1
    assert said[TRUNCATE] == 0
    assert len(limit._buckets) <= MOST
