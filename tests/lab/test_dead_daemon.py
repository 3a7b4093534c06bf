"""Somebody waits in Stasis, rings, or is called in vain while a daemon is dead: each is served, and has a record."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from lab.process import Process
from tests.lab.conftest import Federation
from tests.lab.furnishing import connecting, nothing_left, rings_in_mode


def test_who_waits_for_a_dead_daemon_is_served_when_it_is_back(federation: Federation) -> None:
    """It was inside Stasis when the daemon stopped; who calls while it is dead has the dialplan's own way."""
    lab = federation.lab
    for number, node in ("1001", "a"), ("1002", "a"), ("1003", "c"):
        federation.phone(number, node)
    daemon = Process.load(lab.places.run / "a.daemon")
    assert daemon is not None
    os.kill(daemon.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(lab.call, "1001", "1003", timeout=9)
        time.sleep(0.7)
        lab.kill("a", "daemon")
        lab.start("a", "daemon")
        result = waits.result()
    assert result.ok, result
    federation.until(federation.whole)
    lab.kill("a", "daemon")
    local, there = (lab.call("1001", number, hold=0.6) for number in ("1002", "1003"))
    lab.start("a", "daemon")
    assert local.ok, local
    assert there.ok, there
    federation.until(federation.whole)


def rung(federation: Federation, times: int) -> None:
    """Wait until 1003 has been called so often, ever; and rings, which is known at a, too."""
    federation.until(
        lambda: int(federation.lab.phone("1003")["invites"]) == times, what="1003 rings"
    )
    time.sleep(0.5)


@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_who_rang_while_the_daemon_died_and_is_answered_after_its_return_has_a_record(
    federation: Federation, control: str
) -> None:
    """Dial rings on without it, and so does a leg of our own: the daemon that returns knows both."""
    lab = federation.lab
    for number, node in ("1001", "a"), ("1003", "c"):
        federation.phone(number, node)
    lab.manners("1003", answer_after_ms=4000)
    with connecting(lab, control), ThreadPoolExecutor(1) as pool:
        call = rings_in_mode(control, federation, pool, "1001", "1003")
        time.sleep(0.5)  # known at a, too
        lab.kill("a", "daemon")
        lab.start("a", "daemon")
        dialled = call.result()
        time.sleep(1.0)
        result = lab.finish(dialled)
    talked = time.time() - dialled.started - dialled.setup_ms / 1_000
    lab.manners("1003")
    assert result.ok, result
    nothing_left(federation)
    since = datetime.fromtimestamp(dialled.started, UTC).isoformat()
    asked = f"/calls/records?since={since.replace('+00:00', 'Z')}&number=1003"
    (record,) = federation.get("a", asked)
    assert (record["from"], record["reached"], record["answered"]) == ("1001", "1003", True)
    assert record["control"] == control
    assert 0.8 < record["talked_seconds"] < talked + 0.5


def test_a_try_that_fails_while_the_daemon_is_dead_takes_the_local_path(
    federation: Federation,
) -> None:
    """Nobody answers there, and nobody is here: 480, when the daemon was waited for; who was rung is not rung once more."""
    lab = federation.lab
    for number, node in ("1001", "a"), ("1003", "c"):
        federation.phone(number, node)
    lab.manners("1003", answer_after_ms=None)
    lab.configure("a", "calls", "ring_seconds", 3)
    before = int(lab.phone("1003")["invites"])
    began = time.monotonic()
    try:
        with ThreadPoolExecutor(1) as pool:
            rings = pool.submit(lab.call, "1001", "1003", timeout=15)
            rung(federation, before + 1)
            lab.kill("a", "daemon")
            result = rings.result()
        took = time.monotonic() - began
    finally:
        lab.configure("a", "calls", "ring_seconds", 30)
        lab.start("a", "daemon")
        lab.manners("1003")
    assert str(result.cause).startswith("480"), result
    assert took < 8
    federation.until(federation.whole)
