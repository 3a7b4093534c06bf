"""Calls are recorded by real Asterisks: who is heard on it, how many files there are, and what is told."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lab.lab import Lab
from lab.root import ensure_tools
from tests.lab.conftest import Federation
from tests.lab.furnishing import (
    both_hear,
    calm,
    connecting,
    in_mode,
    nothing_left,
    packets,
    press_at_once,
    put,
    registered,
    rings_in_mode,
)
from tests.lab.recording import seconds_of

PHONES = {"1001": "a", "1002": "a", "1003": "c", "1004": "b"}


@pytest.fixture
def recorded(federation: Federation) -> Iterator[Federation]:
    """1003, at c, is recorded."""
    with registered(federation, PHONES):
        put(federation, "extension", "1003", record=True)
        for node in "abc":
            shutil.rmtree(folder(federation.lab, node), ignore_errors=True)
        yield federation


def folder(lab: Lab, node: str) -> Path:
    return lab.node(node).folder / "spool" / "recording" / "pbxfed"


def files(lab: Lab, node: str = "a") -> list[str]:
    """The recordings that stand at a node."""
    return sorted(path.stem for path in folder(lab, node).glob("*"))


def going_on(federation: Federation) -> str:
    """The id of the only call that came in at a and goes on."""
    (call,) = federation.get("a", "/calls")
    return str(call["call"])


def record_of(federation: Federation, call: str) -> Any:
    """The record at a of a call that is over; it is kept a moment later."""

    def kept() -> list[Any]:
        found = federation.get("a", "/calls/records?last=true&limit=9")
        return [one for one in found if one["call"] == call]

    federation.until(lambda: len(kept()) == 1, 5, what="its record")
    return kept()[0]


def fetch(federation: Federation, node: str, call: str) -> bytes:
    """What a node says to who asks it for a recording."""
    ensure_tools({"curl": "curl"})
    file = federation.lab.node(node).folder / "fetched"
    url = f"http://127.0.0.1:8780/calls/{call}/recording"
    federation.lab.exec(node, ["curl", "-s", "-o", str(file), url])
    return file.read_bytes()


def heard(
    federation: Federation, recording: bytes, *phones: str, last: float = 3600.0
) -> list[float]:
    """For how long each of these is heard in its last seconds."""
    tones = [int(federation.lab.phone(phone)["hertz"]) for phone in phones]
    return [seconds_of(recording, tone, last=last) for tone in tones]


@pytest.mark.parametrize("control", ["handover", "bridge"])
def test_a_recording_holds_both_sides(recorded: Federation, control: str) -> None:
    """It is where the call came in, and nowhere else; the record names it. Who is not marked is not recorded."""
    with connecting(recorded.lab, control):
        calm(recorded, control, called="1004")
        _holds_both_sides(recorded, control)


def _holds_both_sides(recorded: Federation, control: str) -> None:
    lab = recorded.lab
    dialled = lab.dial("1001", "1003")
    call = going_on(recorded)
    time.sleep(2)
    assert both_hear(recorded, dialled)
    assert recorded.get("a", "/calls")[0]["recording"] == f"pbxfed/{call}"
    assert b"goes on" in fetch(recorded, "a", call)
    lab.hang_up(dialled)
    kept = record_of(recorded, call)
    assert (kept["control"], kept["node"], kept["recording_error"]) == ("handover", "a", "")
    assert kept["recording"] == f"pbxfed/{call}"
    assert kept["talked_seconds"] + 0.2 > kept["recorded_seconds"] > kept["talked_seconds"] - 0.5
    sound = fetch(recorded, "a", call)
    assert min(heard(recorded, sound, "1001", "1003")) > 1.5
    assert b"came here from a: ask there" in fetch(recorded, "c", call)
    dialled = in_mode(control, recorded, "1001", "1004")
    time.sleep(0.5)
    unmarked = going_on(recorded)
    lab.hang_up(dialled)
    kept = record_of(recorded, unmarked)
    assert (kept["control"], kept["recording"]) == (control, "")
    assert b"was not recorded" in fetch(recorded, "a", unmarked)
    assert {node: files(lab, node) for node in "abc"} == {"a": [call], "b": [], "c": []}
    nothing_left(recorded)


def test_who_calls_is_recorded_too_and_a_try_that_fails_leaves_nothing(
    recorded: Federation,
) -> None:
    """1004 is busy, 1002 answers; the caller is marked, and nobody else."""
    lab = recorded.lab
    put(recorded, "extension", "1001", record=True)
    put(recorded, "extension", "1003", record=False)
    put(recorded, "group", "601", members=["1004", "1002"], strategy="hunt")
    lab.manners("1004", refuse="486 Busy Here")
    try:
        assert recorded.fails("1001", "1004")[0] == 486
        assert files(lab) == []
        dialled = lab.dial("1001", "601")
        call = going_on(recorded)
        time.sleep(1)
        lab.hang_up(dialled)
        kept = record_of(recorded, call)
        assert (kept["tries"], kept["control"]) == (2, "handover")
        assert min(heard(recorded, fetch(recorded, "a", call), "1001", "1002")) > 0.6
        assert files(lab) == [call]
    finally:
        put(recorded, "extension", "1001", record=False)
    nothing_left(recorded)


def test_a_daemon_that_dies_and_returns_records_on_and_once(
    recorded: Federation,
) -> None:
    """Asterisk does it; the record of the call tells of all of it."""
    lab = recorded.lab
    dialled = lab.dial("1001", "1003")
    call = going_on(recorded)
    time.sleep(1.5)
    lab.kill("a", "daemon")
    time.sleep(1)
    lab.start("a", "daemon")
    recorded.until(recorded.whole)
    time.sleep(1)
    assert both_hear(recorded, dialled)
    assert recorded.get("a", "/calls")[0]["recording"] == f"pbxfed/{call}"
    lab.hang_up(dialled)
    kept = record_of(recorded, call)
    assert (kept["recording"], kept["recording_error"]) == (f"pbxfed/{call}", "")
    assert kept["recorded_seconds"] > kept["talked_seconds"] - 0.5 > 3
    assert min(heard(recorded, fetch(recorded, "a", call), "1001", "1003")) > 3
    assert files(lab) == [call]
    nothing_left(recorded)


def test_who_is_answered_while_the_daemon_is_away_is_recorded(
    recorded: Federation,
) -> None:
    """From the answer on."""
    lab = recorded.lab
    lab.manners("1003", answer_after_ms=2_000)
    with ThreadPoolExecutor(1) as pool:
        ringing = rings_in_mode("handover", recorded, pool, "1001", "1003")
        call = going_on(recorded)
        lab.kill("a", "daemon")
        dialled = ringing.result()
    lab.start("a", "daemon")
    recorded.until(recorded.whole)
    time.sleep(1.5)
    lab.hang_up(dialled)
    kept = record_of(recorded, call)
    assert (kept["answered"], kept["recording"]) == (True, f"pbxfed/{call}")
    assert min(heard(recorded, fetch(recorded, "a", call), "1001", "1003")) > 1
    assert files(lab) == [call]
    nothing_left(recorded)


def test_a_recording_that_asterisk_declines_is_told_and_the_call_goes_on(
    recorded: Federation,
) -> None:
    """Where its folder should be there is a file. The log says it once."""
    lab = recorded.lab
    folder(lab, "a").write_text("")
    try:
        dialled = lab.dial("1001", "1003")
        call = going_on(recorded)
        time.sleep(1.5)
        assert both_hear(recorded, dialled)
        lab.hang_up(dialled)
        kept = record_of(recorded, call)
        assert kept["recording"] == ""
        assert kept["recording_error"]
        assert kept["recording_error"].encode() in fetch(recorded, "a", call)
        said = (lab.node("a").folder / "log" / "pbxfed.log").read_text()
        told = [line for line in said.splitlines() if call in line and "not recorded" in line]
        assert len(told) == 1
    finally:
        folder(lab, "a").unlink()
    nothing_left(recorded)


def test_who_holds_is_recorded_again_when_he_talks_again(recorded: Federation) -> None:
    """What Asterisk says while he holds may be numbered higher than what he says after it, which would be late then."""
    lab = recorded.lab
    for _ in range(5):
        dialled = lab.dial("1001", "1003")
        call, held = going_on(recorded), lab.calls_of("1003")[-1]["call"]
        assert both_hear(recorded, dialled)
        lab.hold("1003", held)
        time.sleep(0.5)
        lab.hold("1003", held, on=False)
        assert both_hear(recorded, dialled)
        time.sleep(1.5)
        lab.hang_up(dialled)
        record_of(recorded, call)
        assert min(heard(recorded, fetch(recorded, "a", call), "1001", "1003", last=1.5)) > 0.7
    nothing_left(recorded)


def test_keys_that_both_press_at_once_while_they_are_recorded_pass(recorded: Federation) -> None:
    """By INFO, as some phones send them: no Asterisk answers the packets of the other's key by more of its own."""
    lab = recorded.lab
    dialled = lab.dial("1001", "1003")
    calls = {"1001": dialled.id, "1003": str(lab.calls_of("1003")[-1]["call"])}
    began, before = time.monotonic(), packets(recorded)
    for keys in "5", "55", "555":
        press_at_once(recorded, calls, keys, info=True)
        assert both_hear(recorded, dialled)
    assert packets(recorded) - before < 50 * (time.monotonic() - began) + 200
    lab.hang_up(dialled)
    nothing_left(recorded)


def test_who_is_transferred_is_recorded_anew(recorded: Federation) -> None:
    """1001 transfers 1003, who is marked, to 1004: a second call, with a second recording."""
    lab = recorded.lab
    dialled = lab.dial("1001", "1003")
    first = going_on(recorded)
    time.sleep(1)
    assert lab.transfer("1001", dialled.id, "1004") == 202
    recorded.until(
        lambda: bool(lab.calls_of("1004")) and lab.calls_of("1004")[-1]["state"] == "answered", 6
    )
    time.sleep(1.5)
    lab.end("1004", lab.calls_of("1004")[-1]["call"])
    nothing_left(recorded)
    found = files(lab)
    assert first in found
    assert len(found) == 2
    assert [record_of(recorded, call)["recording"] for call in found] == [
        f"pbxfed/{call}" for call in found
    ]
    sounds = [fetch(recorded, "a", call) for call in found]
    assert sum(heard(recorded, sound, "1004")[0] for sound in sounds) > 1
    assert sum(heard(recorded, sound, "1001")[0] for sound in sounds) > 0.6
