"""A node is drained: what it does, and what becomes of its calls at the deadline."""

from __future__ import annotations

import contextlib

import pytest

from lab.places import LabError
from tests.lab.conftest import Federation


def test_what_a_drained_node_does(federation: Federation) -> None:
    """Phones' new calls get 503, phones here are called from elsewhere, and DNS names it last."""
    lab = federation.lab
    federation.phone("1001", "a")
    federation.phone("1005", "b")
    lab.pbxfed("a", "drain", "--deadline", "60")
    try:
        federation.until(
            lambda: all(
                next(m for m in federation.get(n, "/members") if m["node"] == "a")["drains"]
                for n in "abc"
            )
        )
        assert str(lab.call("1001", "1005").cause).startswith("503")
        assert lab.call("1005", "1001").ok
        assert "a" not in {m["node"] for m in federation.get("b", "/ring")["members"]}
        text = lab.pbxfed("a", "drain", "--show")
        assert "0 calls and " in text
        assert "phones are left (1001" in text
    finally:
        lab.pbxfed("a", "undrain")
    assert lab.call("1001", "1005").ok


def test_a_deadline_is_told_and_ends_calls_if_that_was_asked(federation: Federation) -> None:
    """The command's exit code says so, too."""
    lab = federation.lab
    federation.phone("1001", "a")
    federation.phone("1005", "b")
    dialled = lab.dial("1001", "1005")
    try:
        with pytest.raises(LabError, match="1 calls are left at the deadline"):
            lab.pbxfed("a", "drain", "--deadline", "2", "--wait")
        events = federation.get("a", "/events?limit=1000")
        told = [e["fields"] for e in events if e["event"] == "drain_deadline"]
        assert (told[-1]["calls_left"], told[-1]["ended"]) == (1, 0)
        lab.pbxfed("a", "drain", "--deadline", "1", "--wait", "--end")
        federation.until(lambda: federation.get("a", "/calls") == [])
    finally:
        lab.pbxfed("a", "undrain")
        with contextlib.suppress(LabError):
            lab.hang_up(dialled)  # it has ended already
