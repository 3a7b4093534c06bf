"""The configuration: one TOML file, read into frozen settings. A refusal names file, key, value and remedy.

Each key is declared once, below, with its check, its default and the reason to change it. Unknown keys are refused too, with
the nearest known name: a misspelled key that is silently ignored is the worst kind of default.
"""

import ipaddress
import os
import re
import socket
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pbxfed_ari.core.condition import SICK, WORST
from pbxfed_ari.core.messages import PORT
from pbxfed_ari.core.names import node_name
from pbxfed_ari.core.shelf import MOST_HOSTS, TRANSPORTS
from pbxfed_ari.errors import ConfigError, Refused
from pbxfed_ari.sensors.command import SHELL, Command
from pbxfed_ari.sensors.gauges import OWN
from pbxfed_ari.web.access import Role, Tokens, read_tokens

if TYPE_CHECKING:  # they bring asyncio and more, and every command reads the configuration
    from ssl import SSLContext

    from pbxfed_ari.links.wan import Access

DEFAULT_PATH = Path("/etc/pbxfed/pbxfed.toml")
KEY_HEX = 64  # digits of the federation's key
TRUNKS = ("sip", "iax2")
LONGEST_DOMAIN = 200  # characters that leave room for a node's name in front
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")  # of a DNS name

Check = Callable[[Any], str]  # an empty text, or what is wrong and what would be right


def _text(value: object) -> str:
    return "" if isinstance(value, str) and value else "must be a text, not empty"


def _name(value: object) -> str:
    try:
        node_name(value if isinstance(value, str) else "")
    except Refused:
        return "must be 1 to 32 of a-z, 0-9 and -, as a DNS label"
    return ""


def _address(value: object) -> str:
    try:
        ip = ipaddress.IPv4Address(value if isinstance(value, str) else "")
    except ValueError:
        return "must be an IPv4 address of this machine, the one that peers reach"
    return "" if not (ip.is_unspecified or ip.is_multicast) else "must be one host's address"


def _group(value: object) -> str:
    try:
        ok = ipaddress.IPv4Address(value if isinstance(value, str) else "").is_multicast
    except ValueError:
        ok = False
    return "" if ok else "must be an IPv4 multicast address, 239.0.0.0/8 is for private use"


def _between(low: int, high: int) -> Check:
    def check(value: object) -> str:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return "" if whole and low <= int(str(value)) <= high else f"must be {low} to {high}"

    return check


def _one_of(*words: str) -> Check:
    return lambda value: "" if value in words else f"must be one of {', '.join(words)}"


def _trunks(value: object) -> str:
    words = value if isinstance(value, list) else []
    good = bool(words) and set(map(str, words)) <= set(TRUNKS) and len(set(words)) == len(words)
    return "" if good else 'must be a list of "sip" and "iax2", best first'


def _music(value: object) -> str:
    fits = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]{0,80}", value)
    return "" if fits else "must be a class of musiconhold.conf"


def _switch(value: object) -> str:
    return "" if isinstance(value, bool) else "must be true or false"


def _host(value: object) -> bool:
    labels = value.removesuffix(".").split(".") if isinstance(value, str) else [""]
    return all(map(_LABEL.fullmatch, labels)) and len(str(value)) < 254


def _maybe_host(value: object) -> str:
    return "" if value == "" or _host(value) else "must be a host name, as pbx.example.com"


def _hosts(value: object) -> str:
    for peer in value if isinstance(value, list) else [value]:
        host, colon, port = str(peer).partition(":")
        if not _host(host) or (colon and not (port.isdecimal() and 0 < int(port) < 65_536)):
            return 'must be a list of hosts, as ["10.0.0.11", "pbx2.example.com:8781"]'
    return "" if isinstance(value, list) else "must be a list"


def _srv(value: object) -> str:
    ok = value == "" or (_host(value) and str(value).startswith("_"))
    return "" if ok else 'must be a name with SRV records, as "_pbxfed._udp.example.com"'


def _listen(value: object) -> str:
    host, _, port = str(value).rpartition(":")
    ok = bool(host) and port.isdecimal() and 0 < int(port) < 65_536
    return "" if ok else 'must be address:port, as "127.0.0.1:8780"'


def _phones(value: object) -> str:
    words = [str(word).partition(":") for word in value] if isinstance(value, list) else []
    good = all(
        name in TRANSPORTS and (not colon or (port.isdecimal() and 0 < int(port) < 65_536))
        for name, colon, port in words
    )
    names = [name for name, _, _ in words]
    good = good and bool(names) and len(set(names)) == len(names)
    return "" if good else 'must be a list, best first, as ["tls:5061", "tcp", "udp:5060"]'


