"""The look at what runs: Asterisk's own answers, an ARI login, a multicast frame to ourselves; `judging` says what it means."""

import re
import select
import socket
import time
from base64 import b64encode
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from pbxfed_ari.config import Settings, credentials
from pbxfed_ari.errors import ConfigError, Refused
from pbxfed_ari.importing.asterisk_conf import Section, parse
from pbxfed_ari.installing import machine as machines
from pbxfed_ari.installing import settings as files
from pbxfed_ari.installing.facts import Machine
from pbxfed_ari.installing.judging import Seen, Sockets
from pbxfed_ari.installing.machine import CommandLine

ARI_SECONDS = 5.0  # for an answer
HEARD_WITHIN = 0.5  # seconds, for our own multicast
STARTS_WITHIN = 60.0  # seconds, of Asterisk
STEP = 0.2  # seconds between two looks at it


def see(cli: CommandLine, machine: Machine, settings: Settings, user: str) -> Seen:
    """Everything that the checks want to know."""
    asterisk = settings.asterisk
    url = urlsplit(asterisk.url)
    shared = asterisk.objects
    at = Sockets(
        address=settings.node.address,
        domain=settings.federation.domain,
        sip=asterisk.sip_port,
        iax=asterisk.iax_port if "iax2" in settings.calls.trunks else None,
        phones=settings.phone_ports(),
        elsewhere=bool(asterisk.phone_addresses),
        http=url.port or 80,
        http_host=url.hostname or "127.0.0.1",
        api=int(settings.http.listen.rpartition(":")[2]),
        api_host=settings.http.listen.rpartition(":")[0].strip("[]"),
        lan=settings.lan.port,
        group=settings.lan.group,
        multicast=settings.lan.multicast,
        peers=_peers(settings),
        linked=settings.wan.link != "none",
    )
    if not machine.asterisk.running:
        return Seen(machine=machine, at=at)
    status, error = _ari(settings, "/asterisk/info")
    chains, unread = machines.firewall()
    his = _sections(machine, "pjsip.conf")
    sip = files.sip(his, settings.node.address)
    return Seen(
        machine=machine,
        at=at,
        modules=frozenset(re.findall(r"^(\S+)\.so .* Running ", cli.ask("module show"), re.M)),
        realm=_after(cli.ask("pjsip show settings"), "default_realm"),
        mappings=cli.ask("core show config mappings"),
        cache=_found(cli.ask("sorcery memory cache show res_pjsip/endpoint")),
        dialplan=_found(cli.ask("dialplan show pbxfed-dial")),
        local=cli.ask("dialplan show pbxfed-local"),
        forgets=files.forgets(_sections(machine, "extensions.conf")),
        ari=status,
        ari_error=error,
        app=_ari(settings, "/applications/pbxfed")[0] == 200,
        writable={name: machines.may_write(name, shared) for name in (user, machine.asterisk.user)},
        objects=str(shared),
        multicast=_multicast(at) if at.multicast else "",
        rtp=files.rtp(_sections(machine, "rtp.conf")),
        outside=sip.outside,
        transports=files.transports(his, settings.node.address),
        firewall=chains,
        unread=unread,
    )


def wait_for(cli: CommandLine) -> bool:
    """Until Asterisk has started again, and is not the one that was; whether it did in time."""
    began = time.monotonic()
    while (spent := time.monotonic() - began) < STARTS_WITHIN:
        if "fully booted" in cli.ask("core waitfullybooted"):
            up = re.search(r"System uptime: (\d+)", cli.ask("core show uptime seconds"))
            if up and int(up[1]) <= spent + 1:
                return True
        time.sleep(STEP)
    return False


def _sections(machine: Machine, file: str) -> list[Section]:
    with suppress(Refused):
        path = f"{machine.asterisk.etc}/{file}"
        return parse(machine.files.get(file, ""), file=path, include=machine.include).sections
    return []


def _peers(settings: Settings) -> tuple[str, ...]:
    """Other nodes' addresses, as the configuration names them."""
    doors = [
        urlsplit(door if "://" in door else f"//{door}").hostname for door in settings.wan.connect
    ]
    lan = [peer.partition(":")[0] for peer in settings.lan.peers]
    return tuple(dict.fromkeys([*lan, *(door for door in doors if door)]))


def _found(text: str) -> str:
    """What Asterisk says of a thing; empty if there is none."""
    missing = ("does not exist", "There is no existence", "No such", "no existence of")
    return "" if any(word in text for word in missing) else text


def _after(text: str, key: str) -> str:
    found = re.search(rf"^\s*{key}\s*:\s*(\S+)", text, re.M)
    return found[1] if found else ""


def _ari(settings: Settings, path: str) -> tuple[int, str]:
    """The HTTP status of a question to ARI; 0 and why, if there is none."""
    url = urlsplit(settings.asterisk.url)
    try:
        word = f"{settings.asterisk.user}:{credentials.ari_password(settings)}"
    except ConfigError as error:
        return 0, str(error)
    headers = {"Authorization": f"Basic {b64encode(word.encode()).decode()}"}
    prefix = url.path.rstrip("/").removesuffix("/ari")
    connection = HTTPConnection(url.hostname or "", url.port or 80, timeout=ARI_SECONDS)
    try:
        with closing(connection):
            connection.request("GET", f"{prefix}/ari{path}", headers=headers)
            return connection.getresponse().status, ""
    except (OSError, HTTPException) as error:
        return 0, str(error)


def _multicast(at: Sockets) -> str:
    """Send one frame to the group, on a port that nobody has, and hear it. Why that failed, or nothing."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth,
    ):
        here = socket.inet_aton(at.address)
        try:
            ear.bind(("", 0))
            group = socket.inet_aton(at.group) + here
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, here)
            mouth.sendto(b"pbxfed init", (at.group, ear.getsockname()[1]))
        except OSError as error:
            return str(error.strerror)
        return "" if select.select([ear], [], [], HEARD_WITHIN)[0] else "it is not heard here"
