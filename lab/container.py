"""What runs in a container of the image.

    node      Asterisk and pbxfed, as the environment says (lab/environment.py); each is started again when it ends
    phones    the lab's phones (lab/phonebox.py)
    …         anything else is run as it stands: `nats-server`, `sleep infinity` for a router, `bash`

A node makes its configuration from nothing at each start, but keeps its state (/var/lib/pbxfed). With /etc/asterisk.d mounted,
each file there is added to the one of that name in /etc/asterisk. SIGTERM: the daemon takes its leave, then Asterisk ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab import asterisk, tls
from lab.asterisk import Folders
from lab.environment import KEY, settings
from lab.places import CHECKOUT, LabError
from pbxfed_ari.installing.daemon import toml

USER = "asterisk"  # both run as Debian's user for it
DOMAIN = "pbxfed.lab"
CONFIG = Path("/etc/pbxfed/pbxfed.toml")
KEY_FILE = Path("/etc/pbxfed/keys/federation.key")
PASSWORD = Path("/etc/pbxfed/ari.password")
MORE = Path("/etc/asterisk.d")
RUN = Path("/run/pbxfed")
CONTROL = RUN / "control"
PHONES = "phones"
FOLDERS = Folders(*(Path(f"/{part}/asterisk") for part in
                    ("etc", "var/lib", "var/spool", "run", "var/log", "var/cache")))  # fmt: skip
LEAVES_WITHIN = 6.0  # seconds; Docker kills after ten
AGAIN = 1.0  # seconds until what ended by itself is started again


class Part:
    """Asterisk, or the daemon: kept running, unless it shall not."""

    def __init__(self, name: str, argv: Sequence[str]) -> None:
        self.name = name
        self._argv = argv
        self._process: asyncio.subprocess.Process | None = None
        self._wanted = asyncio.Event()
        self._wanted.set()

    def up(self) -> bool:
        """Tell whether its process lives."""
        return self._process is not None and self._process.returncode is None

    def start(self) -> None:
        """Run it from now on."""
        self._wanted.set()

    async def kill(self) -> None:
        """By kill -9; it stays dead until it is started."""
        self._wanted.clear()
        await self._end(signal.SIGKILL)

    async def keep(self) -> None:
        """Start it, and again whenever it has ended by itself."""
        while True:
            await self._wanted.wait()
            self._process = await asyncio.create_subprocess_exec(
                *self._argv, user=USER, group=USER, extra_groups=[], env=_environment()
            )
            code = await self._process.wait()
            if self._wanted.is_set():
                _say(f"{self.name} ended ({code}); it is started again")
                await asyncio.sleep(AGAIN)

    async def leave(self) -> None:
        """Let it end in order; kill it if it does not."""
        self._wanted.clear()
        try:
            async with asyncio.timeout(LEAVES_WITHIN):
                await self._end(signal.SIGTERM)
        except TimeoutError:
            _say(f"{self.name} did not end within {LEAVES_WITHIN:g} s: killed")
            await self._end(signal.SIGKILL)

    async def _end(self, number: int) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
            await process.wait()


class Node:
    """The two parts of a node, and the socket at which the lab asks for them."""

    def __init__(self) -> None:
        self._parts = {
            "asterisk": Part("asterisk", ["asterisk", "-f"]),
            "daemon": Part("daemon", ["pbxfed", "--config", str(CONFIG), "run"]),
        }

    async def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        async with asyncio.TaskGroup() as tasks:
            server = await asyncio.start_unix_server(self._serve, CONTROL)
            keepers = [tasks.create_task(part.keep()) for part in self._parts.values()]
            await ended.wait()
            server.close()
            await self._parts["daemon"].leave()
            await self._parts["asterisk"].leave()
            for keeper in keepers:
                keeper.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """`status`, `start daemon`, `kill asterisk`: one line; the answer tells which parts live."""
        do, _, name = (await reader.readline()).decode().strip().partition(" ")
        part = self._parts.get(name)
        if part is not None and do == "start":
            part.start()
        elif part is not None and do == "kill":
            await part.kill()
        answer = {part.name: part.up() for part in self._parts.values()}
        writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()


def write_node(environ: Mapping[str, str]) -> None:
    """Write all files of a node.

    Raises: LabError, if the environment asks for something that cannot be.
    """
    found = settings(environ)
    chosen = {section: {**_defaults().get(section, {}), **found.get(section, {})}
              for section in {**_defaults(), **found}}  # fmt: skip
    name, address = chosen["node"]["name"], chosen["node"]["address"]
    domain, password = chosen["federation"]["domain"], secrets.token_urlsafe(18)
    _make_folders(FOLDERS)
    Path(chosen["node"]["state"]).mkdir(parents=True, exist_ok=True)
    shutil.copytree(CHECKOUT / "dialplan", FOLDERS.etc / "pbxfed", dirs_exist_ok=True)
    tls.write(FOLDERS.lib / "keys/sip.crt", FOLDERS.lib / "keys/sip.key", address)
    files = asterisk.files(name, address, password, FOLDERS)
    files["pjsip.conf"] += f"[global](+)\ndefault_realm={domain}\n"
    for extra in sorted(MORE.iterdir()) if MORE.is_dir() else ():
        files[extra.name] = files.get(extra.name, "") + "\n" + extra.read_text()
    for file, text in files.items():
        (FOLDERS.etc / file).write_text(text)
    _private(PASSWORD, password)
    _keep_key(Path(chosen["federation"]["key_file"]), environ.get(KEY))
    CONFIG.write_text(toml(chosen))
    for folder in (*FOLDERS.all(), CONFIG.parent, Path(chosen["node"]["state"]), RUN):
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, USER, USER)


def _defaults() -> dict[str, dict[str, Any]]:
    hostname = socket.gethostname()
    return {
        "node": {"name": hostname, "address": own_address(), "state": "/var/lib/pbxfed"},
        "federation": {"domain": DOMAIN, "key_file": str(KEY_FILE)},
        "asterisk": {
            "password_file": str(PASSWORD),
            "iax_peers": str(FOLDERS.etc / "pbxfed-iax-peers.conf"),
            "objects": str(FOLDERS.objects),
        },
    }


def own_address() -> str:
    """The container's address in its first network."""
    return socket.gethostbyname(socket.gethostname())


