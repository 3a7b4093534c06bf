"""The dashboard and the alerts: Prometheus reads every expression, and every name in them is one that the daemon has."""

import json
import re
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pbxfed_ari.core.effects import Note
from pbxfed_ari.core.events import AuthenticationsFailed
from pbxfed_ari.web.metrics import Metrics
from tests.promtool import promtool
from tests.stories.world import BEGAN, World
from tests.web.test_metrics import NUMBERS, Node

FOLDER = Path(__file__).parents[1] / "docs" / "grafana"
BOARD = json.loads((FOLDER / "pbxfed.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
ALERTS = FOLDER / "alerts.yml"
ROWS = (
    "Federation",
    "Health reasons",
    "Members",
    "Traffic",
    "Calls",
    "Registrations",
    "Conflicts",
    "WAN",
    "The daemon",
    "Failed authentications",
)
MACROS = {"$__rate_interval": "1m", "$job": ".*", "$instance": ".*"}
OF_PROMETHEUS = {"up": {"job", "instance"}}
OF_TARGETS = {"job", "instance", "le"}


def expressions() -> list[str]:
    """Of all panels, as Prometheus gets them."""
    found = [target["expr"] for panel in PANELS for target in panel["targets"]]
    for macro, value in MACROS.items():
        found = [text.replace(macro, value) for text in found]
    return found


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\b(?:pbxfed|process)_\w+", text))


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    """Every metric that a node of a federation of two sites has, with its labels."""
    sites = {"a": "east", "b": "east", "c": "west"}
    world = World(names="abc", sites=sites, settle=12.0)
    world["a"].rotate()
    world["a"].handle(AuthenticationsFailed((("203.0.113.9", 3, 0),)))
    world.run(2.0)
    node = Node(world["a"].federation, world, wan=dict(NUMBERS))
    node.events.add(Note("member down", ()), BEGAN)
    labels: dict[str, set[str]] = defaultdict(set, OF_PROMETHEUS)
    for family in text_string_to_metric_families(Metrics(node).render().decode()):
        for sample in family.samples:
            labels[sample.name] |= set(sample.labels)
    return labels


def test_prometheus_reads_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    """Written down as recording rules."""
    rules = [
        {"record": f"panel:{number}", "expr": text} for number, text in enumerate(expressions())
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(file))


@pytest.mark.parametrize("text", [*expressions(), ALERTS.read_text()])
def test_every_name_in_an_expression_exists(text: str, known: dict[str, set[str]]) -> None:
    """And every label that it matches is a label of that metric."""
    assert names_in(text) <= set(known)
    for name, matchers in re.findall(r"(\w+)\{([^}]*)\}", text):
        if name in known:
            labels = set(re.findall(r"(\w+)\s*!?=~?", matchers))
            assert labels <= known[name] | OF_TARGETS, name


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_what_a_legend_names_is_there(panel: dict[str, Any], known: dict[str, set[str]]) -> None:
    """A label that is summed away, or never was, leaves a hole in the legend."""
    for target in panel["targets"]:
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            summed = re.findall(r"\bby \(([^)]*)\)", target["expr"])
            kept = {name.strip() for names in summed for name in names.split(",")}
            own = {of for name in names_in(target["expr"]) for of in known[name]}
            assert label in (kept or own | OF_TARGETS), target["expr"]


def test_every_metric_of_ours_is_on_the_dashboard_or_left_out_on_purpose(
    known: dict[str, set[str]],
) -> None:
    """What an operator should see must not be forgotten when it is added."""
    shown = {name for text in expressions() for name in names_in(text)}
    ours = {name for name in known if name.startswith("pbxfed_")}
    assert ours - shown == {
        "pbxfed_asterisk_info",
        "pbxfed_dns_queries_total",  # of interest where there are too many
        "pbxfed_draining",  # who ordered it knows
        "pbxfed_event_loop_lag_seconds_count",  # of the histogram, beside its buckets
        "pbxfed_event_loop_lag_seconds_sum",
        "pbxfed_keys",
        "pbxfed_messages_received_total",
        "pbxfed_provisioning_limited_total",  # phones that ask too much fetch their file later
        "pbxfed_provisioning_refused_total",
        "pbxfed_provisioning_served_total",
        "pbxfed_tasks",  # for tests, and for who looks for a leak
    }


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    """What its schema asks: ids once, the data source chosen at the import, places that do not overlap."""
    assert BOARD["schemaVersion"] == 39, "Grafana 10.4 and 11.0"
    assert tuple(p["title"] for p in BOARD["panels"] if p["type"] == "row") == ROWS
    assert "id" not in BOARD, "Grafana gives one at the import"
    variables = {variable["name"]: variable for variable in BOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in PANELS:
        assert panel["type"] in {"stat", "timeseries", "state-timeline", "table"}
        assert panel["description"]
        sources = [panel, *panel["targets"]]
        assert {s["datasource"]["uid"] for s in sources} == {"${datasource}"}
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)
    for one, other in combinations([panel["gridPos"] for panel in BOARD["panels"]], 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart or below, (one, other)


def test_prometheus_reads_the_alerts_and_they_fire_when_they_should() -> None:
    """`promtool check rules`, and its unit tests in alerts.yml beside this file."""
    promtool("check", "rules", str(ALERTS))
    assert "SUCCESS" in promtool("test", "rules", "alerts.yml", cwd=Path(__file__).parent)


def test_the_scrape_configuration_of_the_readme_is_one(tmp_path: Path) -> None:
    """As promtool sees it, with the rules beside it."""
    text = (FOLDER / "README.md").read_text()
    block = re.search(r"^```yaml\n(.*?)^```", text, re.M | re.S)
    assert block
    (tmp_path / "alerts.yml").write_text(ALERTS.read_text())
    (tmp_path / "pbxfed.token").write_text("token")
    config = block[1].replace("/etc/prometheus/", f"{tmp_path}/")
    (tmp_path / "prometheus.yml").write_text(config)
    assert "SUCCESS" in promtool("check", "config", str(tmp_path / "prometheus.yml"))
