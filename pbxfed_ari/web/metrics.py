"""Metrics: what this node measures, for Prometheus. Why so: docs/decisions/0021-metrics.md.

What the machines know already is read when Prometheus asks (`_Reading`); only what is gone by then is counted as it happens
(the loop's lag, calls that ended). Names follow https://prometheus.io/docs/practices/naming/: base units, `_total` for what
only grows, moments as seconds since 1970 instead of ages. A label never holds what callers or strangers may choose, but for
the few addresses that fail to authenticate most. The node at the other end is `peer`, since `node` is what many a scrape
configuration calls the target.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Protocol

import prometheus_client as prometheus
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from pbxfed_ari.core.calls.call import Phase
from pbxfed_ari.core.calls.notebook import UNTOLD
from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import CallEnded
from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.core.membership import condition
from pbxfed_ari.core.membership.health import Health
from pbxfed_ari.core.membership.member import State
from pbxfed_ari.core.messages import WIRE_VERSION
from pbxfed_ari.core.records.keys import Keyring
from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.core.routing.tries import ABSENT, ASK_ANOTHER, BUSY, NO_ANSWER, NORMAL, UNALLOCATED
from pbxfed_ari.core.stamp import wall_ms_of
from pbxfed_ari.errors import WireError
from pbxfed_ari.web.eventlog import EventLog

TYPE = "text/plain; version=0.0.4; charset=utf-8"
LAGS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)  # seconds; from 0.2 on it was deaf
OUTCOMES = {  # Q.850 cause of a call that nobody answered → how it went
    NORMAL: "given_up",
    BUSY: "busy",
    18: "no_answer",  # no user responding
    NO_ANSWER: "no_answer",
    UNALLOCATED: "unknown_number",
    ABSENT: "not_registered",
    ASK_ANOTHER: "turned_away",
    UNTOLD: "lost_sight",
}
ANSWERED, FAILED = "answered", "failed"
WORST = 10  # addresses that have labels of their own
# no series for the birth of each counter
prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]


class Node(Protocol):
    """What the metrics need of the node."""

    federation: Federation
    switchboard: Switchboard
    events: EventLog

    def troubles(self) -> Mapping[str, str]:
        """What can make a node unhealthy, each with the reason if it does, else an empty text."""
        ...

    def warnings(self) -> list[str]:
        """What an operator should mend."""
        ...

    @property
    def health(self) -> Health:
        """What the sensors have found."""
        ...

    def asterisk(self) -> Mapping[str, object]:
        """What is known of the PBX beside us."""
        ...

    def wan_link(self) -> Mapping[str, object] | None:
        """The state of the link to the other sites; None if there shall be none."""
        ...

    def counters(self) -> Mapping[str, object]:
        """What was sent, received and dropped."""
        ...

    def store_bytes(self) -> int:
        """What the store takes of the disk."""
        ...

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        ...

    def now(self) -> float:
        """Seconds, monotonic."""
        ...


class Metrics:
    """All metrics of one node."""

    def __init__(self, node: Node) -> None:
        self._registry = prometheus.CollectorRegistry()
        self._registry.register(_Reading(node))
        prometheus.ProcessCollector(registry=self._registry)
        tasks = prometheus.Gauge(
            "pbxfed_tasks", "Tasks of the daemon's event loop.", registry=self._registry
        )
        tasks.set_function(_tasks)
        self._lag = prometheus.Histogram(
            "pbxfed_event_loop_lag_seconds",
            "How late the loop came to its deadlines; later than 0.2 s it was deaf meanwhile.",
            buckets=LAGS,
            registry=self._registry,
        )
        ended = prometheus.Counter(
            "pbxfed_calls_ended",
            "Calls that came in here and are over, by how they ended.",
            ["outcome"],
            registry=self._registry,
        )
        self._tries = prometheus.Counter(
            "pbxfed_call_tries",
            "Ways that calls which are over were tried on; more than calls: first ways fail.",
            registry=self._registry,
        )
        outcomes = (ANSWERED, FAILED, *OUTCOMES.values())
        # From 0 on, so that the first one is seen as a growth.
        self._ended = {outcome: ended.labels(outcome) for outcome in outcomes}

    def late(self, seconds: float) -> None:
        """The loop came so late to a deadline."""
        self._lag.observe(seconds)

    def call_ended(self, call: CallEnded) -> None:
        """A call is over."""
        outcome = ANSWERED if call.answered else OUTCOMES.get(call.cause, FAILED)
        self._ended[outcome].inc()
        self._tries.inc(call.tries)

    def render(self) -> bytes:
        """Everything, as it stands now, in the text format."""
        return prometheus.generate_latest(self._registry)


class _Reading:
    """What is read of the machines when Prometheus asks."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def collect(self) -> Iterator[Metric]:
        """Everything, a subject at a time."""
        yield from self._health()
        yield from self._members()
        yield from self._contents()
        yield from self._calls()
        yield from self._failures()
        yield from self._links()
        yield from self._frames()
        yield from self._sites()
        yield from self._time()

    def _health(self) -> Iterator[Metric]:
        node, federation = self._node, self._node.federation
        identity, asterisk = federation.ourselves.identity, node.asterisk()
        troubles = {name: int(bool(why)) for name, why in node.troubles().items()}
        about = (identity.name, identity.site, identity.release, str(WIRE_VERSION))
        yield _gauges(
            "pbxfed_node_info",
            "Which node this is, of which site, release and wire version.",
            ("node", "site", "version", "wire"),
            [(about, 1)],
        )
        yield _gauges(
            "pbxfed_asterisk_info",
            "The Asterisk beside this node.",
            ("version",),
            [((str(asterisk["version"]),), 1)] if asterisk["version"] else [],
        )
        yield _gauge(
            "pbxfed_healthy", "1 if this node can serve calls.", not any(troubles.values())
        )
        yield _by(
            "pbxfed_unhealthy_reason",
            "1 for what keeps this node from being healthy; `pbxfed status` says it in words.",
            "reason",
            troubles,
        )
        yield _gauge(
            "pbxfed_health_score",
            "What is left of this node's health, as peers are told; 1 is well, at 0.5 it leaves the ring.",
            node.health.score,
        )
        yield _by(
            "pbxfed_health_cost_ratio",
            "What each sensor takes of the score.",
            "sensor",
            {name: tenths / condition.WORST for name, tenths in node.health.costs().items()},
        )
        yield _gauge(
            "pbxfed_warnings",
            "Things to mend that keep no call from being served; `pbxfed status` names them.",
            len(node.warnings()),
        )
        yield _gauge(
            "pbxfed_ready",
            "1 if the Asterisk of this node takes calls, as peers are told.",
            federation.ourselves.condition.ready,
        )
        yield _gauge(
            "pbxfed_draining",
            "1 if this node is being drained: `pbxfed drain` shows who is left.",
            federation.ourselves.condition.drains,
        )
        yield _gauge(
            "pbxfed_objects_to_push",
            "Extensions and trunks that this node's Asterisk has still to be given.",
            _number(asterisk["objects_to_push"]),
        )
        yield _gauge("pbxfed_store_bytes", "Disk space of the store.", node.store_bytes())

    def _members(self) -> Iterator[Metric]:
        federation = self._node.federation
        states = Counter(member.state for member in federation.members)
        yield _by(
            "pbxfed_members",
            "Peers, by state as seen from here.",
            "state",
            {state.value: states[state] for state in State},
        )
        alive = federation.members.alive()
        yield _by(
            "pbxfed_peer_reachable",
            "1 if calls go to this living peer from here.",
            "peer",
            {m.name: federation.view.reachable(m.name) for m in alive},
        )
        ways = {m.name: federation.reach.way(m.name) for m in alive if not m.away}
        yield _by(
            "pbxfed_multicast_loss_ratio",
            "Share of a peer's recent multicast heartbeats that did not arrive here.",
            "peer",
            {peer: way.loss for peer, way in ways.items() if way.loss is not None},
        )
        yield _by(
            "pbxfed_heard_by_unicast",
            "1 if a peer sends us unicast copies because its multicast does not arrive.",
            "peer",
            {peer: way.heard_by == "unicast" for peer, way in ways.items()},
        )
        yield _by(
            "pbxfed_told_by_unicast",
            "1 if we send a peer unicast copies, because our multicast does not arrive there.",
            "peer",
            {peer: way.told_by == "unicast" for peer, way in ways.items()},
        )

    def _contents(self) -> Iterator[Metric]:
        federation, counts = self._node.federation, self._node.events.counts
        directory, members = federation.directory, federation.members
        objects = {name: directory.catalogue.count(kind) for name, kind in KINDS.items()}
        yield _by("pbxfed_objects", "Objects of the configuration, by kind.", "kind", objects)
        yield _gauge("pbxfed_extensions", "Extensions known.", objects["extension"])
        yield _gauge(
            "pbxfed_contested_numbers",
            "Numbers, or other keys, that more than one object claims.",
            len({item.key for item in directory.catalogue.contested()}),
        )
        yield _gauge(
            "pbxfed_registered",
            "Numbers that stand registered at a living node.",
            len(directory.registrations.numbers(members.up)),
        )
        yield _gauge(
            "pbxfed_local_registrations",
            "Registrations of phones at this node.",
            directory.registrations.count_at(federation.me),
        )
        mark = directory.fingerprint()
        yield _gauge(
            "pbxfed_peers_differing",
            "Peers of this site that last told other contents than this node's; 0 at rest.",
            sum(m.vector != mark for m in members.alive() if not m.away),
        )
        yield _counter(
            "pbxfed_records_repaired",
            "Records read anew because they were not what peers hold.",
            federation.ledger.repaired,
        )
        yield _counts(
            "pbxfed_events",
            "Events since the start, by name; `pbxfed events` shows them.",
            "event",
            counts,
        )
        yield _counter(
            "pbxfed_conflicts",
            "Concurrent edits of one field group seen here; the newest stands everywhere.",
            counts.get("conflict", 0),
        )

    def _calls(self) -> Iterator[Metric]:
        phases = Counter(call.phase for call in self._node.switchboard)
        yield _by(
            "pbxfed_calls",
            "Calls that came in here and are not over, by state.",
            "state",
            {phase.value: phases[phase] for phase in Phase if phase is not Phase.OVER},
        )

    def _failures(self) -> Iterator[Metric]:
        failures = self._node.federation.failures
        counted = {"proven": failures.proven, "forgeable": failures.forgeable}
        text = "Failed authentications at this node, by whether their address may be forged."
        yield _counts("pbxfed_authentications_failed", text, "source", counted)
        rows = [row for row in failures.table() if row.failures]
        text = "Addresses with proven failed authentications lately, in the federation; 100 are kept at most."
        yield _gauge("pbxfed_failing_addresses", text, len(rows))
        yield _by(
            "pbxfed_address_failed_authentications",
            "Proven failed authentications in the federation, of the ten addresses that have most; gone after a quiet hour.",
            "address",
            {row.address: row.failures for row in rows[:WORST]},
        )

    def _links(self) -> Iterator[Metric]:
        links = {"lan": self._node.counters()}
        wan = self._node.wan_link()
        if wan is not None:
            links["wan"] = wan
        for name, key, text in (
            ("pbxfed_link_sent_frames", "frames_sent", "Frames sent."),
            ("pbxfed_link_sent_bytes", "bytes_sent", "Bytes of frames sent, without headers."),
            ("pbxfed_link_received_frames", "frames_received", "Frames received."),
            ("pbxfed_link_received_bytes", "bytes_received", "Bytes of frames received."),
            ("pbxfed_link_send_errors", "send_errors", "Frames that could not be sent."),
        ):
            found = {link: _number(counted[key]) for link, counted in links.items()}
            yield _counts(name, text, "link", found)

    def _frames(self) -> Iterator[Metric]:
        counters = self._node.counters()
        reasons = dict.fromkeys(sorted(kind.reason for kind in WireError.__subclasses__()), 0)
        for key, label, text, first in (
            ("frames_dropped", "reason", "Frames not taken, by reason.", reasons),
            ("messages_sent", "kind", "Messages sent, by kind.", {}),
            ("messages_received", "kind", "Messages received, by kind.", {}),
        ):
            found = counters[key]
            assert isinstance(found, Mapping), key
            yield _counts(f"pbxfed_{key}", text, label, {**first, **found})
        for key, text in (
            ("event_failures", "Events that could not be handled: mistakes of ours, in the log."),
            ("introductions_refused", "Introductions of nodes that do not belong here."),
            ("tokens_refused", "Invitations that were wrong, used or out of date."),
            ("dns_queries", "DNS queries that came."),
            ("dns_limited", "DNS queries above the limits: sent to TCP, or not answered."),
            ("provisioning_served", "Provisioning files that phones fetched."),
            ("provisioning_refused", "Requests for provisioning files that are not there."),
            ("provisioning_limited", "Requests for provisioning files above the limits."),
        ):
            yield _counter(f"pbxfed_{key}", text, _number(counters[key]))

    def _sites(self) -> Iterator[Metric]:
        """Nothing, where there is no link to other sites: an alert must not fire there."""
        sites = self._node.federation.sites
        wan = self._node.wan_link()
        if wan is None:
            return
        yield _gauge("pbxfed_wan_linked", "1 if the link to the other sites works.", sites.linked)
        yield _gauge("pbxfed_forwarding", "1 if this node speaks for its site.", sites.forwarding)
        since = self._node.wall_ms() / 1_000 - self._node.now()
        yield _by(
            "pbxfed_site_heard_timestamp_seconds",
            "When another site last reported.",
            "site",
            {site: round(since + heard, 3) for site, _, heard in sites},
        )

    def _time(self) -> Iterator[Metric]:
        federation = self._node.federation
        found = federation.watch.clocks.median([m.name for m in federation.members.alive()])
        yield _by(
            "pbxfed_clock_offset_seconds",
            "Seconds by which this node's clock is ahead of the median of its peers'.",
            "",
            {"": found[0]} if found else {},
        )
        keys = federation.gate.keys
        yield _by("pbxfed_keys", "The group's keys held here, by state.", "state", _keys(keys))
        made = keys.newest.made
        yield _by(
            "pbxfed_key_made_timestamp_seconds",
            "When the newest of the group's keys was made; nothing before the first rotation.",
            "",
            {"": wall_ms_of(made) / 1_000} if made else {},
        )


def _tasks() -> int:
    """Those that are not over; 0 where no loop runs."""
    with suppress(RuntimeError):
        return len(asyncio.all_tasks())
    return 0


def _keys(keys: Keyring) -> dict[str, int]:
    opens = sum(keys.readable(key.id) for key in keys if key is not keys.sealing)
    return {"seals": 1, "opens": opens, "retired": len(list(keys)) - 1 - opens}


def _number(value: object) -> float:
    assert isinstance(value, int | float), value
    return value


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _gauges(
    name: str, text: str, labels: Iterable[str], values: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    family = GaugeMetricFamily(name, text, labels=tuple(labels))
    for found, value in values:
        family.add_metric(found, value)
    return family


def _by(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    """One gauge for each value of a label; without a label one, or none if it is not known."""
    if label:
        return _gauges(name, text, (label,), [((key,), value) for key, value in values.items()])
    return _gauges(name, text, (), [((), value) for value in values.values()])


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _counts(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=(label,))
    for key in sorted(values):
        family.add_metric((key,), values[key])
    return family
