"""Shares: of what is placed (registrations, calls to the outside) each node has a part by its capacity, and no more than a cap.

The cap is a quarter above the share, rounded up (consistent hashing with bounded loads, Mirrokni, Thorup and Zadimoghaddam,
SODA 2018). It acts only where it is known what stands where, so that no home on the ring depends on all the other keys.
"""

from collections.abc import Mapping
from math import ceil

CAP = 1.25


def full(load: Mapping[str, int], weights: Mapping[str, int]) -> set[str]:
    """The nodes that one more would bring above their cap; of one node alone nothing is too much.

    `load`: what stands at each; `weights`: their capacities.
    """
    placed, capacity = sum(load.get(node, 0) for node in weights) + 1, sum(weights.values())
    if len(weights) < 2:
        return set()
    return {
        node
        for node, weight in weights.items()
        if load.get(node, 0) >= ceil(CAP * placed * weight / capacity)
    }


def order(
    load: Mapping[str, int], weights: Mapping[str, int], first: str, draw: Mapping[str, float]
) -> list[str]:
    """Where one more should be placed, best first: at `first` as long as its cap allows, else where most room is left.

    `draw` decides between equals; the higher goes first. Who is full comes last: not all can be.
    """
    above = full(load, weights)

    def rank(node: str) -> tuple[bool, bool, float, float]:
        ratio = (load.get(node, 0) + 1) / weights[node]
        return (node in above, node in above or node != first, ratio, -draw.get(node, 0.0))

    return sorted(weights, key=rank)
