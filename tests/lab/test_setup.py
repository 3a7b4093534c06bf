"""Calls in setup while something dies: they connect elsewhere in time, ring once, and ring nobody when the dead wake."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from lab.lab import Lab
from lab.process import Process
from tests.lab.conftest import Federation

ELSEWHERE = 2_500  # ms until a call toward a dying node has connected elsewhere; printed, and a bar of the bench


@pytest.fixture
def forwarded(federation: Federation) -> Iterator[Federation]:
    """1003 at c forwards to 1002 at b when it cannot be reached."""
    for number, node in ("1001", "a"), ("1002", "b"), ("1003", "c"):
        federation.phone(number, node)
    change(federation, "1003", forward_unreachable="1002")
    yield federation
    change(federation, "1003", forward_unreachable="")


def change(federation: Federation, number: str, **fields: object) -> None:
    assert federation.lab.http("a", "PATCH", f"/extensions/{number}", fields)[0] == 200
    federation.until(federation.whole)


def pid_of(lab: Lab, node: str, part: str) -> int:
    found = Process.load(lab.node(node)._record(part))
    assert found is not None
    return found.pid


def connects(federation: Federation, seconds: float = 6.0) -> int:
    """1001 calls 1003, whose node does not answer; how often that phone rings. Media both ways.

    Another node calls it, or 1002 answers, to whom it forwards: whichever is known first.
    """
    found = federation.lab.call("1001", "1003", hold=0.6, timeout=seconds)
    assert found.ok, found
    assert found.details["answered_by"] in ("1002", "1003")
    assert found.setup_ms is not None
    print(f"connected elsewhere after {found.setup_ms:.0f} ms (bar: {ELSEWHERE})")
    return int(found.details["answered_by"] == "1003")


def test_the_cable_of_the_called_node_is_out(forwarded: Federation) -> None:
    """Nobody knows it yet when the call begins; when it is back the phone does not ring again."""
    lab = forwarded.lab
    before = int(lab.phone("1003")["invites"])
    lab.cut("c")
    try:
        rang = connects(forwarded)
    finally:
        lab.heal()
    time.sleep(3)
    assert int(lab.phone("1003")["invites"]) == before + rang
    forwarded.until(forwarded.whole)


def test_the_called_asterisk_hangs_and_wakes(forwarded: Federation) -> None:
    """SIGSTOP: its daemon lives. The call goes elsewhere; awake again it lets the phone not ring once more."""
    lab = forwarded.lab
    before = int(lab.phone("1003")["invites"])
    pid = pid_of(lab, "c", "asterisk")
    os.kill(pid, signal.SIGSTOP)
    try:
        rang = connects(forwarded)
    finally:
        os.kill(pid, signal.SIGCONT)
    time.sleep(3)
    assert int(lab.phone("1003")["invites"]) == before + rang
    forwarded.until(forwarded.whole, 30)


def test_the_whole_node_hangs_and_wakes(forwarded: Federation) -> None:
    """Both are stopped; awake again, the call that waited in its buffers is too late."""
    lab = forwarded.lab
    before = int(lab.phone("1003")["invites"])
    pids = [pid_of(lab, "c", part) for part in ("daemon", "asterisk")]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        rang = connects(forwarded)
        time.sleep(2)
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)
    time.sleep(3)
    assert int(lab.phone("1003")["invites"]) == before + rang
    forwarded.until(forwarded.whole, 30)


def test_a_phone_that_rings_late_is_not_cut(forwarded: Federation) -> None:
    """Three seconds without 180 from the phone: its node had said that the call is there."""
    lab = forwarded.lab
    lab.drop("phones:c", "udp sport 5060", count=2)  # the phone hears the INVITE late
    try:
        found = lab.call("1001", "1003", hold=0.6, timeout=12)
    finally:
        lab.undrop("phones:c")
    assert found.ok, found
    assert found.details["answered_by"] == "1003"


def test_sip_alone_is_blocked(forwarded: Federation) -> None:
    """The node lives: its second trunk carries the call."""
    lab = forwarded.lab
    lab.drop("c", f"ip saddr {lab.node('a').host.address} udp dport 5060")
    try:
        found = lab.call("1001", "1003", hold=0.6, timeout=8)
    finally:
        lab.undrop("c")
    assert found.ok, found
    assert (found.trunk, found.details["answered_by"]) == ("iax2", "1003")
