"""Rows of the bench's table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

NONE = "none"  # the bar of what is only shown


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: what it is, what came out, what its peers took, the bar, and whether it was met."""

    what: str
    found: str
    against: str
    bar: str
    met: bool
    ratio: str = ""  # how many times as much each peer takes
    why: str = ""  # the reason of a miss, or why there is no bar


def compared(
    what: str,
    value: float,
    peers: Mapping[str, float],
    unit: str,
    bar: float,
    *,
    found: str = "",
    digits: int = 0,
    why: str = "",
) -> Row:
    """A row of one number, less being better, beside the same number of each peer."""
    against = ", ".join(f"{kind} {number(v, digits)}" for kind, v in peers.items())
    ratio = ", ".join(f"{v / value:.2g}" for v in peers.values()) if value > 0 else ""
    return Row(
        what,
        found or f"{number(value, digits)} {unit}",
        f"{against} {unit}" if against else "none that runs here",
        f"≤ {bar:g} {unit}",
        value <= bar,
        ratio,
        why,
    )


def number(value: float, digits: int = 0) -> str:
    """A number as it is read: thousands apart."""
    return f"{value:,.{digits}f}"


def p99(values: Sequence[float]) -> float:
    """The value that 99 of 100 do not exceed (nearest rank); of fewer than a hundred, the worst."""
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


def spread(values: Sequence[float], unit: str, digits: int = 1) -> str:
    """Median and p99, and of how many."""
    middle, worst = median(values), p99(values)
    return f"median {middle:.{digits}f}, p99 {worst:.{digits}f} {unit} of {len(values):,}"


def table(rows: Sequence[Row]) -> str:
    """The whole, in Markdown."""
    lines = ["| what | found | peer | peer ÷ found | bar | |", "|---|---|---|---|---|---|"]
    for row in rows:
        cells = (row.what, row.found, row.against, row.ratio, row.bar, _verdict(row))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _verdict(row: Row) -> str:
    if row.met:
        return (row.bar == NONE and row.why) or "met"
    return f"MISSED: {row.why or 'no reason known'}"
