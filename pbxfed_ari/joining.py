"""`pbxfed join`: a new machine becomes a member. It asks with its token, and writes what the answer brings.

Nothing is replaced: a configuration that exists must agree with the federation, and a folder that belongs to another federation
is left alone. The daemon starts afterwards and fetches the first state as every joiner does.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pbxfed_ari import config
from pbxfed_ari.config import DEFAULT_PATH, Settings
from pbxfed_ari.config.sections import LanSettings, NodeSettings
from pbxfed_ari.core.names import NodeName, node_name
from pbxfed_ari.core.records.keys import GroupKey, Keyring
from pbxfed_ari.errors import Refused
from pbxfed_ari.installing.daemon import toml
from pbxfed_ari.join import asking
from pbxfed_ari.join.asking import TurnedAway
from pbxfed_ari.keys import KEYS, NODE_KEY, keep_keyring, load_keyring, load_node_key
from pbxfed_ari.wire import token
from pbxfed_ari.wire.token import Answer, Token

STORE = "state.db"


@dataclass(frozen=True, slots=True)
class Joined:
    """What has become of this machine."""

    name: NodeName
    domain: str
    config: Path
    written: bool  # the configuration was written by us
    todo: tuple[str, ...]  # what an operator has yet to do


def join(
    text: str,
    path: Path,
    *,
    name: str | None = None,
    address: str | None = None,
    site: str | None = None,
    state: Path | None = None,
    asterisk: Mapping[str, Mapping[str, object]] | None = None,
) -> Joined:
    """Redeem a token. The options are for a machine that has no configuration file yet; `asterisk` is what that file shall say
    of the PBX, where its files are in place.

    Raises: Refused, ConfigError, OSError.
    """
    given = token.read(text)
    settings = config.load(path) if path.exists() else None
    if settings is not None:
        _agree(path, "federation.domain", settings.federation.domain, given.domain)
        for option, value, has in (
            ("--name", name, settings.node.name),
            ("--address", address, settings.node.address),
            ("--site", site, settings.node.site),
            ("--state", state, settings.node.state),
        ):
            if value not in (None, has):
                raise Refused(
                    f"{option} {value}: {path} says {has}; change it there, or leave the option out"
                )
        name, address = settings.node.name, settings.node.address
        state = settings.node.state
    me = node_name(name or asking.hostname())
    address = address or asking.own_address(given)
    state = state or _default_state()
    if settings is None:
        node = {"name": me, "address": address, "state": str(state.absolute())}
        node |= {} if site is None else {"site": site}
        config.parse({"node": node, "federation": {"domain": given.domain}}, path)
    _check_free(settings, state)
    answer = _ask(given, me, address, state)
    _check_answer(path, settings, given, answer, state)
    keys = Keyring([GroupKey(*key) for key in answer.keys], answer.closed)
    keep_keyring(state, keys, answer.born)
    if settings is None:
        _write(path, me, address, site or answer.site, state, answer, asterisk or {})
    todo = _todo(settings, answer, asterisk is not None)
    return Joined(me, answer.domain, path, settings is None, todo)


def _ask(given: Token, me: NodeName, address: str, state: Path) -> Answer:
    """The answer. Who is turned away has no more than before; without an answer the key stays: the token may be its by now."""
    new = [path for path in (state / NODE_KEY, state) if not path.exists()]
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return asking.ask(given, me, address, load_node_key(state, me))
    except TurnedAway:
        for path in new:
            path.rmdir() if path == state else path.unlink(missing_ok=True)
        raise


def _check_free(settings: Settings | None, state: Path) -> None:
    port = settings.lan.port if settings else LanSettings().port
    if not asking.port_is_free(port):
        raise Refused(f"UDP port {port} is in use: stop the daemon first, then join")
    if (state / STORE).exists() and not (state / KEYS).exists():
        raise Refused(
            f"{state / STORE} is of a federation whose keys are not here: move it away, its configuration would mix "
            "with the other's"
        )


def _check_answer(
    path: Path, settings: Settings | None, given: Token, answer: Answer, state: Path
) -> None:
    known = load_keyring(state)
    if known is not None and known[1] != answer.born:
        raise Refused(
            f"{state} belongs to another federation: name another folder (node.state), or move it away"
        )
    if answer.domain != given.domain:
        raise Refused(f"the inviter's domain is {answer.domain!r}, the token's {given.domain!r}")
    if settings is not None:
        _agree(path, "lan.group", settings.lan.group, answer.group)
        _agree(path, "lan.port", settings.lan.port, answer.port)
        if settings.node.site == answer.site:
            _agree(path, "lan.timing", settings.lan.timing, answer.timing)


def _agree(path: Path, key: str, ours: object, theirs: object) -> None:
    if ours != theirs:
        raise Refused(
            f"{path}: {key} = {ours!r}: the federation has {theirs!r}; set it to that, then join"
        )


def _write(
    path: Path,
    me: NodeName,
    address: str,
    site: str,
    state: Path,
    answer: Answer,
    asterisk: Mapping[str, Mapping[str, object]],
) -> None:
    lan = LanSettings()
    sections: dict[str, dict[str, object]] = {
        "node": {"name": me, "address": address, "site": site},
        "federation": {"domain": answer.domain},
        "lan": {},
        "wan": {},
        **{section: dict(values) for section, values in asterisk.items()},
    }
    if state != _default_state():
        sections["node"]["state"] = str(state.absolute())
    if (answer.group, answer.port) != (lan.group, lan.port):
        sections["lan"] = {"group": answer.group, "port": answer.port}
    if not answer.multicast:
        sections["lan"] |= {"multicast": False, "peers": list(answer.seeds)}
    if answer.timing != lan.timing:
        sections["lan"]["timing"] = answer.timing
    if answer.wan != "none":
        sections["wan"] = {"link": answer.wan, "connect": list(answer.connect)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write("# written by `pbxfed join`; docs/configuration.md has all keys\n\n")
        file.write(toml(sections))


def _todo(settings: Settings | None, answer: Answer, included: bool) -> tuple[str, ...]:
    todo = []
    if settings is None and not included:
        todo.append(
            "write the password of ari.conf's user into /etc/pbxfed/ari.password, mode 0600, "
            "and include the files of dialplan/ in Asterisk's (`pbxfed init` does both)"
        )
    if settings is not None and not (settings.lan.multicast and answer.multicast):
        lan = settings.lan
        if not lan.peers and not lan.srv:
            todo.append(
                f"without multicast nobody is found: set lan.peers = {json.dumps(answer.seeds)}"
            )
    if answer.wan != "none" and settings is None:
        todo.append("secrets of the link between sites ([wan], if it needs any) are yours to copy")
    if answer.wan != "none" and settings is not None and settings.wan.link != answer.wan:
        todo.append(
            f"the federation's sites are linked by {answer.wan}: set wan.link, if this is another site"
        )
    return (*todo, "`pbxfed check`, then `pbxfed run`")


def _default_state() -> Path:
    default = NodeSettings.__dataclass_fields__["state"].default
    assert isinstance(default, Path)
    return default


def config_path(given: Path | None, environment: str | None) -> Path:
    """Where the configuration is, or shall be."""
    return given or (Path(environment) if environment else DEFAULT_PATH)
