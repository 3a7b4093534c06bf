"""All that `pbxfed init` would write, or the lines that stand in its way. Pure: files as text in, edits out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pbxfed_ari.errors import Refused
from pbxfed_ari.importing.asterisk_conf import Section, parse
from pbxfed_ari.installing import settings
from pbxfed_ari.installing.blocks import with_block, without_block
from pbxfed_ari.installing.daemon import HEAD, toml
from pbxfed_ari.installing.facts import Machine
from pbxfed_ari.installing.fitting import Conflict, fit
from pbxfed_ari.installing.manifest import Manifest, digest
from pbxfed_ari.installing.rules import (
    FILES,
    OBJECTS,
    PASSWORD_FILE,
    PEERS_FILE,
    REALM,
    RELOADS,
)

FOLDER = "pbxfed"  # of our files, in Asterisk's folder
PASSWORD = f"{FOLDER}/ari-password.conf"
ARI_USER = "pbxfed"
DEFAULT_URL, DEFAULT_OBJECTS = "http://127.0.0.1:8088", OBJECTS
SECURITY = "pbxfed-security.log"
OWN_WEBSOCKETS = (
    "ari.conf has outbound websockets of yours, so Asterisk will not read pbxfed-keep: "
    "in bridge mode nobody is transferred while the daemon is away; copy [pbxfed-keep] of dialplan/websocket_client.conf there"
)
HEAD_OF_FILE = 2_000  # characters, in which a generated file says that it is one
DEFAULT_SECURITY = f"/var/log/asterisk/{SECURITY}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the operator wants, and what is decided for him."""

    name: str
    domain: str
    address: str
    site: str = ""
    config: str = "/etc/pbxfed/pbxfed.toml"
    state: str = "/var/lib/pbxfed"
    default_state: bool = True
    password_file: str = "/etc/pbxfed/ari.password"
    default_password_file: bool = True
    user: str = "pbxfed"  # who runs the daemon
    listen: str = "127.0.0.1:8780"  # his HTTP API
    lan: int = 8781  # his UDP port
    password: str = ""  # a fresh one, for who has none
    joins: bool = False  # pbxfed.toml is written by the joining
    accepted: frozenset[str] = frozenset()  # conflicts that are overridden
    configured: Mapping[str, object] | None = (
        None  # [asterisk] and trunks of a pbxfed.toml that is there
    )


@dataclass(frozen=True, slots=True)
class Edit:
    """One file that is to be written."""

    path: str
    before: str | None  # None: there is no such file
    after: str
    his: bool = False  # the operator's: owner and mode stay
    mode: int = 0o640
    owner: str = "asterisk"  # whose group reads it; `daemon`: it is his
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that must be there."""

    path: str
    mode: int
    owner: str  # asterisk, daemon or root


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done."""

    wish: Wish
    edits: tuple[Edit, ...]
    folders: tuple[Folder, ...]
    objects: str  # the file that Asterisk and the daemon share
    settings: dict[str, dict[str, object]]  # what pbxfed.toml shall say
    conflicts: tuple[Conflict, ...] = ()
    hints: tuple[str, ...] = ()
    restart: bool = False
    reloads: tuple[str, ...] = ()
    make_user: bool = False
    join_group: str = ""
    share: bool = False  # the shared file has yet to be made, or given to both users
    keys: bool = False  # the federation's keys have yet to be made, or brought

    @property
    def empty(self) -> bool:
        """Is all as it should be?"""
        return not (self.edits or self.make_user or self.join_group or self.share or self.keys)


