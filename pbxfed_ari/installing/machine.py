"""The look at this machine: Asterisk, its files, sockets, addresses, users, firewall. Changes nothing."""

import fcntl
import grp
import os
import pwd
import re
import shutil
import socket
import struct
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pbxfed_ari.asterisk.versions import OLDEST, judge, parse_version
from pbxfed_ari.errors import Refused
from pbxfed_ari.importing.asterisk_conf import parse
from pbxfed_ari.installing.facts import Asterisk, Interface, Machine, Socket
from pbxfed_ari.installing.firewall import Chains, from_iptables, from_nft
from pbxfed_ari.installing.manifest import SURROGATES
from pbxfed_ari.installing.plan import FOLDER, PASSWORD
from pbxfed_ari.installing.rules import FILES

SBIN = "/usr/sbin:/usr/local/sbin:/sbin"
PATIENCE = 20.0  # seconds for an answer of another program
ADDRESS, FLAGS = 0x8915, 0x8913  # ioctls SIOCGIFADDR, SIOCGIFFLAGS
UP, LOOPBACK = 0x1, 0x8
LISTENS = {"tcp": "0A", "udp": "07"}  # states of /proc/net


class CommandLine:
    """`asterisk -rx`, of the Asterisk with this asterisk.conf."""

    def __init__(self, conf: Path | None = None) -> None:
        self.conf = conf
        path = f"{os.environ.get('PATH', '')}:{SBIN}"
        self.program = shutil.which("asterisk", path=path)

    def ask(self, command: str) -> str:
        """What it answers; empty if nobody does."""
        if self.program is None:
            return ""
        where = ["-C", str(self.conf)] if self.conf else []
        done = run([self.program, *where, "-rx", command])
        return "" if done is None or done.returncode else done.stdout

    def version(self) -> str:
        """Of the program, whether it runs or not."""
        done = run([self.program, "-V"]) if self.program else None
        return done.stdout.removeprefix("Asterisk").strip() if done else ""


def run(command: Sequence[str]) -> subprocess.CompletedProcess[str] | None:
    """Another program's answer; None if it cannot be had."""
    with suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False
        )
    return None


def text_of(path: Path) -> str | None:
    """A file as text that can be encoded back to its bytes; None if there is none.

    Raises: Refused, if it may not be read.
    """
    try:
        return path.read_bytes().decode(errors=SURROGATES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}: run this as root") from None


def look(
    cli: CommandLine,
    *,
    config: Path,
    state: Path,
    password_file: Path,
    user: str,
    objects: Path | None = None,
) -> Machine:
    """All of it. `objects`: the file that Asterisk and the daemon share, where one is configured.

    Raises: Refused.
    """
    asterisk = _asterisk(cli)
    etc = Path(asterisk.etc)
    names = [*FILES, "modules.conf", "rtp.conf", PASSWORD, *(f"{FOLDER}/{file}" for file in FILES)]
    files = {name: text for name in names if (text := text_of(etc / name)) is not None}
    ours, theirs = files.get(PASSWORD, ""), text_of(password_file)
    files |= {} if theirs is None else {str(password_file): theirs}
    password = ours.strip().removeprefix("password=")
    shared = objects or Path(asterisk.varlib) / FOLDER / "objects.sqlite3"
    return Machine(
        asterisk,
        interfaces(),
        sockets(),
        files,
        include=lambda name: _included(etc, name),
        users=frozenset(entry.pw_name for entry in pwd.getpwall()),
        groups=groups_of(user),
        config=text_of(config),
        password=password if theirs is not None and theirs.strip() == password else "",
        member=(state / "keys").exists(),
        shared=all(may_write(name, shared) for name in (user, asterisk.user)),
    )


def _asterisk(cli: CommandLine) -> Asterisk:
    said = dict(re.findall(r"^ +([^:\n]+): +(.*?) *$", cli.ask("core show settings"), re.M))
    version = said.get("Version", "") or cli.version()
    etc, varlib, logs, user = _configured(cli.conf)
    etc = said.get("Configuration directory", etc)
    varlib = said.get("VarLib directory", varlib)
    logs = said.get("Log directory", logs)
    pid = _pid(said.get("PID file", "")) if said else 0
    user = _owner(Path(f"/proc/{pid}")) if pid else user or _owner(Path(varlib))
    known = parse_version(version)
    words = judge(version, known) if version else []
    old = known is not None and known < OLDEST
    calls = re.search(
        r"^(\d+) active channel", cli.ask("core show channels count") if said else "", re.M
    )
    return Asterisk(
        version=version,
        running=bool(said),
        pid=pid,
        etc=etc,
        varlib=varlib,
        logs=logs,
        user=user,
        group=_group(user),
        calls=int(calls[1]) if calls else 0,
        chan_sip=bool(said) and " Running " in cli.ask("module show like chan_sip.so"),
        too_old=words[0] if old else "",
        warning=words[0] if words and not old else "",
    )


