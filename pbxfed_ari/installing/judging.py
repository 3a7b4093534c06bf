"""What a look at the running machine means: one line for each thing that calls need, and what to do where it is not so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from pbxfed_ari.asterisk.dialing import BOTH, HERE, PEERS
from pbxfed_ari.installing.facts import Machine
from pbxfed_ari.installing.firewall import DROP, MAYBE, Chains, verdict
from pbxfed_ari.installing.rules import IAX_MODULE, MEETING, MODULES, TELLING

GOOD, HINT, BAD = "good", "hint", "bad"
FEW_PORTS = 100  # of RTP: two a call leg with RTCP, so 25 calls
RESTART = "restart Asterisk: `asterisk -rx 'core restart when convenient'`"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing, and how it is."""

    name: str
    state: str
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sockets:
    """Where things shall be, as pbxfed.toml says."""

    address: str
    domain: str
    sip: int = 5060
    iax: int | None = 4569  # None: no IAX2
    phones: Sequence[tuple[str, int]] = (("udp", 5060),)  # transports that they are told of
    elsewhere: bool = False  # phones reach it at another address than this one
    http: int = 8088
    http_host: str = "127.0.0.1"
    api: int = 8780
    api_host: str = "127.0.0.1"
    lan: int = 8781
    group: str = "239.255.77.80"
    multicast: bool = True
    peers: Sequence[str] = ()  # addresses of other nodes, as far as they are known
    linked: bool = False  # to other sites


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen. Texts are what Asterisk's command line answers."""

    machine: Machine
    at: Sockets
    modules: frozenset[str] = frozenset()  # that run
    realm: str = ""  # of PJSIP
    mappings: str = ""  # core show config mappings
    cache: str = ""  # sorcery memory cache show
    dialplan: str = ""  # dialplan show pbxfed-dial
    local: str = ""  # dialplan show pbxfed-local
    forgets: bool = False  # a reload of the dialplan forgets global variables
    ari: int = 0  # HTTP status of a login; 0: no answer
    ari_error: str = ""
    app: bool = False  # Stasis application
    writable: Mapping[str, bool] = field(default_factory=dict)  # user → may write the shared file
    objects: str = ""
    multicast: str = ""  # why nothing of it was heard; empty: it works
    rtp: tuple[int, int] = (10_000, 20_000)
    outside: bool = False  # a transport knows its external address
    transports: Sequence[tuple[str, int]] = ()  # of PJSIP, that phones could use
    firewall: Chains | None = None  # None: not readable, or there is none
    unread: str = ""  # why not


def judge(seen: Seen) -> list[Check]:
    """All checks, in the order in which they should be mended."""
    asterisk = seen.machine.asterisk
    if asterisk.too_old:
        return [Check("asterisk", BAD, asterisk.too_old, "install 22.10.1 or later")]
    if not asterisk.running:
        text = (
            "Asterisk does not run" if asterisk.version else "there is no Asterisk on this machine"
        )
        return [Check("asterisk", BAD, text, "start it, then `pbxfed init --check`")]
    checks = [
        Check(
            "asterisk",
            HINT if asterisk.warning else GOOD,
            asterisk.warning or f"{asterisk.version}, runs as {asterisk.user}",
        ),
        _modules(seen),
        _meeting(seen),
        _telling(seen),
        *_ports(seen),
        _phones(seen),
        _ari(seen),
        _said(
            "dialplan",
            all(f"[{label}]" in seen.dialplan for label in (HERE, BOTH)),
            "calls can be handed over",
            f"there is no context pbxfed-dial with the labels {HERE} and {BOTH}",
            "`asterisk -rx 'dialplan reload'`",
        ),
        _alone(seen),
        _said(
            "realtime",
            "pbxfed_endpoint" in seen.mappings and bool(seen.cache),
            "phones and trunks are read from the shared file",
            "PJSIP does not look into the shared file yet",
            RESTART,
        ),
        _said(
            "realm",
            seen.realm == seen.at.domain,
            f"default_realm = {seen.realm}",
            f"default_realm = {seen.realm or '?'}, not {seen.at.domain}: phones' digests would not fit",
            "`asterisk -rx 'module reload res_pjsip.so'`",
        ),
        *_shared(seen),
        _lan(seen),
        _application(seen),
        _rtp(seen),
        *_firewall(seen),
        *_nat(seen),
    ]
    return checks


def _said(name: str, good: bool, yes: str, no: str, remedy: str) -> Check:
    return Check(name, GOOD, yes) if good else Check(name, BAD, no, remedy)


def _alone(seen: Seen) -> Check:
    """What phones here reach while the daemon is away."""
    if PEERS not in seen.local:
        text = (
            "without the daemon, phones of other nodes are not reached: this is an older dialplan"
        )
        return Check("alone", HINT, text, "`pbxfed init`, then `asterisk -rx 'dialplan reload'`")
    if seen.forgets:
        text = "a reload of the dialplan forgets which peers are asked without the daemon"
        remedy = (
            "clearglobalvars=no in [general] of extensions.conf, or restart the daemon after it"
        )
        return Check("alone", HINT, text, remedy)
    return Check("alone", GOOD, "without the daemon, phones here reach those of other nodes")


