"""Bad input: refused whole, with the thing, the value and the remedy; nothing changed anywhere; never a traceback."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from lab.lab import Lab
from lab.places import LabError
from tests.lab.conftest import Federation


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["ext", "add", "10-01", "--secret", "good-secret-1"], "extension '10-01': must be digits"),
        (["ext", "add", "pf-b", "--secret", "good-secret-1"], "extension 'pf-b': must be digits"),
        (["ext", "add", "*8", "--secret", "good-secret-1"], "extension '*8': must be digits"),
        (
            ["ext", "add", "anonymous", "--secret", "good-secret-1"],
            "Asterisk itself uses this name",
        ),
        (["ext", "add", "1050", "--secret", "1234"], "extension 1050: the secret is too weak"),
        (
            ["ext", "add", "1050", "--secret", "aaaaaaaaaaaa"],
            "extension 1050: the secret is too weak",
        ),
        (
            ["ext", "add", "1001", "--secret", "good-secret-1"],
            "extension 1001: known here already, as 'Phone 1001'",
        ),
        (
            ["ext", "add", "1050", "--secret", "good-secret-1", "--devices", "99"],
            "devices = 99: must be a whole number, 1 to 10",
        ),
        (
            ["ext", "add", "1050", "--secret", "good-secret-1", "--name", 'x"y'],
            "must not hold any of",
        ),
        (["ext", "set", "1050", "--name", "x"], "extension 1050: not known in the federation"),
        (["ext", "rm", "1050"], "extension 1050: not known in the federation"),
        (["ext", "show", "1050"], "extension 1050: not known in the federation"),
        (["where", "1050"], "extension 1050: not known in the federation"),
    ],
)
def test_a_bad_edit_is_one_line_and_changes_nothing(
    federation: Federation, argv: list[str], words: str
) -> None:
    """On the node where it was given, and on every other."""
    federation.add("1001")
    before = federation.objects()
    assert words in federation.refused("a", *argv)
    assert federation.objects() == before


def test_wrong_usage_is_2_and_a_daemon_that_is_away_is_3(federation: Federation) -> None:
    """Scripts depend on it."""
    lab = federation.lab
    assert lab.exec("a", ["pbxfed", "ext", "set", "1001"], capture_output=True).returncode == 2
    assert lab.exec("a", ["pbxfed", "no-such-command"], capture_output=True).returncode == 2
    lab.kill("a", "daemon")
    done = lab.exec("a", ["pbxfed", "status"], capture_output=True, text=True)
    lab.start("a", "daemon")
    assert done.returncode == 3
    assert "cannot be reached at http://127.0.0.1:8780" in done.stderr


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_wrong_configuration_is_refused_by_check_and_run(
    federation: Federation, command: str
) -> None:
    """File, key, value, remedy; unknown keys with the nearest known name."""
    node = federation.lab.node("a")
    text = node.config.read_text()
    wrong = node.folder / "wrong.toml"
    for change, words in (
        (("weight = 100", "weight = -1"), "node.weight = -1: must be 0 to 1000"),
        (("weight = 100", "wieght = 100"), "unknown key node.wieght: did you mean weight?"),
        (("[lan]", "[lann]"), "unknown section [lann]: did you mean lan?"),
        (
            ('address = "10.77.0.11"', 'address = "ten"'),
            "node.address = 'ten': must be an IPv4 address",
        ),
    ):
        wrong.write_text(text.replace(*change))
        said = federation.refused("a", command, "--config", str(wrong))
        assert str(wrong) in said
        assert words in said


def test_the_second_node_of_a_name_refuses_to_start(federation: Federation) -> None:
    """And says which address holds the name."""
    lab = federation.lab
    lab.kill("c", "daemon")
    state = lab.node("c").folder / "state"
    lab.configure("c", "node", "name", "b")
    try:
        other = lab.exec("c", ["pbxfed", "run"], capture_output=True, text=True, timeout=60)
        lab.configure("c", "node", "state", str(state.with_name("fresh")))
        done = lab.exec("c", ["pbxfed", "run"], capture_output=True, text=True, timeout=60)
    finally:
        lab.configure("c", "node", "name", "c")
        lab.configure("c", "node", "state", str(state))
        lab.start("c", "daemon")
    assert other.returncode == 1
    assert "belongs to node 'c', not to 'b'" in other.stderr
    assert done.returncode == 1
    assert "the node name 'b' is held by 10.77.0.12" in done.stderr
    assert "Traceback" not in done.stderr + other.stderr
    federation.until(federation.whole)


def test_health_tells_why(federation: Federation) -> None:
    """No ARI, no health: 503 with the reason, then health again by itself."""
    lab = federation.lab
    lab.kill("b", "asterisk")
    federation.until(lambda: lab.http("b", "GET", "/health")[0] == 503)
    federation.until(
        lambda: "Asterisk does not answer at http://127.0.0.1:8088" in reason(lab, "b")
    )
    lab.start("b", "asterisk")
    federation.until(lambda: lab.http("b", "GET", "/health")[0] == 200)

    password = Path(tomllib.loads(lab.node("b").config.read_text())["asterisk"]["password_file"])
    right = password.read_text()
    password.write_text("wrong\n")
    lab.kill("b", "daemon")
    try:
        with pytest.raises(LabError, match="ARI refuses user"):
            lab.node("b").start_daemon(within=8.0)
        assert "ARI refuses user 'pbxfed': check asterisk.password_file" in reason(lab, "b")
    finally:
        password.write_text(right)
        lab.kill("b", "daemon")
        lab.start("b", "daemon")
    federation.until(federation.whole)
    assert "Traceback" not in (lab.node("b").folder / "log" / "pbxfed.log").read_text()


def reason(lab: Lab, node: str) -> str:
    status, body = lab.http(node, "GET", "/health")
    assert status == 503
    assert body["status"] == "down"
    return str(body["reasons"])


def test_the_api_speaks_problem_json(federation: Federation) -> None:
    """Wrong type, no JSON, no object, unknown field, unknown route."""
    lab = federation.lab
    federation.add("1001")
    for body, status in (
        (["x"], 400),
        ({"colour": "red"}, 422),
        ({"name": 7}, 422),
        ({"devices": True}, 422),
    ):
        found, answer = lab.http("a", "PATCH", "/extensions/1001", body)
        assert (found, answer["status"]) == (status, status)
        assert answer["detail"]
    assert lab.http("a", "GET", "/no-such-route")[0] == 404
