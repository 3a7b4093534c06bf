"""Metrics: what is said, in what form; `promtool` says whether it is by Prometheus' conventions."""

import re
from collections import Counter
from dataclasses import dataclass, field

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pbxfed_ari.core.calls.call import Call, Phase
from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import CallEnded, Note
from pbxfed_ari.core.events import Arrived
from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.core.membership.health import Health
from pbxfed_ari.core.names import CallId, ChannelId
from pbxfed_ari.sensors.gauges import OWN
from pbxfed_ari.web.eventlog import EventLog
from pbxfed_ari.web.metrics import Metrics
from tests.promtool import promtool
from tests.stories.world import BEGAN, World

SECRET = "abcdEFGH1234"
Labels = tuple[tuple[str, str], ...]
NUMBERS = dict.fromkeys(
    [
        "frames_sent",
        "bytes_sent",
        "frames_received",
        "bytes_received",
        "send_errors",
        "event_failures",
        "introductions_refused",
        "tokens_refused",
        "dns_queries",
        "dns_limited",
        "provisioning_served",
        "provisioning_refused",
        "provisioning_limited",
    ],
    7,
)


@dataclass
class Node:
    """What the metrics need of a node, of a story."""

    federation: Federation
    world: World
    switchboard: Switchboard = field(default_factory=Switchboard)
    events: EventLog = field(default_factory=lambda: EventLog(1))
    trouble: str = ""
    sensed: Health = field(default_factory=lambda: Health(OWN))
    pbx: dict[str, object] = field(
        default_factory=lambda: {"version": "22.10.1", "objects_to_push": 3}
    )
    wan: dict[str, object] | None = None

    def troubles(self) -> dict[str, str]:
        return {"store": "", "asterisk": self.trouble}

    def warnings(self) -> list[str]:
        return ["the clock is off"]

    @property
    def health(self) -> Health:
        return self.sensed

    def asterisk(self) -> dict[str, object]:
        return self.pbx

    def wan_link(self) -> dict[str, object] | None:
        return self.wan

    def counters(self) -> dict[str, object]:
        mail = {
            "messages_sent": {"Hello": 2},
            "messages_received": {"Heartbeat": 3},
            "frames_dropped": {"key": 1},
        }
        return {**NUMBERS, **mail}

    def store_bytes(self) -> int:
        return 4_096

    def wall_ms(self) -> int:
        return BEGAN + int(self.world.now * 1_000)

    def now(self) -> float:
        return self.world.now


def a_node(world: World | None = None, name: str = "a") -> Node:
    world = world or World(names="abc")
    return Node(world[name].federation, world)


def read(metrics: Metrics) -> dict[tuple[str, Labels], float]:
    """Every sample of the text, by name and labels."""
    families = text_string_to_metric_families(metrics.render().decode())
    samples = [sample for family in families for sample in family.samples]
    found = {(s.name, tuple(sorted(s.labels.items()))): float(s.value) for s in samples}
    assert len(found) == len(samples), "a sample is there twice"
    return found


def said(node: Node, name: str, **labels: str) -> float | None:
    return read(Metrics(node)).get((name, tuple(sorted(labels.items()))))


def test_promtool_has_nothing_to_say() -> None:
    """With everything that may be there."""
    node = a_node()
    node.wan = dict(NUMBERS)
    node.events.add(Note("member down", ()), BEGAN)
    assert promtool("check", "metrics", given=Metrics(node).render().decode()) == ""


def test_each_name_is_there_once_with_help_and_type() -> None:
    """Prometheus refuses the whole page otherwise."""
    text = Metrics(a_node()).render().decode()
    for word in "HELP", "TYPE":
        names = re.findall(rf"^# {word} (\S+)", text, re.M)
        assert max(Counter(names).values()) == 1
        assert names == re.findall(r"^# TYPE (\S+)", text, re.M)
    assert "_created" not in text


def test_members_are_counted_in_every_state() -> None:
    """Also where there are none: an alert on a series that is not there never fires."""
    world = World(names="abc")
    world.kill("c")
    world.run(5.0)
    node = a_node(world)
    assert said(node, "pbxfed_members", state="alive") == 1
    assert said(node, "pbxfed_members", state="down") == 1
    assert said(node, "pbxfed_members", state="suspect") == 0
    assert said(node, "pbxfed_peer_reachable", peer="b") == 1
    assert said(node, "pbxfed_peer_reachable", peer="c") is None
    assert said(node, "pbxfed_peers_differing") == 0


def test_numbers_and_registrations() -> None:
    """A phone at a dead node is not registered."""
    world = World(names="abc")
    for number in "1001", "1002":
        world["a"].edit(number, create=True, name="Desk", secret=SECRET)
    world["b"].register("1001", "sip:1001@10.1.0.7:5060")
    world.run(1.0)
    node = a_node(world)
    assert said(node, "pbxfed_extensions") == 2
    assert said(node, "pbxfed_registered") == 1
    assert said(node, "pbxfed_local_registrations") == 0
    assert said(a_node(world, "b"), "pbxfed_local_registrations") == 1
    world.kill("b")
    world.run(5.0)
    assert said(node, "pbxfed_registered") == 0


def test_what_is_wrong_is_told_by_kind() -> None:
    """The words are in `pbxfed status`: as a label each of them would be a series for ever."""
    node = a_node()
    assert said(node, "pbxfed_healthy") == 1
    node.trouble = 'Asterisk does not answer at "http://127.0.0.1:8088"'
    assert said(node, "pbxfed_healthy") == 0
    assert said(node, "pbxfed_unhealthy_reason", reason="asterisk") == 1
    assert said(node, "pbxfed_unhealthy_reason", reason="store") == 0
    assert said(node, "pbxfed_warnings") == 1
    assert "127.0.0.1" not in Metrics(node).render().decode()