def _configured(conf: Path | None) -> tuple[str, str, str, str]:
    """What asterisk.conf says of folders and user, where Asterisk cannot be asked."""
    path = conf or Path("/etc/asterisk/asterisk.conf")
    text = text_of(path)
    found = parse(
        text or "", file=str(path), include=lambda name: _included(path.parent, name)
    ).sections
    options = {
        o.key: o.value for s in found if s.name in ("directories", "options") for o in s.options
    }
    return (
        options.get("astetcdir", str(path.parent)),
        options.get("astvarlibdir", "/var/lib/asterisk"),
        options.get("astlogdir", "/var/log/asterisk"),
        options.get("runuser", ""),
    )


def _included(folder: Path, name: str) -> list[tuple[str, str]]:
    """The files that an #include names, relative to Asterisk's folder."""
    base = Path("/") if name.startswith("/") else folder
    found = sorted(path for path in base.glob(name.lstrip("/")) if path.is_file())
    return [(str(path), text_of(path) or "") for path in found]


def _pid(file: str) -> int:
    with suppress(OSError, ValueError):
        return int(Path(file).read_text())
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (folder / "comm").read_text().strip() == "asterisk":
                return int(folder.name)
    return 0


def _owner(path: Path) -> str:
    with suppress(OSError, KeyError):
        return pwd.getpwuid(path.stat().st_uid).pw_name
    return "root"


def _group(user: str) -> str:
    with suppress(KeyError):
        return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
    return user


def groups_of(user: str) -> frozenset[str]:
    """The groups of a user, his own among them."""
    named = {entry.gr_name for entry in grp.getgrall() if user in entry.gr_mem}
    return frozenset(
        named | ({_group(user)} if user in {e.pw_name for e in pwd.getpwall()} else set())
    )


def may_write(user: str, path: Path) -> bool:
    """May he write this file, and make others beside it?"""
    if user == "root":
        return path.exists()
    try:
        uid = pwd.getpwnam(user).pw_uid
        gids = {grp.getgrnam(name).gr_gid for name in groups_of(user)}
        found = [path.stat(), path.parent.stat()]
    except (OSError, KeyError):
        return False
    return all(
        mode.st_mode & (0o200 if mode.st_uid == uid else 0o020 if mode.st_gid in gids else 0o002)
        for mode in found
    )


def interfaces() -> tuple[Interface, ...]:
    """The IPv4 addresses of interfaces that are up, loopback left out; the one toward everywhere comes first."""
    routes = (
        (Path("/proc/net/route").read_text().splitlines()[1:])
        if Path("/proc/net/route").exists()
        else []
    )
    default = {line.split()[0] for line in routes if line.split()[1] == "00000000"}
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            with suppress(OSError):
                (flags,) = struct.unpack_from("H", fcntl.ioctl(sock, FLAGS, request), 16)
                address = socket.inet_ntoa(fcntl.ioctl(sock, ADDRESS, request)[20:24])
                if flags & UP and not flags & LOOPBACK:
                    found.append(Interface(name, address, name in default))
    return tuple(sorted(found, key=lambda one: not one.default))


def sockets() -> tuple[Socket, ...]:
    """Who listens, by what of /proc/net and /proc/*/fd this user may see."""
    rows = []
    for protocol, state in LISTENS.items():
        for table in (protocol, protocol + "6"):
            with suppress(OSError):
                for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                    words = line.split()
                    if words[3] == state:
                        address, _, port = words[1].rpartition(":")
                        rows.append((protocol, _address(address), int(port, 16), words[9]))
    owners = _owners({row[3] for row in rows})
    return tuple(Socket(p, a, n, *owners.get(inode, ("", 0))) for p, a, n, inode in rows)


def _address(text: str) -> str:
    data = bytes.fromhex(text)
    if len(data) == 4:
        return socket.inet_ntoa(data[::-1])
    words = b"".join(data[i : i + 4][::-1] for i in range(0, 16, 4))
    return socket.inet_ntop(socket.AF_INET6, words)


def _owners(inodes: set[str]) -> dict[str, tuple[str, int]]:
    """Program and process of these sockets."""
    found: dict[str, tuple[str, int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            name = (folder / "comm").read_text().strip()
            if b"pbxfed" in (folder / "cmdline").read_bytes():
                name = "pbxfed"  # whichever Python runs it
            for handle in (folder / "fd").iterdir():
                with suppress(OSError):
                    link = os.readlink(handle)
                    if link.startswith("socket:[") and link[8:-1] in inodes:
                        found[link[8:-1]] = (name, int(folder.name))
    return found


def firewall() -> tuple[Chains | None, str]:
    """The rules of this machine; None and why not, where they cannot be read."""
    path = f"{os.environ.get('PATH', '')}:{SBIN}"
    for program, options, read in (
        ("nft", ["-j", "list", "ruleset"], from_nft),
        ("iptables-save", [], from_iptables),
    ):
        found = shutil.which(program, path=path)
        if found is None:
            continue
        done = run([found, *options])
        if done is None or done.returncode:
            return None, f"{program} does not show its rules: look yourself"
        with suppress(ValueError, KeyError):
            return read(done.stdout or "{}"), ""
        return None, f"{program}'s rules are not understood: look yourself"
    return None, ""
