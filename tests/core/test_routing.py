"""Where calls go with objects of every kind: forwards, groups, services, the outside, inbound numbers, sites, classes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import pytest

from pbxfed_ari.core.effects import Leg, Outside
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.objects.time import LocalTime
from pbxfed_ari.core.routing.explaining import Explained, explain
from pbxfed_ari.core.routing.route import route
from pbxfed_ari.core.routing.tries import (
    ABSENT,
    BUSY,
    CONGESTION,
    LOOP,
    NO_ROUTE,
    REJECTED,
    UNALLOCATED,
    Asking,
    Lead,
    Route,
)
from pbxfed_ari.core.routing.tries import View as Viewed
from tests.core.test_route import A, B, C, View, ask, make


@dataclass
class Busy:
    """What goes on here, as the test says."""

    calls: dict[str, int] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)
    outside: dict[str, tuple[int, int]] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    sites: dict[str, int] = field(default_factory=dict)
    by: dict[str, int] = field(default_factory=dict)

    def calls_of(self, number: str) -> int:
        return self.calls.get(number, 0)

    def engaged(self, number: str) -> bool:
        return False

    def ahead(self, queue: str) -> bool:
        return False

    def last_call(self, number: str) -> float:
        return self.last.get(number, 0.0)

    def in_vain(self, number: str) -> float:
        return 0.0

    def outside_of(self, number: str) -> tuple[int, int]:
        return self.outside.get(number, (0, 0))

    def on_line(self, line: str) -> int:
        return self.lines.get(line, 0)

    def sent(self, line: str) -> dict[str, int]:
        return self.by

    def between(self, site: str) -> int:
        return self.sites.get(site, 0)

    def may_bridge(self) -> bool:
        return True

    def hurried(self) -> bool:
        return False

    def heard(self, peer: str, trunk: str) -> float:
        return 0.0

    def needed(self, peer: str, trunk: str) -> float:
        return 0.0

    def trunks(self, node: NodeName, view: Viewed) -> Sequence[str]:
        return view.trunks(node)


def legs(found: Route) -> list[Any]:
    return [attempt.legs for attempt in found.tries]


def view(*items: Any, **more: Any) -> View:
    return View(A, items=items, trunks=("sip",), **more)


def ext(number: str, **fields: Any) -> Any:
    return make("extension", number, **fields)


# --- extensions


def test_every_call_is_forwarded() -> None:
    """To where it says, with both reasons."""
    found = ask("1001", view(ext("1001", forward_always="1002")))
    assert (found.number, legs(found)) == ("1002", [(Leg(),)])
    assert found.tries[0].reason.startswith("1001 forwards every call to 1002; 1002 is registered")


def test_forwards_that_go_round_end_with_a_clear_cause() -> None:
    """However long the way round is."""
    there = view(ext("1001", forward_always="1002"), ext("1002", forward_always="1001"))
    found = ask("1001", there)
    assert (found.tries, found.cause) == ((), LOOP)
    assert "1001 → 1002 → 1001" in found.reason
    chain = [ext(f"10{i:02}", forward_always=f"10{i + 1:02}") for i in range(1, 20)]
    assert ask("1001", view(*chain)).cause == LOOP


def test_do_not_disturb_is_busy_and_goes_where_the_busy_go() -> None:
    """No phone rings."""
    found = ask("1001", view(ext("1001", dnd=True, forward_busy="1002")))
    assert (found.tries, found.cause) == ((), BUSY)
    way = found.after("busy")
    assert way is not None
    assert way.to == "1002"


def test_what_follows_on_each_outcome_is_explained() -> None:
    """As far as the forwards go."""
    there = view(
        ext("1001", forward_busy="1002", forward_no_answer="1003"),
        ext("1002", forward_busy="1001"),
    )
    found = explain(Asking("1001", "1009"), there, Busy())
    ways = {way.outcome: after for way, after in found.then}
    assert set(ways) == {"busy", "no_answer"}
    assert ways["no_answer"].route.number == "1003"
    ((_, loop),) = ways["busy"].then
    assert loop.route.cause == LOOP


def test_what_follows_on_a_large_group_is_explained_in_short() -> None:
    """A place to which every outcome leads is looked at once; who is left out is said once."""
    members = [ext(f"10{i:02}", dnd=bool(i % 2)) for i in range(100)]
    hunt = group(strategy="hunt", members=tuple(one.key for one in members), overflow="1000")
    found = explain(Asking("600", "1999"), view(hunt, *members), Busy())
    assert len({id(after) for _, after in found.then}) == 1 < len(found.then)
    said = [attempt.reason for attempt in found.route.tries]
    assert sum("1001 is not to be disturbed" in reason for reason in said) == 1 < len(said)


def test_who_forwards_to_a_group_is_explained_as_who_pays_for_where_that_sends_it() -> None:
    """As in the call itself: not who calls."""
    to, barred = (
        group(members=("1002",), overflow="0900123"),
        make("class", "x", allow=["_1XXX", "600"]),
    )
    for forwards, calls, causes in ("x", "", {REJECTED}), ("", "x", set()):
        sends = ext("1001", forward_always="600", calling_class=forwards)
        there = view(sends, to, ext("1002"), caller(calling_class=calls), line(), barred)
        found = explain(Asking("1001", "1009"), there, Busy())
        assert found.then
        assert {after.route.cause for _, after in found.then if not after.route.tries} == causes


def test_forwards_that_fan_out_are_explained_up_to_a_bound() -> None:
    """Three ways from each of six phones would be over a thousand."""
    ways = ("forward_busy", "forward_no_answer", "forward_unreachable")
    phones = [
        ext(f"1{i}{j}", **{way: f"1{i + 1}{k}" for k, way in enumerate(ways)})
        for i in range(6)
        for j in range(3)
    ]
    found = explain(Asking("100", "1999"), view(*phones), Busy())

    def count(one: Explained) -> int:
        return 1 + sum(count(after) for _, after in one.then)

    assert 100 < count(found) < 400


def test_of_a_route_without_tries_only_what_will_happen_is_explained() -> None:
    """Do not disturb never rings out."""
    there = view(ext("1001", dnd=True, forward_busy="1002", forward_no_answer="1003"))
    found = explain(Asking("1001", "1009"), there, Busy())
    assert [way.outcome for way, _ in found.then] == ["busy"]


def test_a_phone_with_as_many_calls_as_it_may_have_is_busy() -> None:
    """Counted where it is registered."""
    there = view(ext("1001", call_limit=2))
    assert legs(route(Asking("1001", "1009"), there, Busy({"1001": 1}))) == [(Leg(),)]
    assert route(Asking("1001", "1009"), there, Busy({"1001": 2})).cause == BUSY
    assert route(Asking("1001", peer=B), there, Busy({"1001": 2})).cause == BUSY
    assert ask("1001", view(ext("1001", ring_seconds=7))).tries[0].ring_seconds == 7


# --- groups


def group(**fields: Any) -> Any:
    members = fields.pop("members", ("1001", "1002", "1003"))
    made = make("group", "600", **fields)
    return type(made)(
        id=made.id,
        key="600",
        claimed=made.claimed,
        members=members,
        strategy=made.strategy,
        overflow=made.overflow,
        ring_seconds=made.ring_seconds,
    )


def test_a_group_rings_all_its_members_on_whatever_nodes() -> None:
    """One try, a leg each; who is not to be disturbed is left out, and named."""
    there = View(B, items=[group(), ext("1002", dnd=True)], trunks=("sip",))
    found = ask("600", there)
    assert legs(found) == [(Leg(B, "sip", "1001"), Leg(B, "sip", "1003"))]
    assert "1002 is not to be disturbed" in found.tries[0].reason


def test_a_hunt_tries_one_after_the_other_in_order() -> None:
    """And goes on whatever came of it."""
    found = ask("600", view(group(strategy="hunt", members=("1003", "1001"), ring_seconds=9)))
    assert legs(found) == [(Leg(number="1003"),), (Leg(number="1001"),)]
    assert all(attempt.going_on and attempt.ring_seconds == 9 for attempt in found.tries)


def test_least_recent_and_random() -> None:
    """By when this node last rang them; by the call's own chance, the same each time it is asked."""
    there = view(group(strategy="least_recent"))
    found = route(Asking("600", "1009"), there, Busy(last={"1001": 9.0, "1003": 5.0}))
    assert [leg.number for (leg,) in legs(found)] == ["1002", "1003", "1001"]
    orders = {
        tuple(
            leg.number for (leg,) in legs(ask("600", view(group(strategy="random")), seed=f"c{i}"))
        )
        for i in range(50)
    }
    assert len(orders) == 6


