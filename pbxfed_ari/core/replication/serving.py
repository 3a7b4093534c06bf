"""Serving: what a node that has it sends to one that wants it.

A want names streams, each with what is held of it. It is answered by WINDOW pieces at most: the asker sets the pace. What has
been collected here since cannot be given piece by piece: the asker is told to read that stream anew (`reading.py`).
"""

from collections.abc import Sequence

from pbxfed_ari.core.effects import Broadcast, Effect, SendTo
from pbxfed_ari.core.events import Address
from pbxfed_ari.core.messages import Anew, Lineage, Piece, Pieces
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records import packing
from pbxfed_ari.core.records.cutting import PIECE_BYTES
from pbxfed_ari.core.records.directory import Directory

WINDOW = 16  # pieces sent for one want: 16 kB in flight
STRETCH = 24  # bytes that a stretch needs beside its records
ANSWERS = 30  # frames beside them


def serve(
    directory: Directory,
    streams: Sequence[tuple[str, int, int, int, int]],
    to: Address | None,
    source: Address,
) -> list[Effect]:
    """Pieces of these streams, to one address or, if `to` is None, to all; what concerns the asker only to `source`."""
    effects: list[Effect] = []
    anew: list[tuple[str, int]] = []
    found: list[Piece] = []
    budget = WINDOW
    for name, epoch, held, upto, floor in streams:
        if budget <= 0 or len(effects) >= WINDOW + ANSWERS:
            break  # the rest is asked for again
        origin = NodeName(name)
        current = directory.streams.current_epoch(origin)
        lineage = directory.streams.lineage((origin, current))
        if lineage is not None and (held == 0 or epoch != current):
            effects.append(SendTo(source, Lineage(origin, current, lineage)))
        ours = directory.streams.floor((origin, epoch))
        if 0 < held < ours and floor < ours:
            anew.append((origin, epoch))
            continue
        pieces = directory.pieces((origin, epoch), held, budget, upto)
        budget -= len(pieces)
        found += pieces
    if to is None:  # Pieces, even if it is one: nobody is owed a copy of what another asked for
        effects += [
            Broadcast(p if isinstance(p, Pieces) else Pieces((p,))) for p in _together(found)
        ]
    else:
        effects += [SendTo(to, p) for p in _together(found)]
    return [*effects, *([SendTo(source, Anew(tuple(anew)))] if anew else [])]


def _together(pieces: Sequence[Piece]) -> list[Piece | Pieces]:
    """Short stretches share a frame."""
    found: list[Piece | Pieces] = []
    some: list[Piece] = []
    size = 0
    for piece in pieces:
        cost = STRETCH + len(packing.pack(piece.records, piece.base))
        if piece.more or size + cost > PIECE_BYTES:
            found += _frame(some)
            some, size = [], 0
        if piece.more:
            found.append(piece)
        else:
            some.append(piece)
            size += cost
    return [*found, *_frame(some)]


def _frame(pieces: list[Piece]) -> list[Piece | Pieces]:
    return [Pieces(tuple(pieces))] if len(pieces) > 1 else [*pieces]
