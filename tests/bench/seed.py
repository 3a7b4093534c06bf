"""A node's folder as if it had been in use for long: made by the machine itself, without a daemon."""

from __future__ import annotations

import time
from hashlib import md5
from pathlib import Path
from random import Random

from lab.node import DOMAIN
from pbxfed_ari.core.effects import Effect, Persist, PersistLineage
from pbxfed_ari.core.events import ContactAdded, Edited, Ticked
from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.core.federation.ourselves import Identity
from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.records.keys import KEY, GroupKey, Keyring
from pbxfed_ari.keys import load_node_key
from pbxfed_ari.store.sqlite import Store

FIRST = 100_000  # the lowest extension


def seed(folder: Path, node: str, address: str, extensions: int, contacts: int = 0) -> int:
    """Fill a node's store with extensions of three records each, and with registrations of theirs; how many records."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name, now = NodeName(node), time.time()
    store = Store(folder / "state.db")
    store.belongs_to(name)
    directory = store.load()
    epoch, lineage = directory.streams.next_epoch(name, int(now) - 3_600)
    identity = Identity(name, epoch, address, realm=DOMAIN, lineage=lineage)
    keys, signer = Keyring([GroupKey(bytes(KEY))]), load_node_key(folder, name)
    federation = Federation(identity, rng=Random(1), keys=keys, signer=signer, directory=directory)
    written = 0

    def perform(effects: list[Effect]) -> None:
        nonlocal written
        for effect in effects:
            if isinstance(effect, Persist):
                written += len(effect.records)
                store.persist(effect)
            elif isinstance(effect, PersistLineage):
                store.persist_lineage(effect)

    store._db.execute("pragma synchronous=off")
    perform(federation.start(0.0))
    clock = 0.0
    while not federation.joined:
        clock += 1.0
        perform(federation.handle(Ticked(0.0), clock))
    wall_ms = int(now * 1_000) - 3_600_000
    for i in range(extensions):
        number = str(FIRST + i)
        ha1 = md5(number.encode(), usedforsecurity=False).hexdigest()
        fields: dict[str, object] = {"name": f"{_NAMES[i % 16]} {i}", "ha1": ha1}
        fresh = md5(f"id {number}".encode(), usedforsecurity=False).digest()[:8]
        perform(
            federation.handle(Edited(1, "extension", number, fields, wall_ms + i, fresh), clock)
        )
        if i < contacts:
            uri = f"sip:{number}@10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}:{5060 + i % 977}"
            perform(federation.handle(ContactAdded(Extension(number), uri, wall_ms + i), clock))
    store.close()
    return written


_NAMES = (
    "Ada Lovelace",
    "Reception",
    "Workshop",
    "Alan Turing",
    "Sales",
    "Grace Hopper",
    "Accounts",
    "Store room",
    "Emmy Noether",
    "Director",
    "Desk",
    "Radia Perlman",
    "Front door",
    "Meeting room",
    "Claude Shannon",
    "Canteen",
)
