"""Registrations: which of those that all shelves hold stand."""

from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.records.registrations import MOST_UNSURE, Registration, Registrations
from pbxfed_ari.core.records.shelf import SINCE, Contact, encode

A, B, C = NodeName("a"), NodeName("b"), NodeName("c")
N = Extension("1001")
URI, OTHER = "sip:1001@10.0.0.7:5060", "sip:1001@10.0.0.8:5060"


def held(*places: Registration, devices: int = 2) -> Registrations:
    registrations = Registrations(lambda number: devices)
    for place in places:
        value = encode(Contact(place.stamp, place.sure))
        registrations.put(place.node, N, place.uri, value)
    return registrations


def at(node: NodeName, uri: str, second: int, *, sure: bool = True) -> Registration:
    return Registration(node, uri, SINCE + second, sure)


def everybody(node: NodeName) -> bool:
    return True


def test_of_one_contact_on_several_shelves_the_newest_stands() -> None:
    """The phone has moved."""
    old, new = at(A, URI, 1), at(B, URI, 2)
    assert held(old, new).of(N, everybody) == [new]
    assert held(old, new).of(N, lambda node: node != B) == [old]


def test_beyond_the_device_limit_the_newest_stand_newest_first() -> None:
    """Equal stamps fall to the node's name, alike everywhere."""
    first, second, third = at(C, URI, 1), at(B, OTHER, 2), at(A, "sip:1001@10.0.0.9:5060", 2)
    assert held(first, second, third).of(N, everybody) == [third, second]
    assert held(first, second, third, devices=1).of(N, everybody) == [third]


def test_one_of_unknown_time_rings_along_until_something_sure_has_happened_after_it() -> None:
    """It may be where the phone really is."""
    sure, unsure = at(A, URI, 5), at(B, OTHER, 5, sure=False)
    assert held(sure, unsure).of(N, everybody) == [sure, unsure]
    newer = at(C, URI, 6)
    assert held(sure, unsure, newer).of(N, everybody) == [newer]


def test_of_many_of_unknown_time_some_ring() -> None:
    """A call must not become as many legs as a shelf can hold."""
    many = [at(A, f"sip:1001@10.0.0.{i}:5060", i, sure=False) for i in range(1, 9)]
    assert held(*many).of(N, everybody) == many[: -MOST_UNSURE - 1 : -1]


def test_what_is_put_twice_counts_once_and_what_has_gone_not_at_all() -> None:
    """The counts are kept, not made anew."""
    registrations = held(at(A, URI, 1), at(A, URI, 2), at(B, OTHER, 3))
    assert [registrations.count_at(node) for node in (A, B, C)] == [1, 1, 0]
    assert registrations.newest_stamp(N) == SINCE + 3
    assert registrations.at(A, N) == {(N, URI)}
    assert registrations.numbers(lambda node: node == A) == [N]
    assert registrations.numbers(lambda node: node == C) == []
    registrations.put(B, N, OTHER, None)
    registrations.put(A, N, URI, None)
    assert [registrations.count_at(node) for node in (A, B)] == [0, 0]
    assert registrations.numbers() == []
    assert registrations.newest_stamp(N) == 0
