"""What an operator's files say of the sockets that peers and the daemon will use."""

from collections.abc import Sequence
from dataclasses import dataclass

from pbxfed_ari.importing.asterisk_conf import Section
from pbxfed_ari.installing.fitting import Conflict
from pbxfed_ari.installing.rules import IAX_MODULE, MODULES, TRUE

ANY = ("0.0.0.0", "")
SIP, IAX, HTTP = 5060, 4569, 8088
TRANSPORT = """
; There was no UDP transport: this one is for phones and for the other nodes.
[pbxfed-udp]
type=transport
protocol=udp
bind=0.0.0.0:5060
"""


@dataclass(frozen=True, slots=True)
class Sip:
    """Where PJSIP takes calls of other nodes."""

    port: int = SIP
    ours: bool = False  # the operator has no UDP transport: we bring one
    conflict: Conflict | None = None
    outside: bool = False  # the transport knows an external address


def sip(sections: Sequence[Section], address: str) -> Sip:
    """The UDP transport that peers can call at this address."""
    found = [
        (section, *_place(section.last("bind", "0.0.0.0"), SIP))
        for section in sections
        if section.last("type") == "transport" and section.last("protocol", "udp").lower() == "udp"
    ]
    if not found:
        return Sip(ours=True)
    for section, host, port in found:
        if host in (*ANY, address):
            return Sip(port, outside=bool(section.last("external_media_address")))
    section, host, port = found[0]
    option = section.all("bind")[-1]
    why = "other nodes call this one at its address: bind a UDP transport there, or name another address (--address)"
    thing = f"pjsip.conf [{section.name}] bind"
    return Sip(
        port, conflict=Conflict(option.where, thing, option.value, f"{address} or 0.0.0.0", why)
    )


def transports(sections: Sequence[Section], address: str) -> tuple[tuple[str, int], ...]:
    """What PJSIP offers to phones at this address, with its ports, best first; WebSockets are the HTTP server's."""
    found: dict[str, int] = {}
    for section in sections:
        if section.last("type") != "transport":
            continue
        name = section.last("protocol", "udp").lower()
        host, port = _place(section.last("bind", "0.0.0.0"), SIP + (name == "tls"))
        if host in (*ANY, address):
            found.setdefault(name, port)
    return tuple((name, found[name]) for name in ("tls", "tcp", "udp") if name in found)


def iax(sections: Sequence[Section], address: str) -> int | None:
    """The port where IAX2 takes calls at this address; None if it does not."""
    general = next((s for s in sections if s.name.lower() == "general"), None)
    if general is None:
        return IAX
    usual = _number(general.last("bindport"), IAX)
    binds = [_place(option.value, usual) for option in general.all("bindaddr")]
    return next((port for host, port in binds if host in (*ANY, address)), None if binds else usual)


def http(sections: Sequence[Section]) -> tuple[str, str]:
    """Where ARI will answer, as a URL without /ari, and the address that its server binds."""
    general = next((s for s in sections if s.name.lower() == "general"), None)
    bind = general.last("bindaddr", "127.0.0.1") if general else "127.0.0.1"
    port = _number(general.last("bindport"), HTTP) if general else HTTP
    prefix = general.last("prefix").strip("/") if general else ""
    host = "127.0.0.1" if bind in (*ANY, "::", "[::]") else bind
    return f"http://{host}:{port}" + (f"/{prefix}" if prefix else ""), bind or "0.0.0.0"


def rtp(sections: Sequence[Section]) -> tuple[int, int]:
    """First and last port of media; Asterisk's own defaults where rtp.conf is silent (res_rtp_asterisk.c)."""
    general = next((s for s in sections if s.name.lower() == "general"), None)
    first = _number(general.last("rtpstart"), 5_000) if general else 5_000
    return first, (_number(general.last("rtpend"), 31_000) if general else 31_000)


def forgets(sections: Sequence[Section]) -> bool:
    """Does a reload of the dialplan forget global variables? (pbx_config.c)"""
    general = next((s for s in sections if s.name.lower() == "general"), None)
    return general is not None and general.last("clearglobalvars").strip().lower() in TRUE


def modules(sections: Sequence[Section]) -> tuple[list[Conflict], bool]:
    """Conflicts about modules that would not be loaded, and whether IAX2 will be there."""
    options = [o for s in sections if s.name.lower() == "modules" for o in s.options]
    named: dict[str, set[str]] = {"load": set(), "noload": set()}
    conflicts: list[Conflict] = []
    for option in options:
        name = option.value.removesuffix(".so")
        verb = {"preload": "load", "require": "load", "preload-require": "load"}.get(
            option.key, option.key
        )
        named.setdefault(verb, set()).add(name)
        if option.key == "noload" and name in MODULES:
            why = "pbxfed needs this module: take the line out"
            conflicts.append(Conflict(option.where, "modules.conf noload", option.value, "", why))
    autoload = next((o for o in options if o.key == "autoload"), None)
    everything = not options or (autoload is not None and autoload.value.lower() in TRUE)
    missing = [name for name in MODULES if not everything and name not in named["load"]]
    missing = [name for name in missing if name not in named["noload"]]
    if missing:
        where = autoload.where if autoload else options[0].where
        why = f"without it these must be loaded one by one: {', '.join(f'load={m}.so' for m in missing)}"
        conflicts.append(Conflict(where, "modules.conf autoload", "no", "yes", why))
    iax_too = (everything or IAX_MODULE in named["load"]) and IAX_MODULE not in named["noload"]
    return conflicts, iax_too


def _place(text: str, port: int) -> tuple[str, int]:
    host, colon, said = text.strip().rpartition(":")
    if not colon or text.strip().endswith("]"):
        return text.strip(), port
    return host, _number(said, port)


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isdecimal() else otherwise
