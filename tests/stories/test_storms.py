"""Storms over calls; `make stories` has more of them. What they have found stands as tests of its own in tests/core."""

from functools import partial
from typing import Any

import pytest

from pbxfed_ari.core.calls.call import Phase
from pbxfed_ari.core.events import AsteriskDown, AsteriskUp, SipSaid
from pbxfed_ari.core.names import Extension, NodeName
from tests.stories.exchange import Telephony
from tests.stories.lines import Lines
from tests.stories.pbx import Phone
from tests.stories.promises import Promises
from tests.stories.storm import STORMS, play


@pytest.mark.parametrize("kind", STORMS)
def test_what_must_hold_holds(kind: str) -> None:
    """Who is ready is rung, nobody is cut, no phone rings twice or for nobody, each call ends, has a record, and is gone."""
    assert play(kind, seed=1) == []


def test_what_was_out_of_reach_while_it_rang_leads_on_later() -> None:
    """It rings anew, somewhere else, and then for its whole time: that is no word of a phone that was not kept."""
    assert play("all", seed=57721032) == []


@pytest.mark.parametrize(("kind", "seed"), [("frames", 69314033), ("transfers amid all", 69314019)])
def test_what_a_lost_frame_or_answer_has_delayed_is_no_fault(kind: str, seed: int) -> None:
    """A phone heard late of its turn; a transfer had to wait for what ARI was asked before."""
    assert play(kind, seed) == []


def two(names: str, after: float, control: str = "handover") -> tuple[Telephony, Phone, Phone]:
    """These nodes; 1001 at the first, and 1002 at the last, which answers so many seconds after it rings."""
    world = Telephony(names=names, control=control)
    for number in "1001", "1002":
        world["a"].edit(number, create=True, secret="secret-12345")
    return world, world.add("1001", names[0]), world.add("1002", names[-1], after=after)


@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_a_call_is_answered_at_another_node(control: str) -> None:
    """The simulated Asterisks do what they are asked: else nothing could go wrong either."""
    world, caller, called = two("ab", after=2.0, control=control)
    world.run(1.0)
    attempt = world.dial(caller, "1002")
    world.run(1.0)
    assert attempt.heard[-1:] == ["ring"]
    world.run(3.0)
    assert caller.channel is not None
    assert caller.channel.with_whom() is not None
    assert attempt.answered is not None
    world.hang_up(called)
    world.run(2.0)
    assert (attempt.cause, len(called.dialogs)) == (16, 0)
    assert [len(world.records[name]) for name in "ab"] == [1, 1]


@pytest.mark.parametrize("step", [-3_600, 60, 3_600])
@pytest.mark.parametrize("name", ["a", "b"])
def test_a_call_comes_about_though_a_clock_was_set_a_moment_ago(name: str, step: int) -> None:
    """Before its node has read it: what comes is not held for late, at the one nor at the other."""
    world, caller, called = two("ab", after=2.0)
    world.run(40.0)
    world.set_clock(name, step)
    attempt = world.dial(caller, "1002")
    world.run(0.5)
    assert [ring.phone for ring in attempt.rings] == [called]


@pytest.mark.parametrize("moment", [0.3, 0.8, 2.0, 5.0])
def test_a_call_comes_about_though_a_daemon_has_just_begun_and_its_clock_is_fast(
    moment: float,
) -> None:
    """Of its peers' clocks it has heard nothing yet: so it knows of nobody that he is late."""
    world, caller, called = two("ab", after=2.0)
    world.set_clock("b", 58)
    world.run(40.0)
    world.kill("b")
    world.run(0.5)
    world.start("b")
    world.run(moment)
    attempt = world.dial(caller, "1002")
    world.run(0.7)
    assert [ring.phone for ring in attempt.rings] == [called]


@pytest.mark.parametrize("home", ["a", "b"])
@pytest.mark.parametrize("skew", [0, -40, 40])
def test_a_call_from_another_site_rings_at_once(home: str, skew: int) -> None:
    """Only who speaks for that site says what its clock shows; who is off, and nobody knows it, is asked at most."""
    sites = {"a": "one", "b": "one", "c": "two", "d": "two"}
    world = Telephony(names="abcd", sites=sites)
    for number in "1001", "1002":
        world["a"].edit(number, create=True, secret="secret-12345")
    world.run(1.0)
    caller, called = world.add("1001", home), world.add("1002", "d", manner="rings")
    world.set_clock(home, skew)
    world.run(60.0)
    attempt = world.dial(caller, "1002")
    world.run(1.0 if skew else 0.2)
    assert [ring.phone for ring in attempt.rings] == [called]


