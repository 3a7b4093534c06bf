"""One node's judgement of its peers: when it asks, when it accuses, and when it doubts itself."""

from random import Random

import pytest

from pbxfed_ari.core.effects import Broadcast, Effect, Note, SendTo, Tell
from pbxfed_ari.core.events import PeerLostCalls
from pbxfed_ari.core.membership.condition import Condition
from pbxfed_ari.core.membership.member import State
from pbxfed_ari.core.membership.members import Members
from pbxfed_ari.core.membership.timing import LAN, WAN, Timing
from pbxfed_ari.core.messages import Ack, Down, Heartbeat, Hello, Probe, ProbeFor, Suspect
from pbxfed_ari.core.names import NodeName

BEAT = Heartbeat(1, 1)


def members(*names: str, timing: Timing = LAN) -> Members:
    """Node "a", which has met these at time 0."""
    ours = Members(NodeName("a"), 7, rng=Random(1), timing=timing)
    for name in names:
        (question,) = ours.meet(Hello(name, 1, name, 8781), 0.0)
        assert isinstance(question, SendTo)
        assert isinstance(question.message, Probe)
        ours.handle(NodeName(name), Ack(question.message.nonce), (name, 8781), 0.0)
    return ours


def states(ours: Members) -> dict[str, str]:
    return {peer.name: peer.state.value for peer in ours}


def live(ours: Members, until: float, beating: str = "", since: float = 0.0) -> list[Effect]:
    """Time passes from `since`; these peers beat twice a second."""
    effects: list[Effect] = []
    now, beat = since, since
    while now < until:
        beat = beat + 0.5 if beat <= now else beat
        now = min(max(now, ours.next_deadline()), beat, until)
        effects += ours.tick(now, 0.0)
        if now == beat:
            for name in beating:
                effects += ours.heard(NodeName(name), 1, now)
    return effects


def said(effects: list[Effect]) -> list[str]:
    return [effect.what for effect in effects if isinstance(effect, Note)]


@pytest.mark.parametrize(
    ("nodes", "period"), [(1, 0.5), (125, 0.5), (128, 0.512), (256, 1.024), (1_000, 4.0)]
)
def test_the_period_grows_so_that_nobody_hears_more_than_250_a_second(
    nodes: int, period: float
) -> None:
    """A large site is slower, never a flood."""
    assert LAN.stretched(nodes) == pytest.approx(period)


@pytest.mark.parametrize(("timing", "seconds"), [(LAN, 2.1), (WAN, 8.2)])
def test_a_silent_peer_is_down_after(timing: Timing, seconds: float) -> None:
    """The sum of the steps; on a WAN less than ten seconds."""
    ours = members("b", timing=timing)
    live(ours, seconds - 0.01)
    assert states(ours) == {"b": "suspect"}
    live(ours, seconds + 0.01, since=seconds - 0.01)
    assert states(ours) == {"b": "down"}


def test_a_dead_peer_is_down_for_who_hears_others() -> None:
    """Somebody was heard while the question stood: it is not we who are deaf."""
    ours = members("b", "c", "d")
    effects = live(ours, 2.6, beating="cd")
    assert states(ours) == {"b": "down", "c": "alive", "d": "alive"}
    assert said(effects)[-2:] == ["member suspect", "member down"]


def test_who_hears_nobody_accuses_nobody_for_ten_seconds() -> None:
    """Its own cable is the likelier culprit. It sends no calls meanwhile."""
    ours = members("b", "c", "d")
    effects = live(ours, 10.0)
    assert [peer.up for peer in ours] == [True] * 3
    assert [peer.reachable for peer in ours] == [False] * 3
    assert not [e for e in effects if isinstance(e, Broadcast)]


def test_who_hears_nobody_for_longer_decides() -> None:
    """It may be a partition after all, and this side must serve."""
    ours = members("b", "c", "d")
    effects = live(ours, 11.0)
    assert states(ours) == {"b": "down", "c": "down", "d": "down"}
    assert said(effects).count("member down") == 3


def test_a_cable_that_is_back_in_time_costs_nobody_his_life() -> None:
    """Questions that were put while we were deaf do not count, whoever is heard first."""
    ours = members("b", "c", "d")
    live(ours, 3.0)
    effects = ours.heard(NodeName("b"), 1, 3.0)
    effects += live(ours, 3.4, since=3.0)
    assert states(ours) == {"b": "alive", "c": "asking others", "d": "asking others"}
    effects += live(ours, 4.5, beating="bcd", since=3.4)
    assert states(ours) == {"b": "alive", "c": "alive", "d": "alive"}
    assert not [e for e in effects if isinstance(e, Broadcast)]


