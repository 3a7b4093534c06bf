"""A daemon dies while phones ring, and is there again: what becomes of their call."""

from typing import Any

import pytest

from tests.stories.exchange import Telephony
from tests.stories.pbx import Attempt, Phone

GROUP = "600"


def ringing(control: str, first: int, after: float) -> tuple[Telephony, Attempt, list[Phone]]:
    """A call from a to 1002 of a, 1003 of b, and another device of that one at a; the `first` answers `after` seconds."""
    world = Telephony(1, "ab", control=control)
    for number in ("1001", "1002", "1003"):
        world["a"].edit(number, create=True, secret="secret-12345", devices=2)
    world["a"].put("group", GROUP, create=True, members=["1002", "1003"], strategy="all")
    world.run(1.0)
    caller = world.add("1001", "a")
    rung = [world.add(*who, "rings") for who in (("1002", "a"), ("1003", "b"), ("1003", "a"))]
    rung[first].manner, rung[first].after = "answers", after
    world.run(4.0)
    attempt = world.dial(caller, GROUP)
    world.run(1.0)
    assert len(attempt.rings) == 3
    return world, attempt, rung


def away(world: Telephony, seconds: float) -> None:
    """The daemon of a is killed, and starts again."""
    world.kill("a")
    world.run(seconds)
    world.start("a")
    world.run(1.5)


@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("after", [2.0, 6.0], ids=["while it is away", "when it is back"])
def test_several_who_ring_while_a_daemon_is_away_ring_on_and_the_first_answer_wins(
    after: float, first: int
) -> None:
    """No phone rings twice for it, wherever it is; the others stop, and nothing is left."""
    world, attempt, rung = ringing("bridge", first, after)
    away(world, 2.0)
    world.run(4.0)
    assert len(attempt.rings) == 3
    assert [len(phone.dialogs) for phone in rung] == [int(phone is rung[first]) for phone in rung]
    assert [one.state for one in world.pbxs["a"].bridges["pf-" + attempt_id(world)]] == ["Up", "Up"]
    world.hang_up(attempt.caller)
    world.run(2.0)
    assert not world.pbxs["a"].channels
    assert not world.pbxs["a"].bridges
    (record,) = world.records["a"]
    assert (record.answered, record.reached) == (True, rung[first].number)


def attempt_id(world: Telephony) -> str:
    """Of the only call at a."""
    (call,) = world["a"].switchboard
    return call.key


def test_of_several_one_may_refuse_and_the_others_ring_out() -> None:
    """Whether or not a daemon is there: then the call is over, as if it had been there all the time."""
    world, attempt, rung = ringing("bridge", 0, 2.0)
    rung[0].manner = "declines"
    away(world, 2.0)
    assert [len(phone.dialogs) for phone in rung] == [0, 1, 1]
    world.run(40.0)
    assert len(attempt.rings) == 3
    assert (attempt.cause, attempt.caller.channel) == (19, None)
    (record,) = world.records["a"]
    assert [one.outcome for one in record.attempts] == ["no_answer"]


def test_who_rings_out_in_the_moment_in_which_a_daemon_returns_does_not_ring_again() -> None:
    """After a hand-over Dial tells what came of it, while the daemon reads what stands: that is what counts."""
    for moment in range(24):
        world = Telephony(1, "a")
        world["a"].edit("1001", create=True, secret="secret-12345")
        world["a"].edit("1002", create=True, secret="secret-12345", ring_seconds=5)
        world.run(1.0)
        caller = world.add("1001", "a")
        world.add("1002", "a", "rings")
        world.run(4.0)
        attempt = world.dial(caller, "1002")
        world.run(3.0)
        world.kill("a")
        world.run(1.0 + 0.05 * moment)
        world.start("a")
        world.run(5.0)
        assert len(attempt.rings) == 1, moment
        assert attempt.cause == 19


def test_who_is_called_while_a_daemon_reads_what_stands_rings_on() -> None:
    """His leg is younger than what is read, which cannot know of it: by the other trunk, as none passes by the first."""
    for moment in range(12):
        world = Telephony(1, "ab", control="bridge")
        for number in ("1001", "1002", "1003"):
            world["a"].edit(number, create=True, secret="secret-12345")
        members = ["1002", "1003"]
        world["a"].put("group", GROUP, create=True, members=members, strategy="all")
        world.run(1.0)
        caller = world.add("1001", "a")
        rung = [world.add("1002", "a", "rings"), world.add("1003", "b", "rings")]
        world.run(4.0)
        world.block("sip", "a", "b")
        attempt = world.dial(caller, GROUP)
        world.run(1.0)
        world.deafen("a")
        world.run(0.7 + 0.02 * moment)
        world["a"].connect()
        world.run(3.0)
        assert [ring.phone for ring in attempt.rings] == rung, moment
        assert [len(phone.dialogs) for phone in rung] == [1, 1]


@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_who_is_answered_and_hangs_up_while_a_daemon_reads_what_stands_was_answered(
    control: str,
) -> None:
    """It has heard both, and tells both when it has read; that his channel is gone by then says less."""
    for moment in range(12):
        world = Telephony(1, "a", control=control)
        for number in ("1001", "1002"):
            world["a"].edit(number, create=True, secret="secret-12345")
        world.run(1.0)
        caller = world.add("1001", "a")
        world.add("1002", "a", after=2.0)
        world.run(4.0)
        world.dial(caller, "1002")
        world.run(1.5)
        world.deafen("a")
        world.run(0.495)
        world["a"].connect()
        world.run(0.03 + 0.01 * moment)
        world.hang_up(caller)
        world.run(3.0)
        (record,) = world.records["a"]
        assert record.answered, moment


@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_forwards_that_go_round_end_though_the_daemon_has_begun_anew(control: str) -> None:
    """Whom the call had come from before that is not rung for it again."""
    world = Telephony(names="ab", control=control)
    for number, to in ("1001", ""), ("1002", "1003"), ("1003", "1002"):
        fields: dict[str, Any] = {"secret": "secret-12345", "ring_seconds": 6}
        world["a"].edit(number, create=True, forward_no_answer=to, **fields)
    caller = world.add("1001", "a")
    called = [world.add("1002", "b", manner="rings"), world.add("1003", "a", manner="rings")]
    world.run(4.0)
    attempt = world.dial(caller, "1002")
    world.run(8.0)
    assert [ring.phone for ring in attempt.rings] == called
    world.kill("a")
    world.run(0.5)
    world.start("a")
    world.run(20.0)
    assert [ring.phone for ring in attempt.rings] == called
    assert attempt.ended is not None
