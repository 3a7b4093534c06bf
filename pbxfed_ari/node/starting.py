"""From the configuration to a daemon that runs: the process, what it opens, and in which order.

Settings → key and store → machines → link → HTTP → ARI. What was opened is closed in the opposite order.
"""

import asyncio
import faulthandler
import gc
import logging
import os
import resource
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import uvloop

from pbxfed_ari import __version__, logs
from pbxfed_ari.config import Settings, credentials
from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.core.federation.ourselves import Identity
from pbxfed_ari.core.membership import draining
from pbxfed_ari.core.membership.timing import PRESETS
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.streams import LEAP
from pbxfed_ari.errors import ConfigError
from pbxfed_ari.keys import load_node_key, open_keyring
from pbxfed_ari.node.wiring import Node
from pbxfed_ari.sensors.clock import local_time
from pbxfed_ari.store.sqlite import Store
from pbxfed_ari.web.listener import Listener

FILES = 65_536  # open files of this process, if it may have so many; systemd's and most shells' is 1,024


def run(settings: Settings) -> None:
    """Run the daemon until it is told to stop.

    Raises: ConfigError, if it cannot start, or must not go on (its name is taken).
    """
    settings.check_machine()
    logs.set_up(settings.log.level)
    faulthandler.enable()  # a watchdog's SIGABRT leaves in the log where we hung
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    # two lines a call: what the format does not show need not be found out (logging's documentation, "Optimization")
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    os.umask(0o077)  # the store holds digests
    _more_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        reason = runner.run(_serve(settings))
    if reason:
        raise ConfigError(reason)


def _more_files() -> None:
    """Whoever connects to us, or a federation of hundreds, shall not take the files that calls need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _serve(settings: Settings) -> str:
    async with AsyncExitStack() as stack:
        node = await build(settings, stack)
        gc.collect()
        gc.freeze()  # what was loaded stays: looking through ten thousand objects would stop all calls for a moment
        return await node.serve()


async def build(settings: Settings, stack: AsyncExitStack) -> Node:
    """Open store, link and HTTP; what was opened is closed when the stack unwinds.

    Raises: ConfigError.
    """
    state = _state_folder(settings)
    name = NodeName(settings.node.name)
    keys, born = open_keyring(state, credentials.federation_key(settings))
    key = load_node_key(state, name)
    store = Store(state / "state.db")
    store.belongs_to(name)
    directory = store.load()
    leap = secrets.randbelow(LEAP)
    epoch, lineage = directory.streams.next_epoch(name, int(time.time()), leap)
    identity = Identity(
        name,
        epoch,
        settings.node.address,
        settings.lan.port,
        settings.node.site,
        __version__,
        settings.federation.domain,
        lineage,
    )
    federation = Federation(
        identity,
        rng=Random(secrets.randbits(64)),
        keys=keys,
        signer=key,
        directory=directory,
        timing=PRESETS[settings.lan.timing],
        multicast=settings.lan.multicast,
        calendar=local_time,
        drain=store.fact(draining.KEPT) or "",
    )
    node = Node(settings, store, federation, key, born)
    stack.callback(node.close_files)
    await node.link.open()
    stack.callback(node.link.close)
    api = Listener(node.api.app)
    stack.push_async_callback(api.close)
    await _listen(settings, "http.listen", api.open)
    if node.tls is not None:
        phones = Listener(node.api.phone_files.app, node.tls)
        stack.push_async_callback(phones.close)
        await _listen(settings, "provisioning.listen", phones.open)
    if node.dns is not None:
        await node.dns.open()
        stack.callback(node.dns.close)
    if node.wan is not None:
        await node.wan.open()
        stack.push_async_callback(node.wan.close)
    return node


def _state_folder(settings: Settings) -> Path:
    state = settings.node.state
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{settings.path}: node.state = {state}: {error.strerror}") from None
    return state


async def _listen(
    settings: Settings, key: str, begin: Callable[[str, int], Awaitable[None]]
) -> None:
    """Begin at the address:port that this key says."""
    section, _, name = key.partition(".")
    at: str = getattr(getattr(settings, section), name)
    host, _, port = at.rpartition(":")
    try:
        await begin(host.strip("[]"), int(port))
    except OSError as error:
        raise ConfigError(
            f"{settings.path}: {key} = {at!r}: {error.strerror or error}; "
            "another program has the port, or the address is not this machine's"
        ) from None