@pytest.mark.parametrize("control", ["handover", "bridge"])
@pytest.mark.parametrize("sip", [True, False])
def test_what_rings_at_an_asterisk_that_hangs_is_called_by_another(control: str, sip: bool) -> None:
    """Its daemon says so, and its SIP does not answer; if that does, only ARI hangs, and the phone rings on."""
    world, caller, called = two("abc", after=30.0, control=control)
    world.run(4.0)
    attempt = world.dial(caller, "1002")
    world.run(1.0)
    world["c"].handle(AsteriskDown("it hangs"))
    world.run(0.5)
    world["a"].handle(SipSaid(NodeName("c"), sip))
    called.dialogs.clear()  # it may have a second call
    world.run(2.0)
    assert [ring.by for ring in attempt.rings] == (["c"] if sip else ["c", "a"])


@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_who_calls_as_an_asterisk_begins_to_hang_is_heard_by_another(control: str) -> None:
    """Its trunks are silent before its daemon can know it; if it does not say so the call ends soon."""
    world, caller, called = two("abc", after=30.0, control=control)
    world.run(4.0)
    for kind in "sip", "iax2":
        world.block(kind, "a", "c")
    attempt = world.dial(caller, "1002")
    world.run(2.75)
    world["c"].handle(AsteriskDown("it hangs"))
    world.run(0.5)
    assert [(ring.phone, ring.by) for ring in attempt.rings] == [(called, "a")]
    world.hang_up(caller)
    world["c"].handle(AsteriskUp("22.10.1", restarted=False))
    world.run(4.0)
    attempt = world.dial(caller, "1002")
    world.run(3.5)
    assert (attempt.rings, attempt.cause) == ([], 34)


def test_what_a_dead_asterisk_had_let_ring_leads_nowhere() -> None:
    """The phone rings on for a while, and says then where to go; but nobody hears it."""
    world, caller, called = two("ab", after=8.0)
    world["a"].edit("1004", create=True, secret="secret-12345")
    called.manner = "1004"
    world.add("1004", "a", manner="rings")
    world.run(4.0)
    attempt = world.dial(caller, "1002")
    world.run(0.5)
    world.kill_asterisk("b")
    world.run(0.2)
    world.start_asterisk("b")
    world.run(10.0)
    assert attempt.ended is not None
    assert Promises(world).broken() == []


def test_who_is_not_rung_is_found_out() -> None:
    """And who is rung only by the second kind of trunk, though nothing is known to be blocked."""
    world, caller, _ = two("ab", after=0.5)
    world.run(4.0)
    world.dial(caller, "1002")
    world.run(4.0)
    assert Promises(world).broken() == []
    world.hang_up(caller)
    world.run(1.0)
    world.blocked = {("sip", "a", "b"), ("iax2", "a", "b")}
    world.dial(caller, "1002")
    world.run(10.0)
    world.blocked = {("sip", "a", "b")}
    world.dial(caller, "1002")
    world.run(10.0)
    first, second = Promises(world).broken()
    assert "not at all" in first
    assert "only at" in second


def test_who_answers_and_hears_nobody_is_found_out() -> None:
    """Who calls has hung up by himself: that is nobody's fault."""
    world, caller, _ = two("a", after=0.5)
    world.run(4.0)
    attempt = world.dial(caller, "1002")
    assert caller.channel is not None
    world.after(0.6, partial(caller.channel.end, 16, "somebody"))
    world.run(4.0)
    (wrong,) = Promises(world).broken()
    assert wrong.startswith("no talk: 1002")
    caller.acted.append(attempt.began + 0.6)
    assert Promises(world).broken() == []


def test_of_two_who_answer_at_once_one_talks_though_he_transfers_at_once() -> None:
    """That is enough. Nobody takes the transferred one, who is the number that he is sent to: he comes back, a third answer."""
    world, caller, called = two("ab", after=1.0)
    world["a"].edit("1004", create=True, secret="secret-12345")
    world["a"].put("group", "600", create=True, members=["1002", "1004"], strategy="all")
    other = world.add("1004", "b", after=1.0)
    world.run(4.0)
    attempt = world.dial(caller, "600")
    world.run(1.5)
    assert [ring.answered < world.now for ring in attempt.rings] == [True, True]
    (winner,) = [phone for phone in (called, other) if world.talks(phone)]
    world.transfer(winner, caller.number)
    world.run(4.0)
    assert len(world.answers) == 3
    assert Promises(world).broken() == []


def test_who_cuts_a_conversation_is_found_out() -> None:
    """The storms can fail."""
    world, caller, _ = two("ab", after=0.5)
    world.run(1.0)
    world.dial(caller, "1002")
    world.run(2.0)
    (call,) = world["a"].switchboard
    world["a"].perform(call.clear())
    world.run(0.5)
    assert len(world.wrong) == 1