def test_a_group_that_nobody_takes_goes_to_its_overflow() -> None:
    """Also if there is nobody to ring at all."""
    found = ask("600", view(group(overflow="1009")))
    assert {way.outcome: way.to for way in found.onward} == dict.fromkeys(
        ["busy", "no_answer", "unreachable"], "1009"
    )
    empty = ask("600", view(group(members=(), overflow="1009")))
    assert (empty.tries, empty.cause) == ((), ABSENT)


def test_who_calls_his_own_group_does_not_ring_himself() -> None:
    """The others do."""
    assert legs(ask("600", view(group(strategy="hunt")), "1002")) == [
        (Leg(number="1001"),),
        (Leg(number="1003"),),
    ]


# --- services


def test_a_service_leads_into_the_dialplan_of_a_node_that_has_it() -> None:
    """Here if we have it; else on the others in order; delivered there."""
    here = make("service", "*97", context="voicemail", exten="s", nodes=["b", "a"])
    assert ask("*97", view(here)).tries[0].lead == Lead("voicemail", "s")
    there = make("service", "*97", context="voicemail", nodes=["c", "b"])
    assert legs(ask("*97", view(there, cut=[C]))) == [(Leg(B, "sip"),)]
    assert ask("*97", view(there, cut=[B, C])).cause == NO_ROUTE
    arrived = ask("*97", view(here), peer=B)
    assert arrived.tries[0].lead == Lead("voicemail", "s")
    assert ask("*97", view(there), peer=B).cause == NO_ROUTE