@pytest.mark.parametrize("odd", ['22"x\\y\nz', "{}=,", "é 😀", " ", "# HELP x"])
def test_odd_values_of_labels_arrive_as_they_are(odd: str) -> None:
    """Quotes, backslashes and line ends are escaped; promtool reads them."""
    node = a_node()
    node.pbx = {"version": odd, "objects_to_push": 0}
    text = Metrics(node).render().decode()
    assert ("pbxfed_asterisk_info", (("version", odd),)) in read(Metrics(node))
    assert promtool("check", "metrics", given=text) == ""
    assert text.count("pbxfed_asterisk_info{") == 1


def test_before_asterisk_has_answered_there_is_no_version() -> None:
    """Rather nothing than an empty label."""
    node = a_node()
    node.pbx = {"version": "", "objects_to_push": 0}
    assert "pbxfed_asterisk_info{" not in Metrics(node).render().decode()


def test_links_are_told_apart_and_no_link_is_no_broken_link() -> None:
    """Sums over `link` make sense; a node without a WAN says nothing of one."""
    node = a_node()
    assert said(node, "pbxfed_link_sent_bytes_total", link="lan") == 7
    assert said(node, "pbxfed_link_sent_bytes_total", link="wan") is None
    assert said(node, "pbxfed_wan_linked") is None
    node.wan = dict(NUMBERS)
    assert said(node, "pbxfed_link_sent_bytes_total", link="wan") == 7
    assert said(node, "pbxfed_wan_linked") == 0


def test_another_site_was_heard_at_a_moment() -> None:
    """In seconds since 1970, as `time()` is."""
    world = World(names="ab", sites={"a": "east", "b": "west"}, settle=6.0)
    node = a_node(world)
    node.wan = dict(NUMBERS)
    heard = said(node, "pbxfed_site_heard_timestamp_seconds", site="west")
    assert heard is not None
    assert 0 <= BEGAN / 1_000 + world.now - heard < 9
    assert said(node, "pbxfed_wan_linked") == said(node, "pbxfed_forwarding") == 1


def test_keys_and_clocks() -> None:
    """The key that a federation was born with has no date."""
    world = World(names="ab", settle=12.0)
    node = a_node(world)
    assert said(node, "pbxfed_key_made_timestamp_seconds") is None
    assert said(node, "pbxfed_clock_offset_seconds") == pytest.approx(0, abs=1)
    world["b"].rotate()
    world.run(2.0)
    made = said(node, "pbxfed_key_made_timestamp_seconds")
    assert made == pytest.approx(BEGAN / 1_000 + world.now, abs=3)
    assert said(node, "pbxfed_keys", state="seals") == said(node, "pbxfed_keys", state="opens") == 1
    assert said(a_node(World(names="a")), "pbxfed_clock_offset_seconds") is None


@pytest.mark.parametrize(
    ("answered", "cause", "outcome"),
    [
        (True, 16, "answered"),
        (True, 17, "answered"),
        (False, 16, "given_up"),
        (False, 17, "busy"),
        (False, 19, "no_answer"),
        (False, 1, "unknown_number"),
        (False, 20, "not_registered"),
        (False, 38, "failed"),
        (False, -5, "failed"),
    ],
)
def test_calls_are_counted_by_how_they_ended(answered: bool, cause: int, outcome: str) -> None:
    """All outcomes begin at 0, so that the first call of one is a growth."""
    metrics = Metrics(a_node())
    before = read(metrics)
    metrics.call_ended(CallEnded(CallId("x"), "1001", "1002", 2, answered, cause, 9.5))
    after = read(metrics)
    grown = {key: after[key] - before[key] for key in before if key[0].startswith("pbxfed_call")}
    assert {key: value for key, value in grown.items() if value} == {
        ("pbxfed_calls_ended_total", (("outcome", outcome),)): 1,
        ("pbxfed_call_tries_total", ()): 2,
    }


def test_calls_are_counted_by_state_and_callers_choose_no_label() -> None:
    """Digits of strangers would be series for ever."""
    node = a_node()
    arrived = Arrived(ChannelId("x"), "1001", 'evil"}', "evil")
    for i, phase in enumerate((Phase.DIALING, Phase.TALKING, Phase.TALKING)):
        node.switchboard.calls._calls[ChannelId(str(i))] = Call(
            CallId(str(i)), arrived, 0.0, 30, phase=phase
        )
    assert said(node, "pbxfed_calls", state="talking") == 2
    assert said(node, "pbxfed_calls", state="new") == 0
    assert "evil" not in Metrics(node).render().decode()


def test_the_lag_of_the_loop_is_kept_between_two_readings() -> None:
    """A moment of deafness must not escape who looks every 15 s."""
    metrics = Metrics(a_node())
    for seconds in 0.001, 0.3:
        metrics.late(seconds)
    found = read(metrics)
    assert found["pbxfed_event_loop_lag_seconds_bucket", (("le", "0.2"),)] == 1
    assert found["pbxfed_event_loop_lag_seconds_count", ()] == 2
    assert found["pbxfed_event_loop_lag_seconds_sum", ()] == pytest.approx(0.301)


def test_reasons_for_dropping_frames_begin_at_zero() -> None:
    """Those that were seen, and all others that there are."""
    node = a_node()
    assert said(node, "pbxfed_frames_dropped_total", reason="key") == 1
    assert said(node, "pbxfed_frames_dropped_total", reason="replay") == 0
    assert said(node, "pbxfed_messages_sent_total", kind="Hello") == 2