def test_who_is_handed_over_while_a_daemon_reads_is_in_one_call() -> None:
    """A member of a queue has rested while the daemon, which had lost its websocket, reads who waits for it."""
    for moment in range(12):
        world, caller, called = two("a", after=0.3)
        world["a"].put("queue", "700", create=True, members=["1002"], strategy="hunt")
        called.manner = "declines"
        world.run(1.0)
        attempt = world.dial(caller, "700")
        world.run(4.0)
        called.manner = "answers"
        world.deafen("a")
        world.run(0.8 + 0.05 * moment)
        world["a"].connect()
        world.run(10.0)
        assert [ring.phone for ring in attempt.rings] == [called, called]
        (call,) = world["a"].switchboard
        assert call.phase is Phase.TALKING
        world.hang_up(caller)
        world.run(2.0)
        assert len(world.records["a"]) == 1


@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_nobody_is_rung_for_who_has_hung_up_in_a_queue_of_another_node(control: str) -> None:
    """No trunk passes any more, and none can tell of his end: the daemons still hear one another."""
    world, caller, called = two("ab", after=0.3, control=control)
    view = world["a"].federation.view
    number = next(n for n in map(str, range(700, 800)) if view.home(Extension(n)) == "b")
    world["a"].put("queue", number, create=True, members=["1002"], strategy="hunt")
    called.manner = "declines"
    world.run(1.0)
    attempt = world.dial(caller, number)
    world.run(2.0)
    for kind in "sip", "iax2":
        world.block(kind, "a", "b")
    world.hang_up(caller)
    world.run(20.0)
    assert [ring.phone for ring in attempt.rings] == [called]
    assert len(world.records["b"]) == 1


def queue(members: list[str]) -> tuple[Telephony, Phone, Phone]:
    """A queue at the one node, where 1001 and 1004 call, and the first of its members, who lets it ring."""
    world, caller, called = two("a", after=0.3)
    world["a"].edit("1004", create=True, secret="secret-12345")
    world["a"].put("queue", "700", create=True, members=members, strategy="hunt", ring_seconds=5)
    world.run(4.0)
    return world, caller, called


def test_who_is_rung_for_when_a_daemon_dies_keeps_his_place() -> None:
    """Who waits meanwhile is taken anew, and stands behind him: so he is served first, and the storms do not mind."""
    world, first, called = queue(["1002"])
    called.manner = "rings"
    second = world.add("1004", "a")
    one = world.dial(first, "700")
    world.run(1.0)
    other = world.dial(second, "700")
    world.run(1.0)
    world.kill("a")
    world.run(0.5)
    world.start("a")
    world.run(12.0)
    assert [len(attempt.rings) for attempt in (one, other)] == [2, 0]
    assert list(Lines(world).broken()) == []


def test_who_is_cut_as_a_member_answers_is_found_out() -> None:
    """But for by a phone: the member may transfer him at once, and who is busy then lets the call end."""
    world, caller, called = queue(["1002"])
    attempt = world.dial(caller, "700")
    assert caller.channel is not None
    world.after(0.5, partial(caller.channel.end, 17, "somebody"))
    world.run(2.0)
    (wrong,) = Lines(world).broken()
    assert wrong.startswith("hung up: 1001")
    called.acted.append(attempt.began + 0.45)
    assert Lines(world).broken() == []


def test_who_is_cut_as_the_member_that_has_answered_dies_is_not_waiting() -> None:
    """An Asterisk takes who talks by it along, a moment after the answer, too: no promise of the queue is broken."""
    world, caller, _ = two("ab", after=1.0)
    world["a"].put("queue", "702", create=True, members=["1002"], strategy="hunt")
    world.run(4.0)
    attempt = world.dial(caller, "702")  # which stands at a
    world.run(1.2)
    assert attempt.rings[0].answered <= world.now
    world.kill_asterisk("b")
    world.run(3.0)
    assert attempt.ended is not None
    assert Lines(world).broken() == []


def test_a_member_of_whom_nothing_was_heard_has_his_turn_when_his_node_is_back() -> None:
    """His phone has rung for a moment, or never: nobody can tell. To leave him out could cost the call."""
    world, caller, called = two("ab", after=1.0)
    world["a"].edit("1004", create=True, secret="secret-12345")
    members = ["1002", "1004"]
    world["a"].put("group", "600", create=True, members=members, strategy="hunt", ring_seconds=5)
    other = world.add("1004", "a", manner="rings")
    world.run(4.0)
    world.cut(["b"], one_way=True)
    attempt = world.dial(caller, "600")
    world.run(3.0)
    world.heal()
    world.run(10.0)
    assert [ring.phone for ring in attempt.rings] == [called, other, called]
    assert attempt.answered is not None


