"""A trunk that is blocked while the other one works, told on a virtual clock."""

from pbxfed_ari.core.calls.detours import ASKED, FIRST, MOST, Detours
from pbxfed_ari.core.effects import Leg, Note, Tell
from pbxfed_ari.core.events import (
    Answered,
    Arrived,
    Ended,
    LegDialed,
    LegLives,
    PeerHasCall,
    PeerLostCalls,
    Returned,
    TrunksBlocked,
)
from pbxfed_ari.core.names import CallId, ChannelId
from tests.core.test_route import A, B, C, View, make
from tests.core.test_setup import WALL, Story, legs

SIP, IAX = (Leg(B, "sip"),), (Leg(B, "iax2"),)


def call(story: Story, number: int, now: float, dialed: str = "1001") -> tuple[Leg, ...]:
    """A call of this number begins; by which trunk?"""
    channel = ChannelId(f"{number}.1")
    arrived = Arrived(channel, dialed, "1009", "", fresh_id=f"f{number}", wall_ms=WALL)
    (begun,) = legs(story.at(now, arrived))
    dial(story, number, now, begun)
    return begun


def dial(story: Story, number: int, now: float, begun: tuple[Leg, ...]) -> None:
    for leg in begun:
        name = f"{'PJSIP' if leg.trunk == 'sip' else 'IAX2'}/pf-{leg.peer}-1"
        dialed = ChannelId(f"{number}.{leg.peer}{leg.trunk}")
        story.at(now, LegDialed(ChannelId(f"{number}.1"), dialed, name))


def detour(story: Story, number: int, now: float) -> None:
    """Its try is silent; the next one is heard, and it ends."""
    channel = ChannelId(f"{number}.1")
    story.at(now + 2.0)
    (begun,) = legs(story.at(now + 2.1, Returned(channel, "CHANUNAVAIL", 3)))
    dial(story, number, now + 2.1, begun)
    story.at(now + 2.2, PeerHasCall(B, CallId(f"f{number}"), 2))
    story.at(now + 2.3, Ended(channel))


def test_who_was_silent_by_one_trunk_and_is_heard_by_the_other_is_called_by_that() -> None:
    """For half a minute; then one call tries the first one anew, and the others wait for what it finds."""
    story = Story(View(B))
    assert call(story, 1, 0.0) == SIP
    detour(story, 1, 0.0)
    assert call(story, 2, 3.0) == IAX
    late = 2.2 + FIRST
    assert call(story, 3, late - 0.1) == IAX
    assert call(story, 4, late) == SIP
    assert call(story, 5, late + 0.1) == IAX
    detour(story, 4, late)
    assert call(story, 6, late + 2.2 + 2 * FIRST - 0.1) == IAX  # twice as long
    assert call(story, 7, late + 2.2 + 2 * FIRST) == SIP


def test_the_blocked_trunk_is_the_second_way_still() -> None:
    """Nothing is forbidden."""
    story = Story(View(B))
    call(story, 1, 0.0)
    detour(story, 1, 0.0)
    assert call(story, 2, 3.0) == IAX
    back = Returned(ChannelId("2.1"), "CHANUNAVAIL", 3)
    assert legs(story.at(3.1, back)) == [SIP]


def test_by_any_sign_of_life_it_is_over() -> None:
    """Of a call that tries it anew. A call that rang there before tells nothing of now."""
    story = Story(View(B))
    call(story, 9, 0.0)
    story.at(0.1, PeerHasCall(B, CallId("f9"), 1))
    call(story, 1, 0.2)
    detour(story, 1, 1.0)
    story.at(5.0, LegLives(ChannelId("9.1"), ChannelId("9.bsip"), "RINGING"))
    assert call(story, 2, 6.0) == IAX
    assert call(story, 3, 3.3 + FIRST) == SIP
    story.at(3.4 + FIRST, PeerHasCall(B, CallId("f3"), 1))
    assert call(story, 4, 3.5 + FIRST) == SIP


def test_it_is_told_when_it_begins_and_when_it_ends() -> None:
    """With what to do; once."""
    story = Story(View(B))
    board, view = story.board, story.view
    call(story, 1, 0.0)
    story.at(2.0)
    story.at(2.1, Returned(ChannelId("1.1"), "CHANUNAVAIL", 3))
    told = board.handle(PeerHasCall(B, CallId("f1"), 2), 2.2, view)
    (blocked,) = [e for e in told if isinstance(e, Note)]
    assert (blocked.event, blocked.level) == ("trunk_blocked", "warning")
    assert dict(blocked.fields)["trunk"] == "sip"
    assert board.usage.detours.avoided(3.0) == [(B, "sip")]
    (warning,) = board.usage.detours.warnings(3.0)
    assert warning.startswith("calls to b by sip show no sign of life")
    call(story, 2, 40.0)
    told = board.handle(PeerHasCall(B, CallId("f2"), 1), 40.1, view)
    assert [e.event for e in told if isinstance(e, Note)] == ["trunk_works_again"]
    assert not board.usage.detours


def test_who_answers_others_by_it_has_too_much_to_do_and_is_not_blocked() -> None:
    """The one call is led by the other trunk; the next ones begin as ever, and no operator is told of a firewall."""
    story = Story(View(B))
    call(story, 1, 0.0)
    call(story, 2, 1.0)
    story.at(1.5, PeerHasCall(B, CallId("f2"), 1))
    assert story.at(2.0) == []
    detour(story, 1, 6.0)
    assert not story.board.usage.detours
    assert call(story, 3, 9.0) == SIP


