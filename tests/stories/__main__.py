"""make stories: the long simulations, over all cores.

    python -m tests.stories                everything: the matrix, the days, the crowds, the storms over calls
    python -m tests.stories ROW N SEED     one case of the matrix, again

PBXFED_SEEDS (1000) seeds of each row in each of the sizes PBXFED_SIZES ("3 8 32"), and a tenth of that of each kind of storm;
PBXFED_DAYS (1) simulated days at each loss; PBXFED_STORIES ("matrix days crowds slow calls") says which parts. Prints how far
it is, what it ran, and for what failed the command that shows it again. Exits with 1 if anything failed.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from importlib import import_module
from typing import TypeVar

from tests.stories import long, slow, storm
from tests.stories.matrix import ROWS, SIZES, Case, first_seed

MODULES = ("network", "disk", "state")
CHUNK = 10  # cases in one task
RATE = 0.01  # false deaths a node and day at 5 % loss
Result = TypeVar("Result")


def main(arguments: list[str]) -> int:
    """The parts that are asked for; 0 if all held."""
    load()
    if arguments:
        number, size, seed = map(int, arguments)
        Case(number, size, seed).play()
        print(f"row {number} ({ROWS[number].what}), {size} nodes, seed {seed}: holds")
        return 0
    parts = {"matrix": matrix, "days": days, "crowds": crowds, "slow": slow_members, "calls": calls}
    chosen = os.environ.get("PBXFED_STORIES", " ".join(parts)).split()
    with ProcessPoolExecutor(initializer=load) as pool:
        held = [parts[name](pool) for name in chosen]
    return 0 if all(held) else 1


def load() -> None:
    """All rows, in this process."""
    logging.disable(logging.WARNING)  # what a store says of the damage that it is done
    for module in MODULES:
        import_module(f"tests.stories.test_matrix_{module}")


def matrix(pool: ProcessPoolExecutor) -> bool:
    """Every row in every size; says how many it ran of each."""
    seeds = int(os.environ.get("PBXFED_SEEDS", "1000"))
    sizes = [int(n) for n in os.environ.get("PBXFED_SIZES", " ".join(map(str, SIZES))).split()]
    base = first_seed()
    print(
        f"{len(ROWS)} rows, {seeds} seeds from {base} (PBXFED_SEED_BASE), {sizes} nodes", flush=True
    )
    failures: list[str] = []
    for number, row in sorted(ROWS.items()):
        for size in sizes:
            began, ran = time.monotonic(), 0
            cases = [Case(number, size, base + i) for i in range(seeds)]
            chunks = [cases[i : i + CHUNK] for i in range(0, seeds, CHUNK)]
            for some, failed in _spread(pool, play, chunks):
                ran += some
                failures += failed
                _progress(f"row {number}, {size} nodes: {ran} of {seeds}")
            took = time.monotonic() - began
            print(
                f"row {number:2}, {size:2} nodes: {ran} seeds, {took:.0f} s ({row.what})",
                flush=True,
            )
    print(*failures, sep="\n")
    print(f"matrix: {len(ROWS) * len(sizes) * seeds} cases, {len(failures)} failed", flush=True)
    return not failures


def play(cases: list[Case]) -> tuple[int, list[str]]:
    """How many were played, and what failed."""
    failures = []
    for case in cases:
        try:
            case.play()
        except Exception as error:
            text = str(error).splitlines()[:1] or [""]
            failures.append(f"FAILED {case.command}: {type(error).__name__}: {text[0][:200]}")
    return len(cases), failures


def days(pool: ProcessPoolExecutor) -> bool:
    """Simulated days of 32 members, at 1 and at 5 % loss."""
    count = float(os.environ.get("PBXFED_DAYS", "1"))
    held = True
    for loss, bar in (0.01, 0.0), (0.05, RATE):
        hours = round(24 * count)
        jobs = [(loss, 1.0, seed) for seed in range(hours)]
        parts: list[long.Quiet] = []
        for part in _spread(pool, _hour, jobs):
            parts.append(part)
            _progress(f"a day of 32 nodes at {loss:.0%} loss: {len(parts)} of {hours} hours")
        found = long.together(parts)
        held &= found.rate <= bar
        print(found, flush=True)
    return held


def _hour(job: tuple[float, float, int]) -> long.Quiet:
    return long.quiet(*job)


def crowds(pool: ProcessPoolExecutor) -> bool:
    """256 and 1,000 members."""
    for found in _spread(
        pool, _large, [(size, loss) for size in (256, 1_000) for loss in (0.0, 0.05)]
    ):
        print(found, flush=True)
    return True


def _large(job: tuple[int, float]) -> long.Large:
    return long.large(*job)


def slow_members(pool: ProcessPoolExecutor) -> bool:
    """False deaths against plain SWIM's."""
    held = True
    jobs = [(size, kind) for size in slow.SLOW for kind in ("blocked", "paused")]
    for found in _spread(pool, _slow, jobs):
        print(found, flush=True)
        held &= found.met
    return held


def _slow(job: tuple[int, str]) -> slow.Figures:
    return slow.figures(*job)


def calls(pool: ProcessPoolExecutor) -> bool:
    """Calls amid all that may happen."""
    seeds, base = max(1, int(os.environ.get("PBXFED_SEEDS", "1000")) // 10), first_seed()
    failures: list[str] = []
    for kind in storm.STORMS:
        ran = 0
        for some, failed in _spread(pool, _storm, [(kind, base + i) for i in range(seeds)]):
            ran += some
            failures += failed
            _progress(f"storms over calls, {kind}: {ran} of {seeds}")
    print(*failures, sep="\n")
    print(f"storms over calls: {len(storm.STORMS) * seeds}, {len(failures)} wrong", flush=True)
    return not failures


def _storm(job: tuple[str, int]) -> tuple[int, list[str]]:
    kind, seed = job
    return storm.search(kind, range(seed, seed + 1))


# --- helpers


def _spread(
    pool: ProcessPoolExecutor, work: Callable[..., Result], jobs: Iterable[object]
) -> Iterable[Result]:
    futures: list[Future[Result]] = [pool.submit(work, job) for job in jobs]
    return (future.result() for future in as_completed(futures))


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text} ", end="\r", file=sys.stderr, flush=True)
    elif time.monotonic() - _last[0] > 30:
        _last[0] = time.monotonic()
        print(text, file=sys.stderr, flush=True)


_last = [0.0]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
