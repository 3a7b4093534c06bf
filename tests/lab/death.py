"""A node dies, outright: what becomes of the user agents that are registered there. Can each call, can it be called, and when?

Every answer counts only if the caller's side has heard the other one's tone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from lab import tones
from lab.calls import Dialled
from lab.lab import Lab
from lab.node import DOMAIN
from lab.phone import PhoneRefused
from tests.lab.agents import Agent, command, probes
from tests.lab.conftest import Federation
from tests.lab.foreign import TONE

SILENT = 8.0  # seconds after which a person hangs up and dials again
PAUSE = 0.2  # seconds until then


@dataclass(frozen=True, slots=True)
class Survivor:
    """An agent whose node has died; in seconds."""

    agent: Agent
    calls: float  # from the death, when it dialled, until it talked to somebody at another node, whatever it had to try
    called: float  # from the death until somebody talked to it who called at that moment, and again when refused
    again: float  # from the death until it was registered elsewhere


def death(
    federation: Federation, agents: Sequence[Agent], *, power: bool = False, within: float = 70.0
) -> list[Survivor]:
    """Kill the node with the most agents, and ask them all at once. `power`: its cable falls silent with it.

    Raises: AssertionError, if an agent does not come back `within` these seconds.
    """
    widowed, living, free, died = _kill(federation, agents, power)
    with ThreadPoolExecutor(3 * len(agents)) as pool:
        asked = [
            (
                agent,
                pool.submit(calls, federation, agent, free[i % len(free)], within),
                pool.submit(is_called, federation, agent, free[(i + 1) % len(free)], within),
                pool.submit(registers, federation, agent, living, within),
            )
            for i, agent in enumerate(widowed)
        ]
        return [Survivor(agent, *(one.result() - died for one in told)) for agent, *told in asked]


def silence(
    federation: Federation, agents: Sequence[Agent], within: float = 70.0
) -> list[tuple[Agent, float]]:
    """The same with its cable, but each only calls: after how many seconds it talked. Raises: AssertionError."""
    widowed, _, free, died = _kill(federation, agents, power=True)
    with ThreadPoolExecutor(len(agents)) as pool:
        asked = [
            (agent, pool.submit(calls, federation, agent, free[i % len(free)], within))
            for i, agent in enumerate(widowed)
        ]
        return [(agent, told.result() - died) for agent, told in asked]


def _kill(
    federation: Federation, agents: Sequence[Agent], power: bool
) -> tuple[list[Agent], str, list[str], float]:
    """Who was registered there, who lives, their probes, and when it was (time.time())."""
    lab, names = federation.lab, federation.names
    of = {node: [one for one in agents if one.node(federation, names) == node] for node in names}
    victim = max(of, key=lambda node: len(of[node]))
    living = names.replace(victim, "")
    died = time.time()
    if power:
        lab.cut(victim)
    lab.kill(victim)
    return of[victim], living, [probe for node in living for probe in probes(node)], died


def revive(federation: Federation) -> None:
    """Every node as before. Asterisk may have lost, killed, what its probes had registered in its last seconds."""
    federation.lab.heal()
    federation.lab.start_all(federation.names)
    federation.until(federation.whole, 60)
    for node in federation.names:
        for probe in probes(node):
            federation.lab.register(probe, node)


def calls(federation: Federation, agent: Agent, probe: str, within: float) -> float:
    """It calls a probe, and again if that fails, until they talk: when that was (time.time()). Raises: AssertionError."""
    lab = federation.lab
    if agent.kind.foreign:
        call = _insist(federation, agent, probe, time.time() + within)
        _hear(federation, probe, str(call["call"]), TONE)
        lab.end(probe, str(call["call"]))  # its own `hangup` may mean another call
        return float(call["answered_at"])
    dialled = _dial(lab, agent.number, probe, within)
    at = time.time()
    _hear(federation, agent.number, dialled.id, _tone(federation, probe))
    lab.hang_up(dialled)
    return at


def is_called(federation: Federation, agent: Agent, probe: str, within: float) -> float:
    """A probe calls it, and again, until they talk: when that was (time.time()). Raises: AssertionError."""
    lab = federation.lab
    dialled = _dial(lab, probe, agent.number, within)
    at = time.time()
    tone = TONE if agent.kind.foreign else _tone(federation, agent.number)
    _hear(federation, probe, dialled.id, tone)
    lab.hang_up(dialled)
    return at


def registers(federation: Federation, agent: Agent, among: str, within: float) -> float:
    """It registers at one of these nodes: when that was seen there (time.time()). Raises: AssertionError."""
    what = f"{agent} registers at one of {among}"
    federation.until(lambda: agent.node(federation, among) is not None, within, what=what)
    return time.time()


def _dial(lab: Lab, caller: str, called: str, within: float) -> Dialled:
    until = time.monotonic() + within
    while True:
        try:
            return lab.dial(caller, called, timeout=SILENT)
        except PhoneRefused as refusal:
            if time.monotonic() > until:
                raise AssertionError(f"{caller} did not reach {called}: {refusal}") from None
            time.sleep(PAUSE)


def _insist(federation: Federation, agent: Agent, probe: str, until: float) -> dict[str, Any]:
    """A baresip dials; its user hangs up what he hears nothing of, and dials again: the call that the probe answered."""
    lab, began = federation.lab, time.time()
    while time.time() < until:
        command(lab, agent, "dial", f"sip:{probe}@{DOMAIN}")
        patience = min(until, time.time() + agent.kind.redials)
        if call := _came(federation, agent.number, probe, began, patience):
            return call
        command(lab, agent, "hangupall", "dir=out")  # those that nobody has answered
    raise AssertionError(f"{agent.number} did not reach {probe}")


def _came(
    federation: Federation, number: str, probe: str, since: float, until: float
) -> dict[str, Any] | None:
    """The call of that number that the probe answered."""
    while time.time() < until:
        for call in federation.lab.calls_of(probe, since):
            if call["incoming"] and call["other"] == number and call["answered_at"]:
                return call
        time.sleep(0.02)
    return None


def _tone(federation: Federation, phone: str) -> int:
    return int(federation.lab.phone(phone)["hertz"])


def _hear(federation: Federation, phone: str, call: str, tone: int) -> None:
    """The phone hears this tone in the call, soon."""
    group = federation.lab.group(_home(federation, phone))

    def heard() -> bool:
        one = group.ask("call", phone=phone, call=call, tones=[tone], last_seconds=1.0)
        return bool(one["heard"][str(tone)] >= tones.ENOUGH)

    federation.until(heard, 5, what=f"{phone} hears {tone} Hz")


def _home(federation: Federation, phone: str) -> str:
    return next(
        n for n in federation.names if phone in federation.lab.group(n).ask("ping")["phones"]
    )