def test_a_service_is_looked_for_last_where_somebody_is_sick_or_drained() -> None:
    """Here too; but what a peer sent here is for us."""
    every = make("service", "*97", context="voicemail", nodes=["a", "b", "c"])
    there = view(every)
    there.sick = [A, B]
    found = ask("*97", there)
    assert [t.legs for t in found.tries] == [(Leg(C, "sip"),), (), (Leg(B, "sip"),)]
    assert [bool(t.lead) for t in found.tries] == [False, True, False]
    (arrived,) = ask("*97", there, peer=B).tries
    assert arrived.lead


# --- the outside

LINE: dict[str, Any] = {"site": "main", "endpoint": "provider", "nodes": ["a"], "patterns": ["_0."]}


def line(name: str = "berlin", **fields: Any) -> Any:
    return make("trunk", name, **{**LINE, **fields})


def caller(**fields: Any) -> Any:
    return ext("1009", **fields)


def test_a_number_of_nobody_goes_out_by_a_trunk_that_can_call_it() -> None:
    """With the digits that it wants and the number that it shows."""
    there = view(caller(), line(strip=1, prepend="+49", caller_id="+4930999"))
    found = ask("030123", there)
    assert legs(found) == [(Outside("berlin", "pjsip", "provider", "+4930123", "+4930999"),)]
    assert ask("130123", there).cause == UNALLOCATED
    wide = view(caller(), line(patterns=["_."], strip=1))
    assert ask("A0900123", wide).cause == UNALLOCATED


