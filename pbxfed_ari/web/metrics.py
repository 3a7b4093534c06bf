"""Metrics in Prometheus' text exposition format 0.0.4, names by its conventions."""

from collections.abc import Mapping

from pbxfed_ari.core.federation import Federation
from pbxfed_ari.core.objects import KINDS
from pbxfed_ari.core.switchboard import Switchboard


def render(
    federation: Federation,
    switchboard: Switchboard,
    reasons: list[str],
    counters: Mapping[str, object],
    events: Mapping[str, int],
) -> str:
    """All metrics of this node."""
    lines: list[str] = []
    _put(
        lines,
        "pbxfed_healthy",
        "gauge",
        "1 if this node can serve calls.",
        {"": 0 if reasons else 1},
    )
    states: dict[str, object] = {}
    for member in federation.members:
        label = f'state="{member.state.value}"'
        states[label] = int(str(states.get(label, 0))) + 1
    _put(lines, "pbxfed_members", "gauge", "Peers, by state as seen from here.", states)
    ways = {f'node="{m.name}"': federation.reach.way(m.name) for m in federation.members if m.up}
    _put(
        lines,
        "pbxfed_multicast_loss_ratio",
        "gauge",
        "Share of a peer's recent multicast heartbeats that did not arrive here.",
        {label: round(way.loss, 4) for label, way in ways.items() if way.loss is not None},
    )
    _put(
        lines,
        "pbxfed_heard_by_unicast",
        "gauge",
        "1 if a peer sends us unicast copies because its multicast does not arrive.",
        {label: int(way.heard_by == "unicast") for label, way in ways.items()},
    )
    directory = federation.directory
    known = {"": directory.count(KINDS["extension"])}
    _put(lines, "pbxfed_extensions", "gauge", "Extensions known.", known)
    contested = {item.key for item in directory.contested()}
    told = "Numbers that more than one object claims."
    _put(lines, "pbxfed_contested_numbers", "gauge", told, {"": len(contested)})
    _put(
        lines,
        "pbxfed_registered",
        "gauge",
        "Numbers that stand registered.",
        {"": len(directory.registered())},
    )
    _put(
        lines,
        "pbxfed_calls",
        "gauge",
        "Calls that came in here and are not over.",
        {"": len(switchboard)},
    )
    told = "Events since the start, by name; `pbxfed events` shows them."
    named = {f'event="{name}"': count for name, count in sorted(events.items())}
    _put(lines, "pbxfed_events_total", "counter", told, named)
    told = "Concurrent edits of one field group that were seen here; the newest stands everywhere."
    _put(lines, "pbxfed_conflicts_total", "counter", told, {"": events.get("conflict", 0)})
    sites = federation.sites
    _put(
        lines,
        "pbxfed_wan_linked",
        "gauge",
        "1 if the link to other sites works.",
        {"": int(sites.linked)},
    )
    _put(
        lines,
        "pbxfed_forwarding",
        "gauge",
        "1 if this node speaks for its site.",
        {"": int(sites.forwarding)},
    )
    _put(
        lines,
        "pbxfed_records_repaired_total",
        "counter",
        "Records read anew because they were not what peers hold.",
        {"": federation.ledger.repaired},
    )
    for name, help_text in (
        ("frames_dropped", "Frames not taken, by reason."),
        ("messages_sent", "Messages sent, by kind."),
        ("messages_received", "Messages received, by kind."),
    ):
        found = counters.get(name)
        label = "reason" if name == "frames_dropped" else "kind"
        values = found if isinstance(found, Mapping) else {}
        samples = {f'{label}="{key}"': value for key, value in sorted(values.items())}
        _put(lines, f"pbxfed_{name}_total", "counter", help_text, samples)
    for name in (
        "frames_sent",
        "bytes_sent",
        "frames_received",
        "bytes_received",
        "event_failures",
        "introductions_refused",
        "tokens_refused",
    ):
        _put(
            lines,
            f"pbxfed_{name}_total",
            "counter",
            f"{name.replace('_', ' ')}.",
            {"": counters.get(name, 0)},
        )
    return "\n".join(lines) + "\n"


def _put(lines: list[str], name: str, kind: str, text: str, samples: Mapping[str, object]) -> None:
    lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    lines += [
        f"{name}{{{label}}} {value}" if label else f"{name} {value}"
        for label, value in samples.items()
    ]
