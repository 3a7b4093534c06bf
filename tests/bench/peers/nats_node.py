"""A node of the NATS peer: one client. Arguments: server's URL, size of a fact."""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import Any

from tests.bench.peers.node import fact_of, payload, say


async def main(url: str, size: int) -> None:
    """Connect, subscribe, publish what stdin says."""
    nats: Any = importlib.import_module("nats")
    client = await nats.connect(url, connect_timeout=10, no_echo=True)

    async def receive(message: Any) -> None:
        say("got", fact_of(message.data))

    await client.subscribe("facts", cb=receive)
    await client.flush(10)
    say("here", "all")
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        fact = line.decode().strip()
        say("sent", fact)
        await client.publish("facts", payload(fact, size))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
