"""`pbxfed drain` and `undrain`, as they are typed."""

from __future__ import annotations

import json
import time

import pytest

from pbxfed_ari.cli import draining
from pbxfed_ari.core.events import ContactAdded, ContactRemoved
from pbxfed_ari.core.names import Extension
from tests.cli.conftest import Shell


def test_it_is_ordered_shown_and_taken_back(shell: Shell) -> None:
    """One line each; --json for scripts."""
    assert shell("drain", "--deadline", "60").startswith(
        "drained: 0 calls and 0 phones are left; 60 s"
    )
    state = json.loads(shell("drain", "--show", "--json"))
    assert (state["drains"], state["calls"]) == (True, 0)
    assert "not drained" in shell("undrain")
    assert "not drained" in shell("drain", "--show")


def test_waiting_ends_when_nobody_is_left(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, if nobody is; phones that stay are waited for, and named."""
    monkeypatch.setattr(draining, "PAUSE", 0.01)
    assert shell("drain", "--wait").startswith("drained: 0 calls and 0 phones")
    shell("undrain")
    shell("ext", "add", "1001", "--name", "A", "--secret", "correct-horse-9")
    uri = "sip:1001@10.1.0.7:5060"
    shell.daemon.news.append(ContactAdded(Extension("1001"), uri, 1))
    looks = []

    def gone(seconds: float) -> None:
        looks.append(seconds)
        shell.daemon.news.append(ContactRemoved(Extension("1001"), uri))

    monkeypatch.setattr(time, "sleep", gone)
    text = shell("drain", "--wait", "--deadline", "60")
    assert text.splitlines()[0] == "0 calls and 1 phones are left, 60 s to the deadline"
    assert text.splitlines()[1].startswith("drained: 0 calls and 0 phones")
    assert looks == [0.01]


def test_what_does_not_go_together_is_wrong_usage(shell: Shell) -> None:
    """And changes nothing."""
    assert shell.run("drain", "--show", "--end").exit_code == 2
    assert shell.run("drain", "--deadline", "0").exit_code == 2
    assert "not drained" in shell("drain", "--show")