def test_what_a_death_makes_silent_is_no_detour() -> None:
    """Nor a node out of reach: the other trunk works when that is back, and so does the first one."""
    for dies in True, False:
        story = Story(View(B))
        call(story, 1, 0.0)
        story.view.cut = () if dies else (B,)
        story.at(1.0, *([PeerLostCalls(B)] if dies else []))
        story.view.cut = ()
        (begun,) = legs(story.at(1.1, Returned(ChannelId("1.1"), "CHANUNAVAIL", 3)))
        dial(story, 1, 1.1, begun)
        story.at(1.2, PeerHasCall(B, CallId("f1"), 2))
        assert call(story, 2, 3.0) == SIP


def test_silence_by_both_is_no_detour() -> None:
    """It is a node that hangs."""
    story = Story(View(B))
    call(story, 1, 0.0)
    story.at(2.0)
    (begun,) = legs(story.at(2.1, Returned(ChannelId("1.1"), "CHANUNAVAIL", 3)))
    dial(story, 1, 2.1, begun)
    story.at(2.5)
    story.at(2.6, Returned(ChannelId("1.1"), "CHANUNAVAIL", 3))
    assert call(story, 2, 3.0) == SIP


def test_of_several_that_ring_together_each_goes_its_own_way() -> None:
    """C is called by its other trunk from the beginning: its phone rings with the others."""
    story = Story(View(B, C))
    begun = call(story, 1, 0.0)
    assert begun == (Leg(B, "sip"), Leg(C, "sip"))
    story.at(0.1, PeerHasCall(B, CallId("f1"), 1))
    story.at(2.0)
    (second,) = legs(story.at(2.1, Returned(ChannelId("1.1"), "BUSY", 17)))
    assert second == (Leg(C, "iax2"),)
    dial(story, 1, 2.1, second)
    story.at(2.2, PeerHasCall(C, CallId("f1"), 2))
    assert call(story, 2, 3.0) == (Leg(B, "sip"), Leg(C, "iax2"))


def test_who_was_silent_beside_one_who_answered_is_called_by_the_other_trunk_the_next_time() -> (
    None
):
    """That it works is not known yet, and not told; the next call shows it."""
    story = Story(View(B, C))
    call(story, 1, 0.0)
    story.at(0.1, PeerHasCall(B, CallId("f1"), 1))
    story.at(2.0)
    story.at(3.0, Answered(ChannelId("1.1"), ChannelId("1.bsip")))
    detours = story.board.usage.detours
    assert detours.avoided(3.0) == []
    assert call(story, 2, 4.0) == (Leg(B, "sip"), Leg(C, "iax2"))
    told = story.board.handle(PeerHasCall(C, CallId("f2"), 1), 4.1, story.view)
    assert [e.event for e in told if isinstance(e, Note)] == ["trunk_blocked"]
    assert detours.avoided(5.0) == [(C, "sip")]


def test_a_queue_does_not_go_back_to_the_blocked_trunk() -> None:
    """A member is rung by the other one from then on, by this caller's call and by the next."""
    queue = make("queue", "700", members=["1001"], ring_seconds=10)
    story = Story(View(B, items=[queue]))
    story.view.standing = [A]
    story.at(1.0, Arrived(ChannelId("1.1"), "700", "1009", "", fresh_id="f1", wall_ms=WALL))
    dial(story, 1, 1.0, (Leg(B, "sip", "1001"),))
    story.at(3.0)
    story.at(3.1, Returned(ChannelId("1.1"), "CHANUNAVAIL", 3))
    (second,) = legs(story.at(8.5))
    assert second == (Leg(B, "iax2", "1001"),)
    dial(story, 1, 8.5, second)
    story.at(8.6, PeerHasCall(B, CallId("f1"), 2))
    story.at(18.5, Returned(ChannelId("1.1"), "NOANSWER", 19))
    assert legs(story.at(24.0)) == [(Leg(B, "iax2", "1001"),)]


def test_the_pause_has_an_end() -> None:
    """Ten minutes at most; and what nobody has tried for long is not told any more."""
    detours, now = Detours(), 0.0
    detours.found(B, "sip", "iax2", now)
    pauses = []
    for _ in range(8):
        began = now
        while detours.order(B, ("sip", "iax2"), now)[0] == "iax2":
            now += 10.0
        pauses.append(now - began)
        detours.tries(B, "sip", now)
        assert detours.order(B, ("sip", "iax2"), now + ASKED - 0.1) == ["iax2", "sip"]
        assert detours.order(B, ("sip", "iax2"), now + ASKED) == ["sip", "iax2"]
        assert detours.found(B, "sip", "iax2", now) == []
    assert pauses == [30.0, 60.0, 120.0, 240.0, 480.0, 600.0, 600.0, 600.0]
    assert detours.avoided(now + 2 * MOST - 1.0) == [(B, "sip")]
    assert detours.avoided(now + 2 * MOST) == []


def test_what_is_proved_to_be_blocked_is_told_once_and_its_end_too() -> None:
    """Not before the other trunk has shown life: a dead peer is no blocked trunk."""
    story = Story(View(B))
    call(story, 1, 0.0)
    story.at(2.0)
    assert told(story, 2.0) == []
    (begun,) = legs(story.at(2.1, Returned(ChannelId("1.1"), "CHANUNAVAIL", 3)))
    dial(story, 1, 2.1, begun)
    story.at(2.2, PeerHasCall(B, CallId("f1"), 2))
    assert told(story, 2.3) == [frozenset({(B, "sip")})]
    assert told(story, 3.0) == []
    assert told(story, 2.3 + FIRST + MOST) == [frozenset()]


def told(story: Story, now: float) -> list[frozenset[tuple[str, str]]]:
    events = [e.event for e in story.board.tick(now, story.view) if isinstance(e, Tell)]
    return [e.ways for e in events if isinstance(e, TrunksBlocked)]