def _modules(seen: Seen) -> Check:
    wanted = (*MODULES, *([IAX_MODULE] if seen.at.iax is not None else []))
    missing = [name for name in wanted if name not in seen.modules]
    text = f"not loaded: {', '.join(missing)}"
    remedy = "look into Asterisk's log why; modules.conf says which are loaded"
    return _said("modules", not missing, "all that are needed run", text, remedy)


def _meeting(seen: Seen) -> Check:
    """What only rooms and queues need."""
    return _comfort(
        "rooms",
        MEETING,
        "conference rooms and queues can stand here, calls be listened in on, recordings given out",
        seen,
    )


def _telling(seen: Seen) -> Check:
    """Without these calls go on, and somebody is not told what he should know."""
    return _comfort(
        "telling", TELLING, "who is called, or waits, is told what he should know", seen
    )


def _comfort(name: str, modules: Mapping[str, str], good: str, seen: Seen) -> Check:
    missing = [name for name in modules if name not in seen.modules]
    if not missing:
        return Check(name, GOOD, good)
    lacks = ", ".join(f"no {modules[one]} here ({one} is not loaded)" for one in missing)
    load = ", ".join(f"`asterisk -rx 'module load {name}.so'`" for name in missing)
    return Check(name, HINT, lacks, f"{load}, and let modules.conf load it")


def _phones(seen: Seen) -> Check:
    """Are phones told of transports that there are, and of all of them?"""
    at = seen.at
    said = ", ".join(map(_transport, at.phones))
    judged = () if at.elsewhere else [one for one in at.phones if one != ("udp", at.sip)]
    deaf = [one for one in judged if not _listens(seen, *one)]
    if deaf:
        text = f"phones are told to use {', '.join(map(_transport, deaf))}, where Asterisk does not listen"
        remedy = "name in asterisk.phones what pjsip.conf has transports for, or give it one"
        return Check("phones", BAD, text, remedy)
    untold = [one for one in seen.transports if one[0] not in dict(at.phones)]
    if untold:
        text = f"phones are told to use {said}; pjsip.conf has {', '.join(map(_transport, untold))}, too"
        names = ", ".join(f'"{name}:{port}"' for name, port in (*untold, *at.phones))
        return Check("phones", HINT, text, f"if phones shall use it: asterisk.phones = [{names}]")
    return Check("phones", GOOD, f"they are told to use {said}")


def _transport(one: tuple[str, int]) -> str:
    return f"{one[0]}:{one[1]}"


def _listens(seen: Seen, transport: str, port: int) -> bool:
    protocol = "udp" if transport == "udp" else "tcp"
    pid = seen.machine.asterisk.pid
    found = [s for s in seen.machine.sockets if s.meets(protocol, seen.at.address, port)]
    return any(s.pid in (0, pid) for s in found)


def _ports(seen: Seen) -> list[Check]:
    """Does Asterisk listen where peers, phones and the daemon look for it?"""
    at, asterisk = seen.at, seen.machine.asterisk
    wanted = [("sip", "udp", at.address, at.sip), ("http", "tcp", at.http_host, at.http)]
    wanted += [("iax2", "udp", at.address, at.iax)] if at.iax is not None else []
    checks = []
    for name, protocol, host, port in wanted:
        found = [s for s in seen.machine.sockets if s.meets(protocol, host, port)]
        other = next((s for s in found if s.pid and s.pid != asterisk.pid), None)
        place = f"{host}:{port}/{protocol}"
        if found and other is None:
            checks.append(Check(name, GOOD, f"Asterisk listens at {place}"))
        elif other is not None:
            text = f"{place} is taken by {other.program} (process {other.pid})"
            checks.append(
                Check(name, BAD, text, "stop that program, or give Asterisk another port")
            )
        else:
            checks.append(Check(name, BAD, f"nobody listens at {place}", RESTART))
    return checks


def _ari(seen: Seen) -> Check:
    if seen.ari == 200:
        return Check("ari", GOOD, "the login works")
    reasons = {
        0: (
            f"no answer from {seen.at.http_host}:{seen.at.http}: {seen.ari_error}",
            "`asterisk -rx 'module reload http'`",
        ),
        401: ("the password is refused", "`asterisk -rx 'module reload res_ari.so'`"),
        403: (
            "ARI refuses: it is disabled, or an acl forbids it",
            "enabled=yes in ari.conf, then `asterisk -rx 'module reload res_ari.so'`",
        ),
        404: (
            "there is no ARI at this HTTP server",
            "load res_ari.so, and look whether http.conf has a prefix",
        ),
        503: (
            "ARI is disabled",
            "enabled=yes in ari.conf, then `asterisk -rx 'module reload res_ari.so'`",
        ),
    }
    text, remedy = reasons.get(seen.ari, (f"HTTP status {seen.ari}", "look into Asterisk's log"))
    return Check("ari", BAD, text, remedy)


