"""Twenty user agents, most of them by SRV. One of three nodes dies outright: each calls, each is called again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.agents import Agent, plugged
from tests.lab.conftest import Federation, a_lab
from tests.lab.death import death, revive, silence

CALLS = 4.0  # seconds from the death, when it dials, until it talks, its user dialling again where the kind needs that
TAKEN_OVER = 5.0  # seconds from the death until who is registered by UDP is called again
OWN_REFRESH = 32.0  # baresip's, by TCP: it does not notice that its connection is gone


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    """Three nodes of one site, all of which answer DNS."""
    with a_lab("finding", 3, dns=True) as lab:
        found = Federation(lab)
        found.until(found.whole, 60)
        yield found


@pytest.fixture(scope="module")
def agents(federation: Federation) -> Iterator[list[Agent]]:
    with plugged(federation) as found:
        yield found


def test_srv_spreads_the_agents(federation: Federation, agents: list[Agent]) -> None:
    """Nobody is told where to go; no node has more than a good half of those that ask DNS."""
    at = [one.node(federation, "abc") for one in agents if not one.kind.second]
    assert None not in at
    assert max(map(at.count, "abc")) <= 10


def test_every_agent_calls_and_is_called_when_its_node_has_died(
    federation: Federation, agents: list[Agent]
) -> None:
    """By UDP it is called where it was registered, before it has registered anew; by TCP as soon as it has."""
    try:
        found = death(federation, agents)
        for one in found:
            took = f"{one.calls:.1f} {one.called:.1f} {one.again:.1f}"
            print(f"{one.agent.number} {one.agent.kind.name}: {took}")
        assert len(found) >= 7
        for one in found:
            kind = one.agent.kind
            slow = kind.foreign and kind.transport == "tcp"
            assert one.calls <= CALLS, one
            assert one.called <= (OWN_REFRESH if slow else TAKEN_OVER), one
        assert any(one.called < one.again for one in found)
    finally:
        revive(federation)


def test_every_agent_calls_when_its_node_has_fallen_silent(
    federation: Federation, agents: list[Agent]
) -> None:
    """No connection breaks: who has one there must leave it by himself."""
    try:
        found = silence(federation, agents)
        for agent, took in found:
            print(f"{agent.number} {agent.kind.name}: {took:.1f}")
        assert len(found) >= 7
        assert [(agent, took) for agent, took in found if took > CALLS] == []
    finally:
        revive(federation)
