"""One node: an Asterisk from the root folder, and the pbxfed daemon beside it, in one namespace.

The Asterisk reads small files that include the project's own (`dialplan/`, copied to `etc/pbxfed/`); what only
this machine can say, its address and its passwords, is written here. It is asked through its own control
socket, which lies in the state folder and needs no namespace.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPMessage
from pathlib import Path
from typing import Any

from lab import asterisk, clock, process, tls
from lab.asterisk import Folders
from lab.forks import PBXFED, ForkServer, start
from lab.netns import Host, socket_in
from lab.places import CHECKOUT, LabError, Places
from lab.process import Process
from lab.root import INSIDE, inside
from pbxfed_ari.installing.daemon import toml

DOMAIN = "pbxfed.lab"
DAEMON_PORT = 8780
ASTERISK_STARTS_WITHIN = 20.0  # seconds; 2 on an idle machine
DAEMON_STARTS_WITHIN = 20.0  # seconds
READS_WITHIN = (
    2.0  # seconds until a daemon has read its file again; one that is stopped reads it later
)


@dataclass(frozen=True, slots=True)
class Node:
    """A node's place in the lab and everything one can do to it."""

    name: str
    site: str
    host: Host
    phones: Host
    places: Places
    root: Path
    dns: bool  # it answers for the domain
    wan: Mapping[str, Any]  # the section of the daemon's configuration

    @property
    def address(self) -> str:
        """Where phones and peers reach it."""
        return self.host.address

    @property
    def folder(self) -> Path:
        """Where this node keeps its files."""
        return self.places.node(self.name)

    @property
    def config(self) -> Path:
        """The daemon's configuration file."""
        return self.folder / "pbxfed.toml"

    @property
    def etc(self) -> Path:
        """The Asterisk's configuration folder."""
        return self.folder / "etc"

    @property
    def hosts(self) -> Path:
        """What the root sees as /etc/hosts: without it each media session waits for a name lookup that must fail."""
        return self.folder / "hosts"

    @property
    def tokens(self) -> Path:
        """Where the tokens of the daemon's API stand, if a test has put some there."""
        return self.folder / "http.tokens"

    # --- files -----------------------------------------------------------------------------------

    def write(self, extra: Mapping[str, str], unread: Sequence[str]) -> None:
        """Write all configuration.

        Args:
            extra: text added to a file of Asterisk's: keys `pjsip.conf` or `a/pjsip.conf`.
            unread: sensors of the daemon that are not read.
        """
        for part in ("etc", "lib/keys", "spool/recording", "run", "log", "cache", "state", "bin"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        shutil.copytree(CHECKOUT / "dialplan", self.etc / "pbxfed", dirs_exist_ok=True)
        keys = self.folder / "lib/keys"
        tls.write(keys / "sip.crt", keys / "sip.key", self.host.address)
        password = secrets.token_urlsafe(18)
        inside = Folders.under(Path(INSIDE) / "nodes" / self.name)
        files = asterisk.files(self.name, self.address, password, inside)
        for key, text in extra.items():
            owner, _, name = key.rpartition("/")
            if owner in ("", self.name):
                files[name] = files.get(name, "") + "\n" + text
        for name, text in files.items():
            (self.etc / name).write_text(text)
        self.hosts.write_text(f"127.0.0.1 localhost\n{self.host.address} {socket.gethostname()}\n")
        secret = self.folder / "ari.password"
        secret.touch(mode=0o600)
        secret.write_text(password + "\n")
        self._write_daemon_config(self._daemon_settings(unread))
        self._write_shims()

    def _daemon_settings(self, unread: Sequence[str]) -> dict[str, dict[str, Any]]:
        return {
            "node": {
                "name": self.name,
                "address": self.host.address,
                "site": self.site,
                "weight": 100,
                "state": str(self.folder / "state"),
            },
            "federation": {"domain": DOMAIN, "key_file": str(self.places.key_file)},
            "lan": {"group": "239.255.77.80", "port": 8781},
            "wan": dict(self.wan),
            "dns": {"listen": [self.host.address]} if self.dns else {},
            "asterisk": {
                "url": "http://127.0.0.1:8088",
                "user": "pbxfed",
                "password_file": str(self.folder / "ari.password"),
                "iax_peers": str(self.etc / "pbxfed-iax-peers.conf"),
                "objects": str(self.folder / "lib" / "pbxfed.sqlite3"),
                "control": str(self.folder / "run" / "asterisk.ctl"),
                "security_log": str(self.folder / "log" / "pbxfed-security.log"),
                **({"phones": ["udp", "tcp"]} if self.dns else {}),
            },
            "calls": {"trunks": ["sip", "iax2"], "ring_seconds": 30},
            "http": {"listen": f"127.0.0.1:{DAEMON_PORT}"},
            "health": {"ignore": list(unread)},
            "log": {"level": "info"},
        }

    @property
    def clock(self) -> Path:
        """How wrong the daemon's clock is (lab/clock.py); right, if there is no such file."""
        return self.folder / "clock"

    def configure(self, section: str, key: str, value: Any) -> None:
        """Change one setting of the daemon and wait until it has read its file again. None removes the key."""
        settings = tomllib.loads(self.config.read_text())
        chosen = settings.setdefault(section, {})
        if value is None:
            chosen.pop(key, None)
        else:
            chosen[key] = value
        self._write_daemon_config(settings)
        daemon = Process.load(self._record("daemon"))
        if daemon is not None:
            log = self.folder / "log" / "pbxfed.log"
            before, until = log.stat().st_size, time.monotonic() + READS_WITHIN
            daemon.signal(signal.SIGHUP)
            while b"reload" not in log.read_bytes()[before:] and time.monotonic() < until:
                time.sleep(0.01)

    def _write_daemon_config(self, settings: Mapping[str, Mapping[str, Any]]) -> None:
        temporary = self.config.with_suffix(".new")
        temporary.write_text(toml(settings))
        temporary.replace(self.config)

    def _write_shims(self) -> None:
        """`pbxfed` and `asterisk` for `exec`: the same names, speaking to this node."""
        asterisk = shlex.join(
            inside(self.root, self.places.state, self.hosts, self._asterisk_command())
        )
        shims = {
            "asterisk": f'exec {asterisk} "$@"\n',
            "pbxfed": f'exec {shlex.quote(daemon_program())} "$@"\n',
        }
        for name, text in shims.items():
            path = self.folder / "bin" / name
            path.write_text("#!/bin/sh\n" + text)
            path.chmod(0o755)

    # --- processes -------------------------------------------------------------------------------

    def _asterisk_command(self) -> list[str]:
        return ["/usr/sbin/asterisk", "-C", f"{INSIDE}/nodes/{self.name}/etc/asterisk.conf"]

    def _record(self, part: str) -> Path:
        return self.places.run / f"{self.name}.{part}"

    def asterisk_up(self) -> bool:
        """Tell whether the Asterisk process lives."""
        return Process.load(self._record("asterisk")) is not None

    def daemon_up(self) -> bool:
        """Tell whether the daemon process lives."""
        return Process.load(self._record("daemon")) is not None

    def start_asterisk(self) -> float:
        """Start Asterisk and wait until it is fully booted; return the seconds it took."""
        if self.asterisk_up():
            return 0.0
        begun = time.monotonic()
        (self.folder / "run" / "asterisk.ctl").unlink(missing_ok=True)
        command = inside(
            self.root, self.places.state, self.hosts, [*self._asterisk_command(), "-f"]
        )
        started = process.spawn(
            ["ip", "netns", "exec", self.host.namespace, *command],
            record=self._record("asterisk"),
            log=self.folder / "log" / "console",
            nice=-5,  # before who tests it: while ARI is slow no call is bridged
        )
        while True:
            with contextlib.suppress(OSError):
                self.asterisk("core waitfullybooted")
                return time.monotonic() - begun
            if not started.alive():
                raise LabError(f"Asterisk of {self.name} ended at once:\n{self.tail('console')}")
            if time.monotonic() - begun > ASTERISK_STARTS_WITHIN:
                raise LabError(f"Asterisk of {self.name} does not start:\n{self.tail('full')}")
            time.sleep(0.02)

    def start_daemon(
        self, *, forks: ForkServer | None = None, within: float = DAEMON_STARTS_WITHIN
    ) -> float:
        """Start the daemon, or fork it, and wait until it says that it is well; return the seconds it took.

        Raises: LabError, if it is not well `within` these seconds.
        """
        if self.daemon_up():
            return 0.0
        begun = time.monotonic()
        wrong = clock.environment(self.clock)  # a library, to be loaded before all else
        started = start(
            [daemon_program(), "run", "--config", str(self.config)],
            self.host.namespace,
            record=self._record("daemon"),
            log=self.folder / "log" / "pbxfed.log",
            env={**self.environment(), **wrong},
            nice=-10,
            forks=None if wrong else forks,
            entry=PBXFED,
        )
        answer: object = "nothing"
        while time.monotonic() - begun < within:
            with contextlib.suppress(OSError, HTTPException):
                status, answer = self.http("GET", "/health")
                if status == 200:
                    return time.monotonic() - begun
            if not started.alive():
                break
            time.sleep(0.05)
        state = "does not become well" if started.alive() else "ended at once"
        raise LabError(
            f"pbxfed of {self.name} {state}, answered {answer}:\n{self.tail('pbxfed.log')}"
        )

    def kill(self, part: str) -> bool:
        """Kill -9 `asterisk` or `daemon`. True if it was running."""
        return process.kill_recorded(self._record(part))

    def environment(self) -> dict[str, str]:
        """The environment in which `pbxfed` and `asterisk` mean this node's."""
        path = f"{self.folder / 'bin'}:{os.environ.get('PATH', '/usr/sbin:/usr/bin:/sbin:/bin')}"
        return {**os.environ, "PATH": path, "PBXFED_CONFIG": str(self.config)}

    def exec(self, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command as this node would; `options` are subprocess.run's."""
        options = {"text": True, "check": False, "env": self.environment(), **options}
        # `env` looks the program up in the node's PATH; `ip` would look in ours
        command = ["ip", "netns", "exec", self.host.namespace, "env", *argv]
        done: subprocess.CompletedProcess[str] = subprocess.run(command, **options)
        return done

    # --- questions -------------------------------------------------------------------------------

    def asterisk(self, command: str, *, patience: float = 30.0) -> str:
        """Ask Asterisk's command line, as `asterisk -rx` does, over the control socket.

        Raises:
            OSError: it does not listen (not started, killed, or not far enough yet).
        """
        with socket.socket(socket.AF_UNIX) as control:
            # not settimeout before: when a few others are asking, connect would fail at once (unix(7), EAGAIN)
            waits = struct.pack("ll", int(patience), int(patience % 1 * 1e6))
            control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, waits)
            folder = os.open(self.folder / "run", os.O_PATH)
            try:  # through a handle: a socket's path may not be longer than 107 bytes
                control.connect(f"/proc/self/fd/{folder}/asterisk.ctl")
            finally:
                os.close(folder)
            control.settimeout(patience)
            if not control.recv(512):  # its greeting: host/pid/version
                raise ConnectionResetError(f"Asterisk of {self.name} closed its control socket")
            control.sendall(b"cli quit after " + command.encode() + b"\0")
            pieces = []
            while piece := control.recv(65536):
                pieces.append(piece)
        # each line begins with a 0x7f and a level when it is a log line; a command's own output has none
        return b"".join(pieces).decode(errors="replace").replace("\0", "")

    def http(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        port: int = DAEMON_PORT,
        patience: float = 10.0,
    ) -> tuple[int, Any]:
        """Ask the daemon over HTTP on its namespace's loopback; return status and decoded answer."""
        text = None if body is None else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if body is not None else {}
        status, headers, data = self.request(method, path, text, kind, port=port, patience=patience)
        answer = data.decode(errors="replace")
        if "json" in headers.get("Content-Type", ""):
            return status, json.loads(answer) if answer else None
        return status, answer

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        port: int = DAEMON_PORT,
        patience: float = 10.0,
    ) -> tuple[int, HTTPMessage, bytes]:
        """The same, raw: status, headers and body. With a file of tokens the last one is sent, unless another is given."""
        tokens = self.tokens.read_text().split() if self.tokens.exists() else []
        token = {"Authorization": f"Bearer {tokens[-1]}"} if tokens else {}
        with contextlib.closing(socket_in(self.host.namespace)) as link:
            link.settimeout(patience)
            link.connect(("127.0.0.1", port))
            connection = HTTPConnection("127.0.0.1", port)
            connection.sock = link
            sent = {**token, **(headers or {}), "Connection": "close"}
            connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def tail(self, log: str, lines: int = 20) -> str:
        """The last lines of one of this node's logs: full, console, pbxfed.log."""
        path = self.folder / "log" / log
        if not path.exists():
            return f"(no {path})"
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 200 * lines))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])


def daemon_program() -> str:
    """The `pbxfed` of the Python that runs the lab."""
    return str(Path(sys.prefix) / "bin" / "pbxfed")
