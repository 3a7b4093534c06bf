"""`python -m lab` as a person uses it: five nodes, calls, deaths, cuts, bytes, and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from lab.lab import Lab
from lab.netns import Network
from lab.places import CHECKOUT, Places
from tests.lab.furnishing import known

PLACES = Places(CHECKOUT / ".lab-test-commands")


def lab(*argv: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "lab", *argv],
        cwd=CHECKOUT,
        env={**os.environ, "PBXFED_LAB": str(PLACES.state)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, (argv, done.returncode, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def five() -> Iterator[None]:
    lab("down")
    lab("up", "--nodes", "5")
    yield
    lab("down")


def pbxfed(node: str, *argv: str) -> str:
    return lab("exec", node, "--", "pbxfed", *argv)


def until_seen(node: str, states: dict[str, str]) -> None:
    end = time.monotonic() + 15
    while True:
        found = {m["node"]: m["state"] for m in json.loads(pbxfed(node, "members", "--json"))}
        if all(found.get(name) == state for name, state in states.items()):
            return
        assert time.monotonic() < end, found
        time.sleep(0.2)


def add_phone(number: str, node: str) -> None:
    secret = f"secret-of-{number}"
    pbxfed("a", "ext", "add", number, "--name", f"Phone {number}", "--secret", secret)
    end = time.monotonic() + 10
    while True:
        try:
            lab("phone", "register", number, node, "--secret", secret)
            return
        except AssertionError:
            assert time.monotonic() < end
            time.sleep(0.2)


@pytest.mark.usefixtures("five")
def test_the_contract_of_the_lab() -> None:
    """DESIGN's commands, one after another, each doing what it says."""
    until_seen("a", dict.fromkeys("abcde", "alive"))
    status = json.loads(lab("status", "--json"))
    assert status["domain"] == "pbxfed.lab"
    assert [(n["name"], n["asterisk"], n["daemon"]) for n in status["nodes"]] == [
        (n, "up", "up") for n in "abcde"
    ]

    for number, node in ("2001", "a"), ("2002", "e"):
        add_phone(number, node)
    known(Lab(PLACES), "2002", "e", by="a")
    found = json.loads(lab("call", "2001", "2002", "--hold", "0.6", "--json"))
    assert found["ok"] is True
    assert (found["from"], found["to"], found["nodes"], found["trunk"]) == (
        "2001",
        "2002",
        ["a", "e"],
        "sip",
    )
    assert found["media"] == {"a_to_b": True, "b_to_a": True}
    assert found["setup_ms"] > 0
    assert found["cause"] is None
    assert [e["extension"] for e in json.loads(pbxfed("e", "ext", "list", "--json"))] == [
        "2001",
        "2002",
    ]
    assert "PJSIP/" not in lab("exec", "a", "--", "asterisk", "-rx", "core show channels concise")

    traffic = json.loads(lab("bytes", "--json"))
    assert traffic["a"]["federation"]["tx_frames"] > 0
    assert traffic["a"]["tx_bytes"] > traffic["a"]["federation"]["tx_bytes"]

    lab("kill", "c", "--daemon")
    lab("kill", "d")
    lab("cut", "b")
    until_seen("a", {"b": "down", "c": "down", "d": "down", "e": "alive"})
    lab("heal")
    lab("start", "c", "--daemon")
    lab("start", "d")
    until_seen("a", dict.fromkeys("abcde", "alive"))
    assert "starts as node a" in lab("logs", "a")


@pytest.mark.usefixtures("five")
def test_a_call_fails_when_media_does_not_flow_both_ways() -> None:
    """An answered call is not yet a conversation."""
    there = Lab(PLACES)
    there.drop("phones:e", "udp dport 10000-20000", outgoing=True)
    try:
        found = json.loads(lab("call", "2001", "2002", "--hold", "0.6", "--json", code=1))
    finally:
        there.undrop("phones:e")
    assert found["ok"] is False
    assert found["media"] == {"a_to_b": True, "b_to_a": False}
    assert "nothing heard from b to a" in found["cause"]


@pytest.mark.usefixtures("five")
def test_down_leaves_nothing() -> None:
    """No namespace, no process, no file; and once more changes nothing."""
    lab("down")
    lab("down")
    assert not PLACES.state.exists()
    assert Network(PLACES.prefix).leftovers() == []