def plan(
    machine: Machine, wish: Wish, templates: Mapping[str, str], manifest: Manifest | None = None
) -> Plan:
    """Everything at once: a plan with conflicts is not to be carried out.

    Raises: Refused, where Asterisk itself would refuse a file.
    """
    asterisk = machine.asterisk
    home, known = f"{asterisk.varlib}/{FOLDER}", wish.configured or {}
    objects = str(known.get("objects", f"{home}/objects.sqlite3"))
    peers = str(known.get("iax_peers", f"{home}/iax-peers.conf"))
    his = {file: _sections(machine, file) for file in (*FILES, "modules.conf", "rtp.conf")}
    conflicts, iax_loaded = settings.modules(his["modules.conf"])
    hints: list[str] = []
    sip = settings.sip(his["pjsip.conf"], wish.address)
    conflicts += [sip.conflict] if sip.conflict else []
    conflicts += [_older_sip(asterisk.etc)] if sip.ours and asterisk.chan_sip else []
    iax = settings.iax(his["iax.conf"], wish.address) if iax_loaded else None
    if iax is None:
        hints.append("IAX2 is not to be had at this address: nodes will call this one by SIP only")
    url, bound = settings.http(his["http.conf"])
    if bound != "localhost" and not bound.startswith("127."):
        hints.append(
            f"http.conf: bindaddr = {bound}: ARI can be reached from outside; its password is as good as root"
        )
    security = f"{asterisk.logs}/{SECURITY}"
    wanted = _wanted(
        wish, url=url, objects=objects, peers=peers, security=security, sip=sip.port, iax=iax
    )
    conflicts += _configured(wish, wanted)
    here = {REALM: wish.domain, PASSWORD_FILE: PASSWORD, PEERS_FILE: peers, OBJECTS: objects}
    connects = any(s.last("type") == "outbound_websocket" for s in his["ari.conf"])
    hints += [OWN_WEBSOCKETS] if connects else []
    edits: list[Edit] = []
    for file in FILES:
        if file == "iax.conf" and iax is None:
            continue
        if file == "logger.conf" and not any(s.name == "logfiles" for s in his[file]):
            continue  # without any, Asterisk has some of its own; ours alone would end those
        text = templates[file]
        for old, new in here.items():
            text = text.replace(old, new)
        identifies = any(s.last("type") == "identify" for s in his["pjsip.conf"])
        without = {("global", "endpoint_identifier_order")} if identifies else set()
        without |= {("res_ari", "outbound_websocket")} if connects else set()
        fitted = fit(file, text, his[file], accepted=wish.accepted, without=without)
        conflicts += fitted.conflicts
        hints += _written_by_a_program(machine, file) if fitted.text else []
        extra = settings.TRANSPORT if file == "pjsip.conf" and sip.ours else ""
        edits += _edits(machine, file, fitted.text + extra)
    password = machine.password or wish.password
    edits += _password(machine, wish, password)
    if machine.config is None and not wish.joins:
        edits.append(Edit(wish.config, None, HEAD + toml(wanted), mode=0o644, owner="root"))
    conflicts += _changed(edits, asterisk.etc, manifest, wish.accepted)
    files = [edit.path.rpartition("/")[2] for edit in edits if edit.path.startswith(asterisk.etc)]
    return Plan(
        wish,
        tuple(edits),
        _folders(machine, wish, objects.rpartition("/")[0]),
        objects,
        wanted,
        tuple(conflicts),
        tuple(hints),
        restart=any(file not in (*RELOADS, "ari-password.conf") for file in files),
        reloads=tuple(dict.fromkeys(RELOADS[f] for f in map(_read_by, files) if f in RELOADS)),
        make_user=wish.user not in machine.users,
        join_group=_group(machine, wish),
        share=not machine.shared,
        keys=wish.joins or not machine.member,
    )


def taken(machine: Machine, made: Plan) -> list[str]:
    """Ports that another program has: each with who it is and what to do."""
    wish, asterisk, port = made.wish, machine.asterisk, made.settings["asterisk"].get
    api, address = wish.listen.rpartition(":"), wish.address
    url = urlsplit(str(port("url", DEFAULT_URL)))
    places = [
        ("udp", address, int(str(port("sip_port", settings.SIP))), "Asterisk", "asterisk.sip_port"),
        ("tcp", str(url.hostname), url.port or 80, "Asterisk", "asterisk.url"),
        ("tcp", api[0].strip("[]"), int(api[2]), "pbxfed", "http.listen"),
        ("udp", "0.0.0.0", wish.lan, "pbxfed", "lan.port"),
    ]
    if not made.settings["calls"]:
        iax = int(str(port("iax_port", settings.IAX)))
        places.append(("udp", address, iax, "Asterisk", "asterisk.iax_port"))
    found = []
    for protocol, host, number, owner, key in places:
        for socket in machine.sockets:
            mine = socket.pid == asterisk.pid if owner == "Asterisk" else "pbxfed" in socket.program
            if socket.meets(protocol, host, number) and socket.program and not mine:
                found.append(
                    f"{protocol.upper()} port {number} is taken by {socket.program} (process {socket.pid}): {owner} needs it; "
                    f"stop that program, or give {owner} another port ({key})"
                )
    return found


def _older_sip(etc: str) -> Conflict:
    """chan_sip (until Asterisk 20) listens at the port that our transport would have."""
    why = "it has SIP's port, and there is no UDP transport of PJSIP: noload it, or give PJSIP one at another port"
    return Conflict(f"{etc}/modules.conf", "module chan_sip", "running", "", why)


def _written_by_a_program(machine: Machine, file: str) -> list[str]:
    """A file that another program writes will lose our lines."""
    head = machine.files.get(file, "")[:HEAD_OF_FILE].lower()
    if not any(word in head for word in ("do not edit", "do not modify", "freepbx")):
        return []
    mine = file.replace(".conf", "_custom.conf")
    return [
        f"{file} says that a program writes it, which would lose our line: put it where that program keeps yours "
        f"(FreePBX: {mine}), then `pbxfed init` again"
    ]


