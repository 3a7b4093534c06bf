"""Calls by the hundred: Debian's SIPp as callers and callees, in the phones' namespaces. It shows signalling, no media.

load = Load(lab)
load.answer("b", ["2001", "2002"], secret)          # registered at b, ring and answer at once
print(load.call("a", ["1001"], ["2001", "2002"], secret, rate=50, seconds=10))
"""

from __future__ import annotations

import itertools
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from lab import wander
from lab.lab import Lab
from lab.places import LabError
from lab.root import ensure_tools

SCENARIOS = Path(__file__).with_name("sipp")
TOOLS = {"sipp": "sip-tester"}
CALLEES = 5090  # the port of a node's; the phones have those from 5100 on, and SIPp its media from 6000 on
CALLERS = itertools.count(7000)
LONGEST, MOST = 90, 200  # seconds, and calls a second: no bench of ours needs more
PATIENCE = 40  # seconds, after the last call has begun, until none can be left


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a load."""

    rate: float
    made: int
    good: int
    failed: int
    setups: tuple[float, ...]  # ms, in order
    why: str  # what SIPp says of the failed ones

    @property
    def setup(self) -> float:
        """The mean of the middle half, in ms: SIPp's clock ticks in steps of 4."""
        ordered = sorted(self.setups)
        middle = ordered[len(ordered) // 4 : len(ordered) - len(ordered) // 4]
        return fmean(middle) if middle else float("inf")

    def worst(self, percent: float) -> float:
        """What so many percent do not exceed, in ms."""
        ordered = sorted(self.setups)
        return ordered[int((len(ordered) - 1) * percent / 100)] if ordered else float("inf")

    def __str__(self) -> str:
        return (
            f"{self.good} of {self.made} good at {self.rate:g}/s, setup {self.setup:.1f} ms, p95 {self.worst(95):.0f}"
            f"{', ' if self.why else ''}{self.why}"
        )


class Running:
    """Calls that are being made."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, rate: float) -> None:
        self._process, self._folder, self._rate = process, folder, rate

    def outcome(self, patience: float) -> Outcome:
        """Wait until all have ended."""
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        return _read(self._folder, self._rate)

    def finish(self, patience: float) -> Outcome:
        """Begin no more calls, and wait until those that there are have ended."""
        self._process.send_signal(signal.SIGUSR1)
        return self.outcome(patience)

    def stop(self) -> None:
        """End it, whatever goes on."""
        self._process.kill()
        self._process.wait()


class Load:
    """Callers and callees of one lab. Processes end with the lab, or with `stop`."""

    def __init__(self, lab: Lab) -> None:
        ensure_tools(TOOLS)
        self._lab = lab
        self._callees: dict[str, subprocess.Popen[bytes]] = {}
        self._running: list[Running] = []
        self._folder = lab.places.state / "sipp"

    def __repr__(self) -> str:
        return f"Load({', '.join(sorted(self._callees))})"

    def answer(self, node: str, numbers: Sequence[str], secret: str) -> None:
        """Phones of these numbers, registered at a node, which answer whatever comes; each node has them once."""
        if old := self._callees.pop(node, None):
            old.kill()
            old.wait()
        folder = self._new_folder()
        rows = "".join(f"{number};{_proof(number, secret)}\n" for number in numbers)
        (folder / "rows.csv").write_text(f"SEQUENTIAL\n{rows}")
        many = str(len(numbers))
        asked = self._sipp(node, folder, "register", "-inf", "rows.csv", "-m", many, "-r", "50")
        if asked.wait(20):  # from the callee's own port: Asterisk calls whence a phone registered
            raise LabError(f"{node}: not all of {', '.join(numbers)} could register")
        self._callees[node] = self._sipp(node, self._new_folder(), "callee")

    def call(
        self,
        node: str,
        callers: Sequence[str],
        called: Sequence[str],
        secret: str,
        *,
        rate: float,
        seconds: float,
        hold: float = 2.0,
    ) -> Outcome:
        """So many calls a second for so long, each held for so long."""
        running = self.begin(node, callers, called, secret, rate=rate, seconds=seconds, hold=hold)
        return running.outcome(seconds + hold + PATIENCE)

    def begin(
        self,
        node: str,
        callers: Sequence[str],
        called: Sequence[str],
        secret: str,
        *,
        rate: float,
        seconds: float,
        hold: float = 2.0,
    ) -> Running:
        """The same, and do not wait for it."""
        if rate > MOST or seconds > LONGEST:
            raise LabError(f"rate = {rate:g}, seconds = {seconds:g}: at most {MOST} and {LONGEST}")
        folder = self._new_folder()
        pairs = zip(itertools.cycle(callers), called, strict=False)
        rows = "".join(f"{one};{_proof(one, secret)};{number}\n" for one, number in pairs)
        (folder / "rows.csv").write_text(f"SEQUENTIAL\n{rows}")
        many, tenths = str(max(1, round(rate * seconds))), 100
        process = self._sipp(
            node,
            folder,
            "caller",
            *(
                "-p",
                str(next(CALLERS)),
                "-inf",
                "rows.csv",
                "-m",
                many,
                "-d",
                str(round(hold * 1_000)),
            ),
            *("-r", str(round(rate * tenths)), "-rp", str(1_000 * tenths)),
            *("-trace_rtt", "-rtt_freq", "1", "-trace_stat", "-stf", "stat.csv", "-trace_err"),
        )
        self._running.append(Running(process, folder, rate))
        return self._running[-1]

    def listen(self, node: str) -> None:
        """Phones at a node's side that answer whatever comes to CALLEES; they register by other means."""
        self._callees[node] = self._sipp(node, self._new_folder(), "callee")

    def wander(
        self,
        node: str,
        callers: Sequence[str],
        called: Sequence[str],
        secret: str,
        orders: Sequence[Sequence[str]],
        *,
        rate: float,
        seconds: float,
        hold: float,
    ) -> Running:
        """Callers at a node's side who know several addresses, in these orders by turns, and go on by 503 and silence."""
        folder = self._new_folder()
        (folder / "wanderer.xml").write_text(wander.scenario(len(orders[0])))
        who = zip(itertools.cycle(callers), [*called] * len(orders), strict=False)
        rows = [
            ";".join([one, _proof(one, secret), number, *orders[n % len(orders)]])
            for n, (one, number) in enumerate(who)
        ]
        (folder / "rows.csv").write_text("\n".join(["SEQUENTIAL", *rows, ""]))
        many = str(max(1, round(rate * seconds)))
        port, ms = str(next(CALLERS)), str(round(hold * 1_000))
        options = ("-p", port, "-inf", "rows.csv", "-m", many, "-d", ms, "-r", str(round(rate)))
        told = ("-trace_stat", "-stf", "stat.csv", "-trace_err")
        process = self._sipp(node, folder, folder / "wanderer", *options, *told)
        self._running.append(Running(process, folder, rate))
        return self._running[-1]

    def stop(self) -> None:
        """No more callers and callees."""
        while self._running:
            self._running.pop().stop()
        for process in self._callees.values():
            process.kill()
            process.wait()
        self._callees.clear()

    def _new_folder(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=self._folder))

    def _sipp(
        self, node: str, folder: Path, scenario: str | Path, *options: str
    ) -> subprocess.Popen[bytes]:
        member = self._lab.node(node)
        server, phones = member.host.address, member.phones
        command = ["ip", "netns", "exec", phones.namespace, "sipp", f"{server}:5060"]
        command += ["-sf", str(SCENARIOS / f"{scenario}.xml"), "-i", phones.address]
        command += [
            "-p",
            str(CALLEES),
            "-nostdin",
            "-aa",
            "-timer_resol",
            "1",
            "-l",
            str(MOST * LONGEST),
        ]
        with (folder / "said").open("wb") as said:
            found = subprocess.Popen(
                [*command, *options], cwd=folder, stdout=said, stderr=said, stdin=subprocess.DEVNULL
            )
        time.sleep(0.05)
        return found