def _make_folders(folders: Folders) -> None:
    if folders.etc.is_dir():  # Debian's examples: the node says all that it needs
        shutil.rmtree(folders.etc)
    for folder in (*folders.all(), folders.lib / "keys", RUN, CONFIG.parent):
        folder.mkdir(parents=True, exist_ok=True)


def _keep_key(file: Path, key: str | None) -> None:
    """The federation's key: given, or there, or made now; nodes that share the folder agree on the first."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if key:
        _private(file, key)
        return
    fresh = file.with_name(f".{secrets.token_hex(4)}")
    _private(fresh, secrets.token_hex(32))
    shutil.chown(fresh, USER, USER)
    with contextlib.suppress(FileExistsError):
        os.link(fresh, file)
        _say(f"made the federation's key, {file}: every other node needs the same")
    fresh.unlink()


def _private(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text + "\n")


def _environment() -> dict[str, str]:
    """What the parts see: their configuration comes from files."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PBXFED_")}
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/sbin:/usr/bin')}"
    return {**kept, "PATH": path, "HOME": str(FOLDERS.lib)}


def _routes(text: str) -> None:
    """Ways to the other sites, as `10.79.0.0/16 via 10.79.10.2`; several with commas. It needs NET_ADMIN."""
    for route in filter(None, (part.strip() for part in text.split(","))):
        command = ["ip", "route", "replace", *route.split()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"PBXFED_ROUTES = {route}: {done.stderr.strip()} (cap_add: NET_ADMIN?)")


def _checked() -> None:
    """Raises: LabError, with what the daemon finds wrong with its configuration."""
    command = ["pbxfed", "--config", str(CONFIG), "check"]
    done = subprocess.run(
        command, env=_environment(), user=USER, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LabError((done.stderr or done.stdout).strip())


def _say(text: str) -> None:
    print(f"container: {text}", file=sys.stderr, flush=True)


def main(argv: Sequence[str]) -> None:
    """Become what the command says. Exit 1: it cannot be."""
    try:
        _routes(os.environ.get("PBXFED_ROUTES", ""))
        if list(argv) == ["node"]:
            write_node(os.environ)
            _checked()
            asyncio.run(Node().run())
        elif list(argv) == ["phones"]:
            RUN.mkdir(parents=True, exist_ok=True)
            box = ["-m", "lab.phonebox", str(RUN), PHONES, own_address(), DOMAIN]
            os.execv(sys.executable, [sys.executable, *box])
        else:
            os.execvp(argv[0], list(argv))
    except (LabError, OSError) as error:
        _say(str(error))
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
