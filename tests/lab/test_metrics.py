"""The metrics of real daemons: clean by Prometheus' own judge, and true."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.lab.conftest import Federation
from tests.promtool import promtool
from tests.test_grafana import expressions, names_in

WITHOUT_A_WAN = {
    "pbxfed_wan_linked",
    "pbxfed_forwarding",
    "pbxfed_site_heard_timestamp_seconds",
}


def page(federation: Federation, node: str) -> str:
    status, text = federation.lab.http(node, "GET", "/metrics")
    assert status == 200
    return str(text)


def value(federation: Federation, node: str, name: str, /, **labels: str) -> float:
    """Of one sample; it must be there."""
    for family in text_string_to_metric_families(page(federation, node)):
        for sample in family.samples:
            if (sample.name, sample.labels) == (name, labels):
                return float(sample.value)
    raise AssertionError(f"{node} does not say {name} {labels}")


def test_promtool_has_nothing_to_say(federation: Federation) -> None:
    """No error, no warning; and the dashboard asks for nothing that is not there."""
    asked = {name for text in expressions() for name in names_in(text)}
    for node in federation.names:
        text = page(federation, node)
        assert promtool("check", "metrics", given=text) == ""
        told = {
            family.name + "_total" * (family.type == "counter")
            for family in text_string_to_metric_families(text)
        }
        assert {name.removesuffix("_bucket") for name in asked} - told == WITHOUT_A_WAN


def test_metrics_say_what_the_status_says(federation: Federation) -> None:
    """Of the node, its peers, its Asterisk and its process."""
    federation.phone("1001", "a")
    status = federation.get("a", "/status")
    about = {"node": "a", "site": "main", "version": status["version"], "wire": "1"}
    assert value(federation, "a", "pbxfed_node_info", **about) == 1
    pbx = status["asterisk"]["version"]
    assert value(federation, "a", "pbxfed_asterisk_info", version=pbx) == 1
    for name in "pbxfed_healthy", "pbxfed_ready":
        assert value(federation, "a", name) == 1
    assert value(federation, "a", "pbxfed_members", state="alive") == 2
    assert value(federation, "a", "pbxfed_peer_reachable", peer="b") == 1
    for name in "extensions", "registered":
        assert value(federation, "a", f"pbxfed_{name}") == status[name]
    assert value(federation, "a", "pbxfed_local_registrations") >= 1
    assert value(federation, "a", "pbxfed_tasks") > 5
    assert value(federation, "a", "pbxfed_store_bytes") > 4_096
    assert value(federation, "a", "pbxfed_event_loop_lag_seconds_count") > 0
    assert value(federation, "a", "process_resident_memory_bytes") > 10_000_000
    sent = value(federation, "a", "pbxfed_link_sent_bytes_total", link="lan")
    assert sent >= status["counters"]["bytes_sent"] > 0


def test_calls_are_counted_where_they_came_in(federation: Federation) -> None:
    """While they last by state, afterwards by how they ended."""
    for number, node in ("1001", "a"), ("1002", "b"):
        federation.phone(number, node)

    def ended(node: str, outcome: str) -> float:
        return value(federation, node, "pbxfed_calls_ended_total", outcome=outcome)

    before = ended("a", "answered"), ended("a", "unknown_number")
    assert federation.lab.call("1001", "1002", hold=0.5).ok
    federation.until(lambda: ended("a", "answered") == before[0] + 1)
    assert not federation.lab.call("1001", "7999").ok
    federation.until(lambda: ended("a", "unknown_number") == before[1] + 1)
    assert value(federation, "a", "pbxfed_calls", state="talking") == 0


def test_what_is_wrong_is_told_by_kind(federation: Federation) -> None:
    """Without its Asterisk a node is not healthy, its peers send it no calls, and its metrics go on."""
    lab = federation.lab
    lab.kill("c", "asterisk")
    try:
        federation.until(lambda: value(federation, "c", "pbxfed_healthy") == 0)
        assert value(federation, "c", "pbxfed_unhealthy_reason", reason="asterisk") == 1
        assert value(federation, "c", "pbxfed_unhealthy_reason", reason="store") == 0
        federation.until(lambda: value(federation, "a", "pbxfed_peer_reachable", peer="c") == 0)
    finally:
        lab.start("c", "asterisk")
    federation.until(federation.whole, 30)
    assert value(federation, "c", "pbxfed_healthy") == 1