def test_the_cheapest_first_then_the_own_sites_then_by_hash() -> None:
    """Each node of a trunk is a try of its own; what is out of reach is skipped."""
    trunks = [
        line("dear", cost=50),
        line("far", cost=5, site="munich", nodes=["b"]),
        line("near", cost=5, nodes=["a", "c"]),
    ]
    there = view(caller(), *trunks)
    found = ask("030123", there)
    assert legs(found) == [
        (Outside("near", "pjsip", "provider", "030123"),),
        (Leg(C, "sip", line="near"),),
        (Leg(B, "sip", line="far"),),
        (Outside("dear", "pjsip", "provider", "030123"),),
    ]
    alike = [line(f"t{i}") for i in range(4)]
    first = {legs(ask(f"030{n}", view(caller(), *alike)))[0][0].line for n in range(40)}
    assert first == {"t0", "t1", "t2", "t3"}


def test_of_a_trunks_nodes_those_that_are_sick_or_drained_come_last() -> None:
    """They are tried still: no line is lost."""
    there = view(caller(), line(nodes=["b", "a", "c"], spread="order"))
    there.sick = [B, A]
    assert [one.peer if isinstance(one, Leg) else "" for (one,) in legs(ask("0301", there))] == [
        C,
        B,
        "",
    ]


def test_a_line_of_another_node_is_reached_by_its_second_kind_of_trunk_too() -> None:
    """After all of its nodes have been tried by the first."""
    out = line("far", nodes=["b", "c"], spread="order")
    there = View(A, items=(caller(), out), trunks=("sip", "iax2"))
    assert legs(ask("030123", there)) == [
        (Leg(node, kind, line="far"),) for kind in ("sip", "iax2") for node in (B, C)
    ]


@pytest.mark.parametrize("inside", [("a", "b", "c"), ("b", "c", "d")], ids=["own", "others'"])
def test_a_trunks_nodes_carry_calls_by_their_capacity(inside: tuple[str, ...]) -> None:
    """None above its cap, however many calls stand; this node first as long as it is not above its own."""
    there = view(caller(), line("out", nodes=list(inside)))
    there.capacities = {"a": 100, "b": 200, "c": 400, "d": 25}
    busy = Busy()
    for count in range(1, 401):
        found = route(Asking(f"030{count}", "1009"), there, busy)
        assert {_carrier(leg) for leg in legs(found)} == set(inside)
        first = _carrier(legs(found)[0])
        busy.by[first] = busy.by.get(first, 0) + 1
        whole = sum(there.capacities[node] for node in inside)
        for node in inside:
            cap = ceil(1.25 * count * there.capacities[node] / whole)
            assert busy.by.get(node, 0) <= cap, (count, busy.by)
    if "a" in inside:
        assert busy.by["a"] == ceil(1.25 * 400 / 7)
    else:
        assert busy.by["d"] == 16


def _carrier(legs: tuple[Leg | Outside, ...]) -> str:
    return "a" if isinstance(legs[0], Outside) else str(legs[0].peer)


def test_a_trunks_nodes_may_have_an_order() -> None:
    """Of the operator's own."""
    there = view(caller(), line("out", nodes=["c", "a", "b"], spread="order"))
    found = [_carrier(leg) for leg in legs(route(Asking("0301", "1009"), there, Busy(by={"c": 9})))]
    assert found == ["c", "a", "b"]