def _proof(number: str, secret: str) -> str:
    """What SIPp puts in an answer to a challenge; it takes it from a file of rows only as a whole."""
    return f"[authentication username={number} password={secret}]"


def _read(folder: Path, rate: float) -> Outcome:
    """What SIPp has written down."""
    stat = folder / "stat.csv"
    if not stat.exists() or len(lines := stat.read_text().splitlines()) < 2:
        raise LabError(f"sipp has measured nothing: {(folder / 'said').read_text()[-500:]}")
    last = dict(zip(lines[0].split(";"), lines[-1].split(";"), strict=False))
    made, good = int(last["TotalCallCreated"]), int(last["SuccessfulCall(C)"])
    if not made:
        raise LabError(f"sipp has called nobody: {(folder / 'said').read_text()[-500:]}")
    setups: list[float] = []
    for path in folder.glob("*_rtt.csv"):
        rows = (row.split(";") for row in path.read_text().splitlines()[1:])
        setups += [float(row[1]) for row in rows if len(row) > 2]
    errors = "\n".join(path.read_text(errors="replace") for path in folder.glob("*_errors.log"))
    why = _gist(errors) if made > good else ""
    return Outcome(rate, made, good, made - good, tuple(setups), why)


def _gist(errors: str) -> str:
    """How often each kind of failure was written."""
    counted: dict[str, int] = {}
    for line in errors.splitlines():
        if "SIP/2.0 " in line and (status := line.partition("SIP/2.0 ")[2].strip()):
            counted[status[:40]] = counted.get(status[:40], 0) + 1
        elif "timeout" in line.lower() or "retrans" in line.lower():
            counted["timeouts"] = counted.get("timeouts", 0) + 1
    return ", ".join(f"{times} times {what}" for what, times in sorted(counted.items()))