def test_a_late_loop_forgives_what_it_missed() -> None:
    """SIGSTOP for a minute: on waking, all have been silent for that long."""
    ours = members("b", "c", "d")
    assert ours.tick(60.0, late=58.0) == []
    live(ours, 60.4, since=60.0)
    assert states(ours) == {"b": "alive", "c": "alive", "d": "alive"}


def test_who_is_asked_to_ask_says_that_it_hears() -> None:
    """The asker then knows that its own ears work."""
    ours = members("b", "c")
    effects = ours.handle(NodeName("b"), ProbeFor("c", 5), ("b", 8781), 1.0)
    assert effects == [SendTo(("b", 8781), Ack(5)), SendTo(("c", 8781), Probe(5))]


def test_a_peer_that_hears_nothing_of_us_is_called_down_once() -> None:
    """A one-way link: its heartbeats come, our questions do not arrive. Said once, not with each beat."""
    ours = members("b", "c")
    effects = live(ours, 3.0, beating="c")
    effects += live(ours, 30.0, beating="bc", since=3.0)
    assert states(ours)["c"] == "alive"
    assert said(effects).count("member down") == 1


def test_an_accusation_of_this_boot_is_refuted_and_one_of_an_earlier_boot_ignored() -> None:
    """Epochs outrank incarnations: nothing of them need be kept over a restart."""
    ours = members("b")
    for epoch, incarnation, after in (6, 9, 0), (7, 0, 1), (7, 0, 1), (7, 4, 5):
        ours.handle(NodeName("b"), Suspect("a", epoch, incarnation), ("b", 8781), 1.0)
        assert ours.incarnation == after


def test_the_verdict_of_one_whose_own_ears_failed_changes_nothing() -> None:
    """Who was heard here less than a period ago lives."""
    ours = members("b", "c")
    ours.heard(NodeName("c"), 1, 1.0)
    assert ours.handle(NodeName("b"), Down("c", 1, 0), ("b", 8781), 1.4) == []
    assert ours.up(NodeName("c"))
    ours.handle(NodeName("b"), Down("c", 1, 0), ("b", 8781), 1.6)
    assert not ours.up(NodeName("c"))


def test_a_heartbeat_costs_the_same_however_many_peers_there_are() -> None:
    """No deadline is looked for when one is put off: the tick that comes too early finds the next."""
    ours = members("b", "c")
    ours.tick(1.0, 0.0)
    due = ours.next_deadline()
    assert due == pytest.approx(1.1)
    for name in "bc":
        ours.heard(NodeName(name), 1, 1.05)
    assert ours.next_deadline() == due
    assert ours.tick(due, 0.0) == []
    assert ours.next_deadline() == pytest.approx(2.15)
    assert states(ours) == {"b": State.ALIVE.value, "c": State.ALIVE.value}


@pytest.mark.parametrize(
    ("heard", "deaths"),
    [
        ([(1, 0), (2, 1), (3, 1)], 1),
        ([(1, 0), (3, 1), (2, 0), (4, 1)], 1),
        ([(1, 3), (2, 0)], 1),
        ([(1, 0), (2, 0), (3, 0)], 0),
        ([(1, 2), (2, 2)], 0),
    ],
    ids=["in order", "overtaken", "all round", "none", "of before we met"],
)
def test_each_death_of_a_peers_asterisk_is_told_once(
    heard: list[tuple[int, int]], deaths: int
) -> None:
    """It travels as a count, so that no lost frame hides it, and no late one tells it anew."""
    ours = members("b")
    told = []
    for number, count in heard:
        beat = Heartbeat(1, 1, number=number, condition=Condition(deaths=count).word)
        told += ours.handle(NodeName("b"), beat, ("b", 8781), 1.0)
    assert [e.event for e in told if isinstance(e, Tell)] == [PeerLostCalls(NodeName("b"))] * deaths


def test_a_new_session_has_not_had_the_deaths_of_the_one_before() -> None:
    """They are counted from its boot, and until it has said so our word of it goes to other sites."""
    ours = members("b")
    drains = Condition(drains=True, deaths=1)
    ours.handle(NodeName("b"), Heartbeat(1, 1, number=1, condition=drains.word), ("b", 8781), 1.0)
    ours.meet(Hello("b", 2, "b", 8781), 2.0)
    peer = ours.get(NodeName("b"))
    assert peer is not None
    assert peer.condition == Condition(drains=True)