def test_a_trunk_that_is_full_is_passed_over_and_refuses_peers() -> None:
    """The node that has the line counts it."""
    there = view(caller(), line("full", capacity=2, cost=1), line("free"))
    busy = Busy(lines={"full": 2})
    assert [o.line for (o,) in legs(route(Asking("0301", "1009"), there, busy))] == ["free"]
    refused = route(Asking("0301", peer=B, line="full"), there, busy)
    assert (refused.tries, refused.cause) == ((), CONGESTION)
    let = route(Asking("0301", peer=B, line="full"), there, Busy(lines={"full": 1}))
    assert legs(let) == [(Outside("full", "pjsip", "provider", "0301"),)]
    assert route(Asking("0301", peer=B, line="nil"), there).cause == NO_ROUTE


def test_emergency_numbers_leave_from_the_callers_own_site_as_they_were_dialed() -> None:
    """Whatever it costs, whatever the caller's class says."""
    trunks = [
        line("berlin", emergency=["112"], cost=900, strip=1, prepend="9"),
        line("munich", site="munich", emergency=["112"], cost=1),
    ]
    there = view(caller(calling_class="inside"), make("class", "inside", allow=["_1XXX"]), *trunks)
    assert legs(ask("112", there)) == [(Outside("berlin", "pjsip", "provider", "112"),)]
    other = view(caller(), trunks[1])
    found = ask("112", other)
    assert (found.tries, found.cause) == ((), NO_ROUTE)
    assert "site main has no trunk for it" in found.reason


def test_who_calls_for_help_is_not_told_that_all_lines_are_taken() -> None:
    """We count our own calls only: the provider may find room."""
    full = line("full", capacity=1, emergency=["112"], cost=1)
    busy = Busy(lines={"full": 1})
    both = view(caller(), full, line("free", emergency=["112"]))
    found = route(Asking("112", "1009"), both, busy)
    assert [o.line for (o,) in legs(found)] == ["free", "full"]
    assert legs(route(Asking("112", peer=B, line="full"), both, busy))
    assert not legs(route(Asking("0301", peer=B, line="full"), both, busy))


def test_an_emergency_number_of_another_place_takes_nobodys_calls_here() -> None:
    """One of this place goes before whoever has it."""
    far = line("munich", site="munich", emergency=["1001", "110"])
    assert ask("1001", view(far)).tries
    short = view(far, make("site", "main", prefix="71"), ext("71110"), caller())
    assert ask("110", short).number == "71110"
    near = view(far, line(emergency=["1001"]), caller())
    assert legs(ask("1001", near)) == [(Outside("berlin", "pjsip", "provider", "1001"),)]
    assert ask("110", near).cause == NO_ROUTE


CLASS = make("class", "office", deny=["_0900."], pstn_calls=1, pstn_per_hour=5)


def test_a_calling_class_says_what_may_be_dialed_and_how_much() -> None:
    """With the reason; and who is no extension may not call the outside."""
    there = view(caller(calling_class="office"), line(), CLASS)
    assert legs(ask("030123", there))
    refused = ask("0900123", there)
    assert (refused.tries, refused.cause) == ((), REJECTED)
    assert "1009 may not dial 0900123: class office denies _0900." in refused.reason
    for outside, said in ((1, 1), "at"), ((0, 5), "within an hour"):
        found = route(Asking("0301", "1009"), there, Busy(outside={"1009": outside}))
        assert found.cause == REJECTED, said
    assert ask("030123", there, "stranger").cause == REJECTED
    unknown = view(caller(calling_class="gone"), line())
    assert ask("030123", unknown).cause == REJECTED
    assert ask("1001", unknown).tries


def test_a_class_bars_what_a_trunk_makes_of_a_number() -> None:
    """Digits in front that the trunk strips hide nothing; a more particular pattern is an exception."""
    out = line(patterns=["_9."], strip=1)
    there = view(caller(calling_class="office"), out, CLASS)
    assert legs(ask("9030123", there))
    refused = ask("90900123", there)
    assert (refused.tries, refused.cause) == ((), REJECTED)
    assert "1009 may not send 0900123: class office denies _0900." in refused.reason
    plain = line("plain", patterns=["_9."], cost=900)  # another sends it as it was dialed
    assert legs(ask("90900123", view(caller(calling_class="office"), out, plain, CLASS)))
    for allow in "90900123", "0900123":
        but = make("class", "office", deny=["_0900."], allow=["_X.", allow])
        assert legs(ask("90900123", view(caller(calling_class="office"), out, but)))


