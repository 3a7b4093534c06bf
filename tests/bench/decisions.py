"""What a decision costs, in one process: routes with 10,000 extensions and 100 nodes, and the ring."""

from __future__ import annotations

import importlib
import sys
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from statistics import median
from typing import Any

from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.core.federation.ourselves import Identity
from pbxfed_ari.core.membership.member import Member, State
from pbxfed_ari.core.membership.ring import Ring
from pbxfed_ari.core.messages import BookSet, Record, ShelfPut
from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.records.keys import GroupKey, Keyring
from pbxfed_ari.core.records.objects.extension import EXTENSION
from pbxfed_ari.core.records.objects.kind import CLAIM
from pbxfed_ari.core.records.shelf import Contact, NodeInfo, contact_key, encode
from pbxfed_ari.core.routing.route import route
from pbxfed_ari.core.routing.tries import Asking
from pbxfed_ari.wire.identity import NodeKey
from tests.bench.peers.install import RING, library
from tests.bench.table import Row

Lookup = Callable[[str], str | None]
EXTENSIONS, NODES, ROUTES = 10_000, 100, 20_000


def rows() -> list[Row]:
    """The rows of this file."""
    return [*_routes(), *_ring()]


def _routes() -> list[Row]:
    federation = _large()
    numbers = [str(20_000 + Random(1).randrange(EXTENSIONS)) for _ in range(ROUTES)]
    took = []
    for number in numbers:
        began = time.perf_counter()
        found = route(Asking(number, "20001"), federation.view)
        took.append(time.perf_counter() - began)
        assert found.tries
    took.sort()
    p99 = took[int(len(took) * 0.99)] * 1e6
    found_text = f"median {median(took) * 1e6:.1f} µs, p99 {p99:.1f} µs"
    return [
        Row(
            f"route decision, {EXTENSIONS:,} extensions, {NODES} nodes",
            found_text,
            "DUNDi lookup 113 ms (published)",
            "p99 ≤ 100 µs",
            p99 <= 100,
        )
    ]


def _large() -> Federation:
    directory = Directory()
    names = [NodeName(f"n{i:03}") for i in range(NODES)]
    claims: list[Record] = []
    for i in range(EXTENSIONS):
        fields = EXTENSION.fields
        groups = {
            CLAIM: EXTENSION.key.pack(str(20_000 + i)),
            fields["ha1"].group: fields["ha1"].type.pack("0" * 32),
            fields["name"].group: fields["name"].type.pack("x"),
        }
        claims += [BookSet(b"x%08d" % i, group, 1, "", value) for group, value in groups.items()]
    directory.write((names[0], 1), claims)
    for j, name in enumerate(names):
        info: list[Record] = [
            ShelfPut("n", encode(NodeInfo("10.0.0.1", "main", 100, ("sip", "iax2"), bytes(32))))
        ]
        for i in range(j, EXTENSIONS, NODES):
            number = Extension(str(20_000 + i))
            info.append(
                ShelfPut(contact_key(number, f"sip:{number}@10.1.0.7:5060"), encode(Contact(1)))
            )
        directory.write((name, 1 if j else 2), info)
    federation = Federation(
        Identity(names[0], 2, "10.0.0.1"),
        rng=Random(1),
        keys=Keyring([GroupKey(bytes(32))]),
        signer=NodeKey(bytes(32), names[0]),
        directory=directory,
    )
    for name in names[1:]:
        federation.members._peers[name] = Member(name, 1, ("10.0.0.2", 1), "main", "", State.ALIVE)
    return federation


def _ring() -> list[Row]:
    found = []
    keys = [str(i) for i in range(100_000)]
    for nodes, bar in (32, 1.06), (256, 1.23):
        weights = {f"n{i:03}": 1 << i % 4 for i in range(nodes)}
        ring = Ring(weights)
        worst = _worst(ring.get_node, weights, keys)
        peer = _uhashring(weights)
        theirs = _worst(peer, weights, keys)
        found.append(
            Row(
                f"ring, {nodes} nodes of weights 1, 2, 4, 8: the fullest over its share",
                f"{worst:.3f}",
                f"uhashring {theirs:.3f}",
                f"≤ {bar}",
                worst <= bar,
                f"{theirs / worst:.2g}",
                "104 keys on a light node make 1.29 by chance: no hash without a cap can beat it",
            )
        )
        ours, other = _lookup(ring.get_node, keys), _lookup(peer, keys)
        found.append(
            Row(
                f"ring, {nodes} nodes: a lookup that is repeated",
                f"{ours:.2f} µs",
                f"uhashring {other:.2f} µs",
                "≤ 0.3 µs",
                ours <= 0.3,
                f"{other / ours:.2g}",
                "a method, a dictionary's get and the first of a list, on this machine",
            )
        )
    return found


def _worst(lookup: Lookup, weights: dict[str, int], keys: list[str]) -> float:
    """How much more than its share the fullest node holds."""
    held = Counter(lookup(key) for key in keys)
    share = len(keys) / sum(weights.values())
    return max(held[node] / (weight * share) for node, weight in weights.items())


def _lookup(lookup: Lookup, keys: list[str]) -> float:
    """Microseconds, the best of some rounds."""
    chosen = keys[-1_000:]
    rounds = []
    for _ in range(20):
        began = time.perf_counter()
        for key in chosen:
            lookup(key)
        rounds.append((time.perf_counter() - began) / len(chosen) * 1e6)
    return min(rounds)


def _uhashring(weights: dict[str, int]) -> Lookup:
    sys.path.append(library(RING))
    peer: Any = importlib.import_module("uhashring")
    lookup: Lookup = peer.HashRing(nodes={n: {"weight": w} for n, w in weights.items()}).get_node
    return lookup