def _shared(seen: Seen) -> list[Check]:
    cannot = [user for user, may in seen.writable.items() if not may]
    text = f"{', '.join(cannot)} may not write {seen.objects} and its folder"
    remedy = (
        "`pbxfed init` sets owner, group and rights; who was put into a group must be started anew"
    )
    return [_said("objects", not cannot, f"{seen.objects}: both may write it", text, remedy)]


def _lan(seen: Seen) -> Check:
    at = seen.at
    other = next(
        (
            s
            for s in seen.machine.sockets
            if s.meets("udp", "0.0.0.0", at.lan) and "pbxfed" not in s.program and s.program
        ),
        None,
    )
    if other is not None:
        text = f"UDP port {at.lan} is taken by {other.program} (process {other.pid})"
        return Check("lan", BAD, text, "stop that program, or set lan.port, the same on all nodes")
    if not at.multicast:
        return Check("lan", GOOD, f"unicast, UDP port {at.lan}")
    if seen.multicast:
        text = f"multicast to {at.group}:{at.lan} fails: {seen.multicast}"
        return Check("lan", HINT, text, "name nodes in lan.peers and set lan.multicast = false")
    return Check("lan", GOOD, f"multicast to {at.group}:{at.lan} leaves and is heard here")


def _application(seen: Seen) -> Check:
    at = seen.at
    found = [s for s in seen.machine.sockets if s.meets("tcp", at.api_host, at.api)]
    other = next((s for s in found if s.program and s.program != "pbxfed"), None)
    if other is not None:
        text = f"TCP port {at.api} is taken by {other.program} (process {other.pid})"
        return Check("application", BAD, text, "stop that program, or set http.listen")
    if seen.app:
        return Check("application", GOOD, "the daemon has its Stasis application")
    return Check(
        "application",
        HINT,
        "the daemon does not run yet",
        "start it: calls are answered by local phones until then",
    )


def _rtp(seen: Seen) -> Check:
    first, last = seen.rtp
    inside = [
        s
        for s in seen.machine.sockets
        if s.protocol == "udp"
        and first <= s.port <= last
        and s.pid != seen.machine.asterisk.pid
        and s.program
    ]
    if last - first < FEW_PORTS:
        return Check(
            "rtp",
            HINT,
            f"ports {first} to {last} are few: {(last - first + 1) // 4} calls",
            "widen rtpstart and rtpend in rtp.conf",
        )
    if inside:
        text = (
            f"port {inside[0].port} of the range {first} to {last} is used by {inside[0].program}"
        )
        return Check("rtp", HINT, text, "move the range (rtp.conf) or that program")
    return Check("rtp", GOOD, f"UDP ports {first} to {last}")


def _firewall(seen: Seen) -> list[Check]:
    """Every port that others must reach."""
    if seen.firewall is None:
        return [
            Check("firewall", HINT if seen.unread else GOOD, seen.unread or "this machine has none")
        ]
    at = seen.at
    first, last = seen.rtp
    wanted = [
        ("SIP", at.sip),
        ("IAX2", at.iax),
        ("federation", at.lan),
        ("media", first),
        ("media", last),
    ]
    found: dict[str, list[str]] = {}
    for name, port in wanted:
        if port is not None:
            found.setdefault(verdict(seen.firewall, "udp", port), []).append(f"{name} {port}")
    checks = []
    if DROP in found:
        ports = ", ".join(found[DROP])
        checks.append(
            Check(
                "firewall",
                BAD,
                f"rules of this machine drop UDP to: {ports}",
                f"let UDP ports {at.sip}, {at.iax or '-'}, {at.lan} and {first} to {last} in, from nodes and phones",
            )
        )
    if MAYBE in found:
        checks.append(
            Check(
                "firewall",
                HINT,
                f"whether these get in depends on who asks: {', '.join(found[MAYBE])} (UDP)",
                "make sure that nodes and phones may",
            )
        )
    return checks or [Check("firewall", GOOD, "its rules let in what is needed")]


def _nat(seen: Seen) -> list[Check]:
    """An address that others cannot send media to, where some of them are outside."""
    at = seen.at
    if not _private(at.address):
        return []
    public = [peer for peer in at.peers if not _private(peer)]
    if seen.outside or not (public or at.linked):
        return [
            Check(
                "nat",
                GOOD,
                f"{at.address} is private, and so are the nodes that are known"
                if not seen.outside
                else "the transport knows its external address",
            )
        ]
    who = f"nodes at {', '.join(public)}" if public else "nodes of other sites"
    text = f"{at.address} is private, and {who} may be beyond a NAT: they would send media nowhere"
    return [
        Check(
            "nat",
            HINT,
            text,
            "if so, set external_media_address, external_signaling_address and local_net in your transport (pjsip.conf), "
            "and forward the ports; or let the sites meet in a VPN",
        )
    ]


def _private(address: str) -> bool:
    try:
        return ip_address(address).is_private
    except ValueError:
        return False  # a name: somewhere