def test_what_a_trunk_leaves_nothing_of_is_not_sent() -> None:
    """The next trunk may."""
    short = line(patterns=["_0!"], strip=3)
    refused = ask("012", view(caller(), short))
    assert (refused.tries, refused.cause) == ((), REJECTED)
    assert "trunk berlin strips 3 digits, and nothing is left" in refused.reason
    assert [o.line for (o,) in legs(ask("012", view(caller(), short, line("other"))))] == ["other"]


def test_who_lets_a_peers_call_out_looks_again() -> None:
    """At the trunk's patterns, and at the class of who pays, whose calls it has counted; emergencies pass."""
    out = line(emergency=["112"])
    there = view(caller(calling_class="office"), out, CLASS)

    def let(number: str, payer: str, busy: Busy | None = None) -> Route:
        asking = Asking(number, payer, peer=B, line="berlin")
        return route(asking, there, busy or Busy())

    assert legs(let("030123", "1009"))
    assert "trunk berlin is not for it" in let("130123", "1009").reason
    assert "class office denies _0900." in let("0900123", "1009").reason
    assert let("030123", "1009", Busy(outside={"1009": (1, 1)})).cause == REJECTED
    assert legs(let("112", "1009", Busy(outside={"1009": (1, 9)})))
    assert legs(let("0900123", "1077"))  # added there a moment ago: its own node has looked


def test_a_call_from_the_outside_is_not_forwarded_to_an_emergency_number() -> None:
    """Nor led there by an inbound number; who was called may transfer it there."""
    out = line(emergency=["112"])
    did = make("did", "+4930", destination="112")
    sends = ext("1001", forward_always="112")
    there = view(caller(), out, did, sends)
    assert inbound("+4930", there).cause == REJECTED
    assert route(Asking("1001", outside=True), there, Busy()).cause == REJECTED
    assert legs(route(Asking("112", "1009", outside=True), there, Busy()))
    assert legs(ask("1001", there))


def test_for_a_forwarded_call_the_class_of_who_forwards_counts() -> None:
    """Nobody calls abroad by way of somebody's forward that he may not have."""
    may = ext("1001", forward_always="0900123")
    may_not = ext("1002", forward_always="0900123", calling_class="office")
    there = view(may, may_not, caller(calling_class="office"), line(), CLASS)
    assert legs(ask("1001", there))
    assert ask("1002", there, "1005").cause == REJECTED
    assert ask("1001", there, "").tries  # also for a call from the outside


def test_a_phone_that_sends_a_peers_call_on_may_no_more_than_its_class() -> None:
    """Also where the call cannot be sent back to its own node."""
    service = make("service", "*97", context="door", exten="s")
    there = view(
        ext("1001", calling_class="inside"), service, make("class", "inside", deny=["*97"])
    )
    assert route(Asking("*97", "pf-b", peer=B), there).tries
    assert route(Asking("*97", "1001", peer=B, path=("1001",)), there).cause == REJECTED


# --- inbound numbers

OPEN, CLOSED = LocalTime("2026-11-25", 2, 600), LocalTime("2026-11-25", 2, 1_380)
OFFICE = make("time", "office", hours=["mon-fri 08:00-18:00"])


def inbound(number: str, there: View) -> Route:
    return route(Asking(number, did=True, outside=True), there)


@pytest.mark.parametrize("number", ["+4930123", "4930123"])
def test_an_inbound_number_goes_where_it_says(number: str) -> None:
    """However the provider writes it."""
    found = inbound(number, view(make("did", "+4930123", destination="1001")))
    assert (found.number, legs(found)) == ("1001", [(Leg(),)])
    assert inbound("+4999", view()).cause == UNALLOCATED