def _addresses(value: object) -> str:
    texts = value if isinstance(value, list) and len(value) <= MOST_HOSTS else [""]
    good = all(isinstance(text, str) and _one_host(text) for text in texts)
    return "" if good else f'must be {MOST_HOSTS} at most, as ["198.51.100.7", "2001:db8::7"]'


def _dns_listen(value: object) -> str:
    texts = value if isinstance(value, list) else [""]
    good = all(isinstance(text, str) and place(text) is not None for text in texts)
    return (
        ""
        if good
        else 'must be a list of addresses of this machine, as ["10.0.0.11", "[::1]:5353"]'
    )


def _one_host(text: str) -> bool:
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text and not (ip.is_unspecified or ip.is_multicast)


def place(text: str) -> tuple[str, int] | None:
    """Address and port of a place in dns.listen; None if it is not one.

    One host's address: an answer that leaves by another than the one that was asked is thrown away by the asker.
    """
    host, port = (text, "53") if _one_host(text) else text.rpartition(":")[::2]
    host = host.removeprefix("[").removesuffix("]")
    good = _one_host(host) and port.isdecimal() and 0 < int(port) < 65_536
    return (host, int(port)) if good else None


def _doors(value: object) -> str:
    texts = value if isinstance(value, list) else []
    good = isinstance(value, list) and all(isinstance(t, str) and _door(t) for t in texts)
    return "" if good else 'must be a list, as ["198.51.100.7:8782"] or ["tls://nats.example:4222"]'


def _door(text: str) -> bool:
    """Is this host:port, or the URL of a NATS server?"""
    try:
        url = urlsplit(text if "://" in text else f"//{text}")
        port = url.port if url.scheme else url.port or 0
    except ValueError:
        return False
    plain = not (url.path or url.query or url.fragment) and " " not in text
    return bool(url.hostname) and plain and url.scheme in ("", "nats", "tls") and port != 0


def _sensors(value: object) -> str:
    names = [gauge.name for gauge in OWN]
    good = isinstance(value, list) and all(name in names for name in value)
    return "" if good else f"must be a list of these: {', '.join(names)}"


def _command(value: object) -> str:
    words = value if isinstance(value, list) else [value]
    good = bool(words) and all(isinstance(word, str) and "\0" not in word for word in words)
    return (
        ""
        if good and words[0]
        else 'must be a list, as ["/usr/local/bin/check-fax", "--quick"]; or a text, with shell = true'
    )


def _user(value: object) -> str:
    return _text(value) or ("must not hold a colon" if ":" in str(value) else "")


def _url(value: object) -> str:
    try:
        url = urlsplit(str(value))
        ok = (
            url.scheme in ("http", "https")
            and bool(url.hostname)
            and url.port != 0
            and " " not in str(value)
        )
    except ValueError:
        ok = False
    return "" if ok else 'must be a URL, as "http://127.0.0.1:8088"'