@pytest.mark.parametrize("home", ["a", "b"])
@pytest.mark.parametrize("deaths", [1, 2])
@pytest.mark.parametrize("number", ["600", "1005", "1006"])
def test_who_has_refused_is_not_rung_again_for_a_caller_whose_daemon_was_away(
    home: str, deaths: int, number: str
) -> None:
    """The other one rings out meanwhile, and nobody has seen it: he is rung once more, and the caller hears what came of it.

    So if it had come to these from another number, whose phone does not answer, or stands nowhere.
    """
    world, caller, called = two("ab", after=0.3, control="bridge")
    world["a"].edit("1004", create=True, secret="secret-12345")
    world["a"].put("group", "600", create=True, members=["1002", "1004"], ring_seconds=5)
    more: dict[str, Any] = {"create": True, "secret": "secret-12345"}
    world["a"].edit("1005", ring_seconds=2, forward_no_answer="600", **more)
    world["a"].edit("1006", forward_unreachable="600", **more)
    world.add("1005", "a", manner="rings")
    called.manner = "declines"
    other = world.add("1004", home, manner="rings")
    world.run(4.0)
    attempt = world.dial(caller, number)
    world.run(2.0 * (number == "1005"))
    for _ in range(deaths):
        world.run(3.0)
        world.kill("a")
        world.run(3.0)
        world.start("a")
    world.run(12.0)
    assert [ring.phone for ring in attempt.rings].count(called) == 1
    assert [ring.phone for ring in attempt.rings].count(other) >= 2
    assert attempt.cause == 19


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("home", ["a", "b"])
def test_who_has_refused_unseen_is_rung_once_more_and_who_has_been_heard_to_is_not(
    home: str, restarts: bool, gone: bool
) -> None:
    """The websocket is away while he does; maybe the daemon was before, and has found him ringing; or he leaves then."""
    for number, members in ("1002", []), ("600", ["1004"]):
        world, caller, called = two("ab", after=6.0, control="bridge")
        world["a"].edit("1004", create=True, secret="secret-12345")
        group = {"members": ["1002", "1004"], "ring_seconds": 20}
        world["a"].put("group", "600", create=True, **group)
        world.add("1004", home, manner="declines", after=0.3)
        called.manner = "declines"
        world.run(4.0)
        attempt = world.dial(caller, number)
        world.run(2.0)
        if restarts:
            world.kill("a")
            world.run(1.0)
            world.start("a")
        world.run(2.0)
        world.deafen("a")
        world.run(3.0)
        if gone:
            world.pbxs["b"].contacts["1002"].remove(called)
        world["a"].connect()
        world.run(20.0)
        rung = [ring.phone for ring in attempt.rings]
        assert sorted(map(str, rung)) == ["1002"] * (1 if gone else 2) + members
        if members or not gone:
            assert attempt.cause == 17


def test_if_all_have_refused_or_gone_a_caller_whose_daemon_was_away_is_told_busy() -> None:
    """Nobody is left to be rung."""
    world, caller, called = two("ab", after=0.3, control="bridge")
    world["a"].edit("1004", create=True, secret="secret-12345")
    world["a"].put("group", "600", create=True, members=["1002", "1004"], ring_seconds=5)
    called.manner = "declines"
    other = world.add("1004", "a", manner="rings")
    world.run(4.0)
    attempt = world.dial(caller, "600")
    world.run(3.0)
    world.kill("a")
    world.pbxs["a"].contacts["1004"].remove(other)
    world.run(3.0)
    world.start("a")
    world.run(5.0)
    assert [ring.phone for ring in attempt.rings].count(called) == 1
    assert attempt.cause == 17


@pytest.mark.parametrize("lived", [0.5, 1.5], ids=["not written down", "written down"])
@pytest.mark.parametrize("control", ["handover", "bridge"])
@pytest.mark.parametrize("destination", ["1002", "600"])
def test_a_call_from_the_outside_goes_on_if_its_daemon_is_restarted_while_it_rings(
    lived: float, control: str, destination: str
) -> None:
    """Its channel stands at the number that was rung, which is no inbound number: where that leads on holds."""
    world, _, called = two("ab", after=3.0, control=control)
    called.manner = "rings"
    world["a"].edit("1004", create=True, secret="secret-12345")
    world["a"].edit("1002", ring_seconds=5, forward_no_answer="1004")
    group = {"members": ["1002"], "ring_seconds": 5, "overflow": "1004"}
    world["a"].put("group", "600", create=True, **group)
    world["a"].put("did", "+49301", create=True, destination=destination)
    caller, last = world.add_outside("0301", "a"), world.add("1004", "b", after=0.5)
    world.run(4.0)
    attempt = world.dial(caller, "+49301")
    world.run(lived)
    world.kill("a")
    world.run(1.0)
    world.start("a")
    world.run(10.0)
    assert [ring.phone for ring in attempt.rings] == [called, last]
    assert attempt.answered is not None
    world.hang_up(caller)
    world.run(2.0)
    (record,) = world.records["a"]
    assert record.outside