def _sections(machine: Machine, file: str) -> list[Section]:
    """The operator's own sections of a file, and of what he includes."""
    path = f"{machine.asterisk.etc}/{file}"
    parsed = parse(without_block(machine.files.get(file, "")), file=path, include=machine.include)
    unending = [skipped for skipped in parsed.skipped if "comment ;--" in skipped.why]
    if unending:
        raise Refused(
            f"{unending[0].where}: {unending[0].why}; end it, so that lines below it are read"
        )
    return parsed.sections


def _edits(machine: Machine, file: str, text: str) -> list[Edit]:
    """Our file, and its include in the operator's; nothing where all of it holds."""
    etc, ours = machine.asterisk.etc, f"{FOLDER}/{file}"
    edits = []
    if not text:
        return []
    if machine.files.get(ours) != text:
        edits.append(Edit(f"{etc}/{ours}", machine.files.get(ours), text))
    before = machine.files.get(file)
    after = with_block(before or "", ours)
    if after != before:
        edits.append(Edit(f"{etc}/{file}", before, after, his=before is not None))
    return edits


def _password(machine: Machine, wish: Wish, password: str) -> list[Edit]:
    """ARI's password, for Asterisk and for the daemon."""
    if machine.password:
        return []
    path, old = f"{machine.asterisk.etc}/{PASSWORD}", machine.files.get(PASSWORD)
    theirs = machine.files.get(wish.password_file)
    return [
        Edit(path, old, f"password={password}\n", secret=True),
        Edit(wish.password_file, theirs, password + "\n", mode=0o600, owner="daemon", secret=True),
    ]


def _folders(machine: Machine, wish: Wish, home: str) -> tuple[Folder, ...]:
    return (
        Folder(f"{machine.asterisk.etc}/{FOLDER}", 0o750, "asterisk"),
        *([Folder(home, 0o2770, "shared")] if home.endswith(f"/{FOLDER}") else []),
        Folder(wish.config.rpartition("/")[0] or "/", 0o755, "root"),
        Folder(wish.state, 0o700, "daemon"),
    )


def _wanted(
    wish: Wish, *, url: str, objects: str, peers: str, security: str, sip: int, iax: int | None
) -> dict[str, dict[str, object]]:
    """What pbxfed.toml shall say."""
    node: dict[str, object] = {"name": wish.name, "address": wish.address}
    node |= {"site": wish.site} if wish.site else {}
    node |= {} if wish.default_state else {"state": wish.state}
    asterisk: dict[str, object] = {} if url == DEFAULT_URL else {"url": url}
    asterisk |= {} if wish.default_password_file else {"password_file": wish.password_file}
    asterisk |= {} if peers == PEERS_FILE or iax is None else {"iax_peers": peers}
    asterisk |= {} if objects == DEFAULT_OBJECTS else {"objects": objects}
    asterisk |= {} if security == DEFAULT_SECURITY else {"security_log": security}
    asterisk |= {} if sip == settings.SIP else {"sip_port": sip}
    asterisk |= {} if iax in (None, settings.IAX) else {"iax_port": iax}
    return {
        "node": node,
        "federation": {"domain": wish.domain},
        "asterisk": asterisk,
        "calls": {} if iax is not None else {"trunks": ["sip"]},
    }


def _configured(wish: Wish, wanted: Mapping[str, Mapping[str, object]]) -> list[Conflict]:
    """Where a pbxfed.toml that is there says something else of this Asterisk."""
    if wish.configured is None:
        return []
    return [
        Conflict(
            wish.config,
            f"asterisk.{key}",
            str(wish.configured[key]),
            str(value),
            "this Asterisk has it there",
        )
        for key, value in wanted["asterisk"].items()
        if str(wish.configured.get(key, value)) != str(value)
    ]


def _changed(
    edits: Iterable[Edit], etc: str, manifest: Manifest | None, accepted: frozenset[str]
) -> list[Conflict]:
    """Files of ours that somebody has changed since."""
    known = {entry.path: entry.after for entry in manifest.entries} if manifest else {}
    return [
        Conflict(
            edit.path,
            "this file",
            "changed by hand",
            "",
            "it would be replaced; move your lines to a file of yours",
            True,
        )
        for edit in edits
        if edit.before is not None
        and not (edit.his or edit.secret)
        and edit.path.startswith(f"{etc}/{FOLDER}/")
        and known.get(edit.path, "") != digest(edit.before)
        and "this file" not in accepted
    ]


def _group(machine: Machine, wish: Wish) -> str:
    """The group that the daemon's user has yet to join, to share files with Asterisk."""
    group = machine.asterisk.group
    return "" if wish.user == "root" or group == "root" or group in machine.groups else group


def _read_by(file: str) -> str:
    return "ari.conf" if file == "ari-password.conf" else file