def _key(check: Check, meaning: str, default: object = ...) -> Any:
    metadata = {"check": check, "meaning": meaning}
    if default is ...:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """This node."""

    name: str = _key(_name, "unique in the federation")
    address: str = _key(_address, "IPv4 address that peers send and dial to")
    site: str = _key(_name, "nodes of one site share a LAN", "main")
    weight: int = _key(
        _between(0, 1000),
        "capacity in relation to the other nodes; 0: what `pbxfed calibrate` has kept, else 100",
        0,
    )
    state: Path = _key(
        _text, "folder for the store and this node's own key", Path("/var/lib/pbxfed")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationSettings:
    """The federation."""

    domain: str = _key(
        _text, "SIP domain and digest realm; equal on all nodes, and to default_realm in pjsip.conf"
    )
    key_file: Path | None = _key(
        _text,
        "file with the key that the federation was born with: 64 hexadecimal digits",
        None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LanSettings:
    """The LAN link."""

    group: str = _key(
        _group, "multicast group; another one for another federation on this LAN", "239.255.77.80"
    )
    port: int = _key(_between(1, 65_535), "UDP port, for multicast and unicast", PORT)
    multicast: bool = _key(
        _switch, "whether there is multicast here; where it fails unicast follows by itself", True
    )
    peers: tuple[str, ...] = _key(_hosts, "host or host:port of nodes to say hello to", ())
    srv: str = _key(_srv, "name whose SRV records list such nodes", "")
    timing: str = _key(
        _one_of("lan", "wan"),
        "how patient nodes are with one another; the same on all of a site",
        "lan",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WanSettings:
    """The link to other sites."""

    link: str = _key(_one_of("none", "zenoh", "nats"), "what carries frames between sites", "none")
    connect: tuple[str, ...] = _key(
        _doors,
        "where to dial out to: rendezvous nodes, or NATS servers; any one of them suffices",
        (),
    )
    listen: str | None = _key(
        _listen, "address:port, if this node is a rendezvous that other sites can reach", None
    )
    user: str | None = _key(_user, "user at the NATS server", None)
    password_file: Path | None = _key(
        _text, "file with that user's password; without a user, with a token", None
    )
    credentials_file: Path | None = _key(_text, "file with a NATS user's JWT and NKEY seed", None)
    ca_file: Path | None = _key(
        _text, "certificates that NATS servers are checked against, if not public ones", None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AsteriskSettings:
    """The PBX beside us."""

    url: str = _key(_url, "where Asterisk's HTTP server answers", "http://127.0.0.1:8088")
    user: str = _key(_user, "section of ari.conf", "pbxfed")
    password_file: Path = _key(
        _text, "file with that user's password", Path("/etc/pbxfed/ari.password")
    )
    iax_peers: Path = _key(
        _text,
        "file of IAX2 peers that the daemon owns",
        Path("/var/lib/asterisk/pbxfed/iax-peers.conf"),
    )
    objects: Path = _key(
        _text,
        "file of phones and trunks that Asterisk reads",
        Path("/var/lib/asterisk/pbxfed/objects.sqlite3"),
    )
    control: Path = _key(
        _text,
        "Asterisk's control socket: what fills its queues is asked there",
        Path("/var/run/asterisk/asterisk.ctl"),
    )
    security_log: Path = _key(
        _text,
        "file into which Asterisk writes its security events",
        Path("/var/log/asterisk/pbxfed-security.log"),
    )
    sip_port: int = _key(_between(1, 65_535), "where Asterisk takes SIP from peers", 5060)
    iax_port: int = _key(_between(1, 65_535), "where Asterisk takes IAX2 from peers", 4569)
    phones: tuple[str, ...] = _key(
        _phones, "transports that phones may use, with their ports, best first", ("udp",)
    )
    phone_addresses: tuple[str, ...] = _key(
        _addresses, "where phones reach Asterisk, IPv4 and IPv6, if not at node.address", ()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSettings:
    """Calls."""

    control: str = _key(
        _one_of("handover", "bridge"),
        "how legs are connected, unless the object called says",
        "handover",
    )
    trunks: tuple[str, ...] = _key(_trunks, "how peers shall call this node, best first", TRUNKS)
    ring_seconds: int = _key(_between(1, 600), "how long a phone rings", 30)
    rescue: int = _key(
        _between(0, 600),
        "bridge mode: how long who talked with a node that has died waits to be connected again; 0: not at all",
        30,
    )
    rescue_music: str = _key(
        _music, "what he hears: a class of musiconhold.conf, or a tone if there is none", ""
    )
    keep_days: int = _key(_between(1, 3_650), "how long records of calls are kept", 90)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """The HTTP API."""

    listen: str = _key(_listen, "address:port; beyond loopback a token is needed", "127.0.0.1:8780")
    token_file: Path | None = _key(
        _text,
        "file with the bearer tokens that clients must send: TOKEN, or ROLE TOKEN with read, operate or admin",
        None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsSettings:
    """The DNS service for the federation's domain."""

    listen: tuple[str, ...] = _key(
        _dns_listen, "addresses to answer at, port 53 unless said; none: no DNS is served", ()
    )
    ttl: int = _key(_between(0, 3_600), "how long an answer may be remembered", 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSettings:
    """What this node's health depends on."""

    ignore: tuple[str, ...] = _key(_sensors, "sensors that are not read", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettings:
    """A check that the operator defines: [checks.NAME]."""

    command: str | tuple[str, ...] = _key(_command, "program and arguments; exit code 0 is well")
    shell: bool = _key(_switch, "let /bin/sh run it; then it is a text", False)
    every: int = _key(_between(1, 86_400), "seconds between two runs", 30)
    timeout: int = _key(_between(1, 300), "seconds after which it counts as failed", 5)
    weight: int = _key(_between(1, WORST), "tenths of the health that it costs to fail", SICK)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisioningSettings:
    """Where phones fetch their files."""

    listen: str | None = _key(
        _listen, "address:port at which phones fetch their files by HTTPS; none: they cannot", None
    )
    certificate_file: Path | None = _key(
        _text, "certificate that phones are shown, with those that vouch for it, as PEM", None
    )
    key_file: Path | None = _key(_text, "its private key, as PEM", None)
    host: str = _key(
        _maybe_host, "name in the URLs, which the certificate bears; federation.domain if empty", ""
    )
    servers: str = _key(
        _one_of("auto", "dns", "nodes"),
        "what phones are told: the domain, to be looked up, or two nodes; auto: the domain if nodes answer DNS",
        "auto",
    )
    expires: int = _key(_between(30, 7_200), "seconds that a registration of such phones lasts", 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """The log."""

    level: str = _key(
        _one_of("debug", "info", "warning", "error"), "least severe line that is written", "info"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole file."""

    path: Path
    node: NodeSettings
    federation: FederationSettings
    lan: LanSettings
    wan: WanSettings
    asterisk: AsteriskSettings
    calls: CallSettings
    http: HttpSettings
    dns: DnsSettings
    health: HealthSettings
    provisioning: ProvisioningSettings
    log: LogSettings
    checks: Mapping[str, CheckSettings]

    def check_machine(self) -> None:
        """What the file says of this machine must be so.

        Raises: ConfigError: the address is another machine's, or a folder that must be there is not.
        """
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind((self.node.address, 0))
        except OSError as error:
            raise ConfigError(
                f"{self.path}: node.address = {self.node.address!r}: {error.strerror}; "
                "it must be an address of this machine"
            ) from None
        peers = self.asterisk.iax_peers
        if "iax2" in self.calls.trunks and (peers.is_dir() or not peers.parent.is_dir()):
            raise ConfigError(
                f"{self.path}: asterisk.iax_peers = {peers}: must be a file in a folder that exists; "
                'or leave "iax2" out of calls.trunks'
            )
        objects = self.asterisk.objects
        if objects.is_dir() or not objects.parent.is_dir():
            raise ConfigError(
                f"{self.path}: asterisk.objects = {objects}: must be a file in a folder that exists, "
                "the one that res_config_sqlite3.conf names"
            )
        if self.node.state.exists() and not self.node.state.is_dir():
            raise ConfigError(f"{self.path}: node.state = {self.node.state}: must be a folder")

    def federation_key(self) -> bytes | None:
        """The key in federation.key_file, if one is set.

        Raises: ConfigError, if it cannot be read, is not 64 hex digits, or others may read it.
        """
        path = self.federation.key_file
        if path is None:
            return None
        text = _private(
            self.path,
            "federation.key_file",
            path,
            "make one with `openssl rand -hex 32`, copy it to all",
        )
        try:
            key = bytes.fromhex(text)
        except ValueError:
            key = b""
        if len(key) * 2 != KEY_HEX:
            raise ConfigError(
                f"{self.path}: federation.key_file = {path}: must hold {KEY_HEX} hexadecimal digits; "
                "make one with `openssl rand -hex 32`, copy it to all nodes"
            )
        return key

    def phone_ports(self) -> tuple[tuple[str, int], ...]:
        """The transports of asterisk.phones, each with its port: UDP and TCP are where peers call, unless said."""
        usual = {**TRANSPORTS, **dict.fromkeys(("udp", "tcp"), self.asterisk.sip_port)}
        words = (word.partition(":") for word in self.asterisk.phones)
        return tuple((name, int(port) if port else usual[name]) for name, _, port in words)

    def dns_places(self) -> tuple[tuple[str, int], ...]:
        """Addresses and ports of dns.listen."""
        return tuple(found for text in self.dns.listen if (found := place(text)) is not None)

    def commands(self) -> list[Command]:
        """The operator's checks."""
        return [
            Command(
                name,
                (*SHELL, one.command) if isinstance(one.command, str) else one.command,
                float(one.every),
                float(one.timeout),
                one.weight,
            )
            for name, one in self.checks.items()
        ]

    def provisioning_tls(self) -> "SSLContext | None":
        """What phones are shown, read from the files; None if none are served.

        Raises: ConfigError.
        """
        import ssl

        certificate, key = self.provisioning.certificate_file, self.provisioning.key_file
        if self.provisioning.listen is None or certificate is None or key is None:
            return None
        remedy = "name the certificate's own private key"
        _private(self.path, "provisioning.key_file", key, remedy, lines=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            said = error.strerror or getattr(error, "reason", "") or str(error)
            raise ConfigError(
                f"{self.path}: provisioning.certificate_file = {certificate}: {said}; it must be a PEM file "
                "with the certificate, then those that vouch for it, and provisioning.key_file its key"
            ) from None
        return context

    def ari_password(self) -> str:
        """The password in asterisk.password_file.

        Raises: ConfigError.
        """
        path = self.asterisk.password_file
        return _private(
            self.path,
            "asterisk.password_file",
            path,
            "write the password of ari.conf's user into it",
        )

    def http_token(self) -> str | None:
        """The token in http.token_file with the most power, if one is set: what our own commands send.

        Raises: ConfigError.
        """
        return max(self._http_tokens(), key=lambda one: one[0], default=(None, None))[1]

    def http_access(self) -> Tokens:
        """Who may do what over HTTP.

        Raises: ConfigError.
        """
        return Tokens(self._http_tokens())

    def _http_tokens(self) -> list[tuple[Role, str]]:
        path = self.http.token_file
        if path is None:
            return []
        remedy = "write a long random word into it"
        text = _private(self.path, "http.token_file", path, remedy, lines=True)
        try:
            return read_tokens(text)
        except ValueError as error:
            raise ConfigError(f"{self.path}: http.token_file = {path}: {error}; {remedy}") from None

    def wan_access(self) -> "Access":
        """How to get to the other sites, secrets read. A rendezvous may stand in its own list: it is left out.

        Raises: ConfigError.
        """
        from pbxfed_ari.links.wan import Access

        wan = self.wan
        own = f"{self.node.address}:{wan.listen.rpartition(':')[2]}" if wan.listen else ""
        return Access(
            connect=tuple(text for text in wan.connect if text not in (own, wan.listen)),
            listen=wan.listen,
            user=wan.user,
            password=self._wan_secret("password_file", wan.password_file),
            credentials=self._wan_secret("credentials_file", wan.credentials_file, lines=True),
            ca_file=wan.ca_file,
        )

    def _wan_secret(self, key: str, path: Path | None, *, lines: bool = False) -> str | None:
        if path is None:
            return None
        return _private(
            self.path, f"wan.{key}", path, "ask whoever runs the NATS server for it", lines=lines
        )


_SECTIONS: dict[str, type] = {
    "node": NodeSettings,
    "federation": FederationSettings,
    "lan": LanSettings,
    "wan": WanSettings,
    "asterisk": AsteriskSettings,
    "calls": CallSettings,
    "http": HttpSettings,
    "dns": DnsSettings,
    "health": HealthSettings,
    "provisioning": ProvisioningSettings,
    "log": LogSettings,
}
_S = TypeVar("_S")


def load(path: Path | None = None) -> Settings:
    """Read and check a file; without a path $PBXFED_CONFIG, or /etc/pbxfed/pbxfed.toml.

    Raises: ConfigError.
    """
    path = path or Path(os.environ.get("PBXFED_CONFIG") or DEFAULT_PATH)
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}; name the file with --config or $PBXFED_CONFIG"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    return parse(data, path)


def parse(data: Mapping[str, object], path: Path) -> Settings:
    """Settings from what the file says.

    Raises: ConfigError.
    """
    for section in data:
        if section not in _SECTIONS and section != "checks":
            raise ConfigError(f"{path}: unknown section [{section}]{_nearest(section, _SECTIONS)}")
    made: dict[str, Any] = {
        name: _section(path, name, kind, data.get(name, {})) for name, kind in _SECTIONS.items()
    }
    settings = Settings(path=path, checks=_checks(path, data.get("checks", {})), **made)
    host = settings.http.listen.rpartition(":")[0].strip("[]")
    if settings.http.token_file is None and not _is_loopback(host):
        raise ConfigError(
            f"{path}: http.listen = {settings.http.listen!r}: beyond loopback http.token_file must be set"
        )
    wrong = (
        _wrong_wan(settings.wan)
        or _wrong_dns(settings)
        or _wrong_provisioning(settings.provisioning)
    )
    if wrong:
        raise ConfigError(f"{path}: {wrong}")
    return settings


def _checks(path: Path, given: object) -> dict[str, CheckSettings]:
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: checks = {given!r}: must be sections, as [checks.fax]")
    found: dict[str, CheckSettings] = {}
    for name, keys in given.items():
        if _name(name):
            raise ConfigError(f"{path}: [checks.{name}]: the name {_name(name)}")
        one = found[name] = _section(path, f"checks.{name}", CheckSettings, keys)
        if one.shell is not isinstance(one.command, str):
            said = f"{path}: checks.{name}.command = {one.command!r}: with shell = {str(one.shell).lower()}"
            raise ConfigError(f"{said} it must be a {'text' if one.shell else 'list of texts'}")
    return found


def _wrong_wan(wan: WanSettings) -> str:
    """What does not go together in [wan], key and value named; an empty text if all does."""
    urls = [text for text in wan.connect if "://" in text]
    if wan.link == "zenoh":
        if urls:
            return f'wan.connect = {urls[0]!r}: with wan.link = "zenoh" it must be host:port'
        if not wan.connect and wan.listen is None:
            return (
                'wan.connect is missing: wan.link = "zenoh" needs the host:port of a rendezvous, '
                "or wan.listen if this node is the only one"
            )
        for key in ("user", "password_file", "credentials_file", "ca_file"):
            if getattr(wan, key) is not None:
                return (
                    f"wan.{key} = {str(getattr(wan, key))!r}: is for NATS; leave it out, "
                    "zenoh's certificates come of the federation's key"
                )
    if wan.link == "nats":
        for text in wan.connect:
            if text not in urls:
                return (
                    f'wan.connect = {text!r}: must be "nats://{text}" or, with TLS, "tls://{text}"'
                )
            if "@" in text:
                return "wan.connect holds a secret: put it into wan.user and wan.password_file"
        if not wan.connect:
            return 'wan.connect is missing: wan.link = "nats" needs the URL of a server'
        if wan.listen is not None:
            return (
                f"wan.listen = {wan.listen!r}: is for zenoh; leave it out, NATS servers are dialled"
            )
        if wan.user is not None and wan.password_file is None:
            return f"wan.user = {wan.user!r}: wan.password_file must be set too"
        if wan.credentials_file is not None and wan.password_file is not None:
            return (
                f"wan.credentials_file = {str(wan.credentials_file)!r}: leave it or "
                "wan.password_file out, one proof is enough"
            )
    return ""


def _wrong_dns(settings: Settings) -> str:
    domain = settings.federation.domain
    if settings.dns.listen and not (_host(domain) and len(domain) <= LONGEST_DOMAIN):
        return (
            f"federation.domain = {domain!r}: must be a DNS name of {LONGEST_DOMAIN} characters at most "
            "where dns.listen is set"
        )
    return ""


def _wrong_provisioning(provisioning: ProvisioningSettings) -> str:
    if provisioning.listen is not None:
        for key in ("certificate_file", "key_file"):
            if getattr(provisioning, key) is None:
                return f"provisioning.{key} is missing: files with secrets are served by HTTPS only"
    return ""


def _section(path: Path, section: str, kind: type[_S], given: object) -> _S:
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: {section} = {given!r}: must be a section, [{section}]")
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]  # all sections are dataclasses
    for key in given:
        if key not in known:
            raise ConfigError(f"{path}: unknown key {section}.{key}{_nearest(key, known)}")
    values: dict[str, object] = {}
    for key, declared in known.items():
        if key not in given:
            if declared.default is not field().default:
                continue
            raise ConfigError(f"{path}: {section}.{key} is missing: {declared.metadata['meaning']}")
        wrong = declared.metadata["check"](given[key])
        if wrong:
            raise ConfigError(f"{path}: {section}.{key} = {given[key]!r}: {wrong}")
        values[key] = _convert(declared.type, given[key])
    return kind(**values)


def _convert(kind: object, value: object) -> object:
    if isinstance(value, list):
        return tuple(value)
    return Path(str(value)) if kind in (Path, Path | None) else value


def _nearest(word: str, known: Mapping[str, object]) -> str:
    close = get_close_matches(word, known, 1)
    return f": did you mean {close[0]}?" if close else f": known are {', '.join(known)}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _private(config: Path, key: str, path: Path, remedy: str, *, lines: bool = False) -> str:
    try:
        if path.stat().st_mode & (stat.S_IRWXO):
            raise ConfigError(f"{config}: {key} = {path}: others may read it; `chmod o-rwx {path}`")
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ConfigError(f"{config}: {key} = {path}: {reason}; {remedy}") from None
    if not text or not text.isascii() or not (lines or text.isprintable()):
        raise ConfigError(
            f"{config}: {key} = {path}: must hold one line of printable ASCII; {remedy}"
        )
    return text
