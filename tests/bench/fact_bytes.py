"""What a fact costs: whole Ethernet frames, each counted once, where it is sent.

Ours is taken between two heartbeats of the sender, so it is exact. A peer's background traffic is taken off by its rate.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from lab.netns import Traffic
from tests.bench.daemons import Daemons
from tests.bench.ground import Ground

WINDOW = 0.1  # seconds in which what was caused is sent
SILENCE = 0.45  # seconds between two heartbeats that are surely none


def exact(ground: Ground, node: str, do: Callable[[], object]) -> tuple[int, int]:
    """Frames and bytes that something makes a node send, beside its heartbeats."""
    for _ in range(30):
        earliest, before = _after_a_heartbeat(ground, node)
        do()
        time.sleep(WINDOW)
        after = _traffic(ground, node)
        if time.monotonic() - earliest < SILENCE:
            return after.tx_frames - before.tx_frames, after.tx_bytes - before.tx_bytes
    raise TimeoutError("the machine is too busy to find a moment between two heartbeats")


def one_registration(daemons: Daemons, numbers: list[str]) -> list[tuple[int, int]]:
    """Frames and bytes of each of some phones' registrations."""
    node = daemons.nodes[0]
    return [
        exact(daemons.ground, node, lambda number=number: daemons.tell(node, number))  # type: ignore[misc]
        for number in numbers
    ]


def one_edit(daemons: Daemons, number: str, times: int) -> list[tuple[int, int]]:
    """Frames and bytes of each change of a name."""
    node = daemons.nodes[0]
    path = f"/extensions/{number}"
    daemons.http(node, "PUT", path, {"name": "Reception", "secret": "correct-horse-9"})
    time.sleep(2.0)
    names = iter(range(100))
    return [
        exact(
            daemons.ground,
            node,
            lambda: daemons.http(node, "PATCH", path, {"name": f"Workshop {next(names)}"}),
        )
        for _ in range(times)
    ]


def many_registrations(daemons: Daemons, numbers: list[str]) -> float:
    """Bytes of each of many registrations that come in one go."""
    node, asterisks = daemons.nodes[0], daemons.asterisks
    assert asterisks is not None
    _, size = exact(daemons.ground, node, lambda: asterisks.registered(node, numbers))
    return size / len(numbers)


def _after_a_heartbeat(ground: Ground, node: str) -> tuple[float, Traffic]:
    """(the earliest moment at which it can have been sent, the counters after it)."""
    before = _traffic(ground, node)
    while True:
        earliest = time.monotonic()
        time.sleep(0.005)
        if (now := _traffic(ground, node)).tx_frames != before.tx_frames:
            return earliest, now


def _traffic(ground: Ground, node: str) -> Traffic:
    return ground.network.traffic(ground.hosts[node])
