"""A node of the zenoh peer: one session in a mesh. Arguments: its name, its address, size of a fact."""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

from tests.bench.peers.node import fact_of, payload, say


def main(name: str, address: str, size: int) -> None:
    """Open, subscribe, publish what stdin says."""
    zenoh: Any = importlib.import_module("zenoh")
    config = zenoh.Config()
    config.insert_json5("mode", '"peer"')
    config.insert_json5("listen/endpoints", json.dumps([f"tcp/{address}:7447"]))
    config.insert_json5("scouting/multicast/enabled", "true")
    with zenoh.open(config) as session:
        _kept = [
            session.declare_subscriber(
                "facts", lambda sample: say("got", fact_of(sample.payload.to_bytes()))
            ),
            session.liveliness().declare_subscriber("alive/*", _living, history=True),
            session.liveliness().declare_token(f"alive/{name}"),
        ]
        publisher = session.declare_publisher("facts")
        for line in sys.stdin:
            fact = line.strip()
            say("sent", fact)
            publisher.put(payload(fact, size))


def _living(sample: Any) -> None:
    gone = str(sample.kind).upper().endswith("DELETE")
    say("gone" if gone else "here", str(sample.key_expr).rpartition("/")[2])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
