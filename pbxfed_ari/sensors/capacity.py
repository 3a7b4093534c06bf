"""What this machine can carry, in relation to others: measured in a few seconds, and safe beside running calls.

A piece of work is what a call costs a PBX, in parts: headers are read, digests computed, media sealed and moved. All processors
do it at once, at the lowest priority; what counts is pieces per second of processor time, so that what else runs here, the
calls before all, changes little. Limits of the control group are kept (cpu.max; cgroups(7)).
"""

import hashlib
import hmac
import json
import os
import re
import time
import zlib
from dataclasses import asdict, dataclass
from math import log
from pathlib import Path

KEPT_AS = "capacity.json"
PER_UNIT = (
    40.0  # pieces a second that are one of weight: two processors of a server of 2024 are some 100
)
STEP = 1.1  # between two weights
LIGHTEST, HEAVIEST = 1, 1_000
UNKNOWN = 100  # the weight of who never measured
CGROUPS = Path("/sys/fs/cgroup")
SLICE = 0.25  # seconds that one measure takes
_HEADER = re.compile(rb"^([A-Za-z-]+)\s*:\s*(.*?)\r?$", re.MULTILINE)
_INVITE = (
    b"INVITE sip:1002@pbx.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.7:5060;branch=z9hG4bK776asdhds;rport\r\n"
    b"Max-Forwards: 70\r\nTo: <sip:1002@pbx.example>\r\nFrom: Ann <sip:1001@pbx.example>;tag=1928301774\r\n"
    b"Call-ID: a84b4c76e66710@10.0.0.7\r\nCSeq: 314159 INVITE\r\nContact: <sip:1001@10.0.0.7:5060>\r\n"
    b"Content-Type: application/sdp\r\nContent-Length: 142\r\n\r\n"
)
_KEY, _PACKET, _MEDIA = bytes(20), bytes(172), _INVITE * 40


@dataclass(frozen=True, slots=True)
class Capacity:
    """What was found."""

    weight: int
    pieces: float  # a second of one processor
    processors: float  # that may be used
    wall_ms: int  # when

    def save(self, state: Path) -> None:
        """Keep it in a node's state folder. Raises: OSError."""
        fresh = state / f"{KEPT_AS}.new"
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(state / KEPT_AS)


def kept(state: Path) -> Capacity | None:
    """What was found last and kept; None if nothing was, or it cannot be read."""
    try:
        found = Capacity(**json.loads((state / KEPT_AS).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    whole = isinstance(found.weight, int) and LIGHTEST <= found.weight <= HEAVIEST
    return found if whole else None


def measure(seconds: float, wall_ms: int, before: int = 0) -> Capacity:
    """Work for about so many seconds on all processors; `before` is the weight that stands, 0 if none does."""
    import multiprocessing  # the daemon, which reads what was kept, needs none of it

    ours = sorted(os.sched_getaffinity(0))
    fork = multiprocessing.get_context("fork")
    with fork.Pool(len(ours), os.nice, (19,)) as pool:
        found = pool.map(_pace, [(one, seconds) for one in ours], chunksize=1)
    processors = min(float(len(ours)), quota(CGROUPS, Path("/proc/self/cgroup")))
    pieces = sum(found) / len(found)
    weight = stepped(pieces * processors / PER_UNIT, before)
    return Capacity(weight, round(pieces, 1), round(processors, 2), wall_ms)


def stepped(raw: float, before: int = 0) -> int:
    """A weight in steps of a tenth; the one before stands if this is less than a step away."""
    if before and abs(log(max(raw, 0.1) / before)) < log(STEP):
        return before
    rounded = round(STEP ** round(log(max(raw, 1.0)) / log(STEP)))
    return min(HEAVIEST, max(LIGHTEST, rounded))


def quota(mount: Path, mine: Path) -> float:
    """Processors that our control group and those above it allow; infinite without a limit."""
    try:
        group = next(line[3:] for line in mine.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return float("inf")
    place = mount / group.strip("/")
    found = [float("inf")]
    for folder in (place, *place.parents):
        if folder.is_relative_to(mount):
            found.append(_limit(folder / "cpu.max"))
    return min(found)


def _limit(file: Path) -> float:
    try:
        most, period = file.read_text().split()
        return int(most) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max", or no such file
        return float("inf")


def _pace(task: tuple[int, float]) -> float:
    """Pieces per second of processor time, the median of slices, on one processor."""
    from statistics import median

    processor, seconds = task
    os.sched_setaffinity(0, {processor})
    paces: list[float] = []
    ends = time.monotonic() + seconds
    while not paces or time.monotonic() < ends:
        began, pieces = time.process_time(), 0
        while (used := time.process_time() - began) < SLICE:
            _piece()
            pieces += 1
        paces.append(pieces / used)
    return median(paces)


def _piece() -> None:
    for _ in range(20):
        dict(_HEADER.findall(_INVITE))
    for call in range(40):
        hashlib.md5(b"1001:pbx.example:%d" % call, usedforsecurity=False).hexdigest()
    for _ in range(50):
        hmac.digest(_KEY, _PACKET, "sha1")
    zlib.compress(_MEDIA, 6)