def test_at_other_times_it_goes_elsewhere() -> None:
    """Or nowhere, and the reason says why."""
    did = make("did", "+4930123", destination="1001", time="office", otherwise="1002")
    assert inbound("+4930123", view(did, OFFICE, at=OPEN)).number == "1001"
    assert inbound("+4930123", view(did, OFFICE, at=CLOSED)).number == "1002"
    alone = make("did", "+4930123", destination="1001", time="office")
    found = inbound("+4930123", view(alone, OFFICE, at=CLOSED))
    assert (found.tries, found.cause) == ((), ABSENT)
    assert "office is closed at wed 23:00" in found.reason
    assert inbound("+4930123", view(did, at=CLOSED)).number == "1001"  # unknown: open


def test_who_calls_from_the_outside_cannot_go_out_again() -> None:
    """Unless an extension forwards him."""
    did = make("did", "+4930123", destination="030999")
    assert inbound("+4930123", view(did, line())).cause == REJECTED


# --- sites


def test_short_numbers_of_a_site() -> None:
    """Two places have a 1001 each."""
    sites = [make("site", "main", prefix="71"), make("site", "munich", prefix="72")]
    there = view(*sites, ext("711001"), ext("721001"), caller(), ext("1008", site="munich"))
    assert ask("1001", there).number == "711001"
    assert ask("1001", there, "1008").number == "721001"
    assert ask("721001", there).number == "721001"
    assert ask("1002", there).number == "1002"


def test_where_an_inbound_number_or_a_group_leads_is_the_same_for_whoever_calls() -> None:
    """Short numbers are dialed by phones, and forwarded to by them."""
    sites = [make("site", "main", prefix="71"), make("site", "munich", prefix="72")]
    phones = [ext("1001"), ext("711001"), ext("721001"), ext("1008", site="munich", dnd=True)]
    there = view(*sites, *phones, group(overflow="1001", members=()))
    did = make("did", "+4930123", destination="1001")
    assert inbound("+4930123", view(*sites, *phones, did)).number == "1001"
    ((_, after), *_) = explain(Asking("600", "1008"), there, Busy()).then
    assert after.route.number == "1001"
    sends = ext("1007", site="munich", forward_always="1001")
    assert ask("1007", view(*sites, *phones, sends)).number == "721001"


def test_what_the_line_between_sites_carries() -> None:
    """Each node takes its part; a codec costs what it costs."""
    sites = {B: "munich", C: "munich"}
    narrow = make("site", "main", calls=3)
    there = View(B, items=[narrow], sites=sites, trunks=("sip",))
    assert legs(route(Asking("1001", "1009"), there, Busy(sites={"": 2}))) == [(Leg(B, "sip"),)]
    full = route(Asking("1001", "1009"), there, Busy(sites={"": 3}))
    assert (full.tries, full.cause) == ((), NO_ROUTE)
    assert "the line of site main carries 3 calls" in full.reason
    thin = make("site", "munich", kbps=70, codec="g729")
    there = View(B, items=[thin], sites=sites, trunks=("sip",))
    found = route(Asking("1001", "1009"), there, Busy(sites={"munich": 1}))
    assert legs(found) == [(Leg(B, "sip", codec="g729"),)]
    assert route(Asking("1001", "1009"), there, Busy(sites={"munich": 2})).cause == NO_ROUTE


@pytest.mark.parametrize(
    "break_it",
    [
        lambda: ask("", view()),
        lambda: ask("1001&PJSIP/x", view()),
        lambda: ask("#1", view()),
        lambda: ask("1" * 40, view()),
    ],
)
def test_what_is_no_number_is_unallocated(break_it: Callable[[], Route]) -> None:
    """Whatever was dialed."""
    assert break_it().cause == UNALLOCATED
