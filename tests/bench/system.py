"""What every system under measurement can be asked, ours and the peers' alike.

A *fact* is a number. Told to one node it comes to be known by all; who knows it since when stands in `heard`.
All moments are of the monotonic clock, which is one for all processes of a machine, in seconds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from tests.bench.ground import Ground

FACT_BYTES = 64  # of a fact's payload, where the system does not make its own


class System(ABC):
    """So many nodes of one kind, running on one ground."""

    kind: str
    fails: bool = True  # it has members, and says when one is lost

    def __init__(self, ground: Ground, nodes: list[str]) -> None:
        self.ground, self.nodes = ground, nodes

    @abstractmethod
    def start(self) -> None:
        """Start every node and wait until all know all."""

    @abstractmethod
    def tell(self, node: str, fact: str) -> None:
        """Tell one node something new."""

    @abstractmethod
    def told(self, fact: str) -> float:
        """When it was told."""

    @abstractmethod
    def heard(self, fact: str) -> dict[str, float]:
        """When each other node has come to know it; who has not is not in it."""

    @abstractmethod
    def missed(self, node: str, since: float) -> dict[str, float]:
        """When each other node has said that this one is lost, after `since`."""

    @abstractmethod
    def whole(self) -> bool:
        """Do all nodes know that all are there?"""
