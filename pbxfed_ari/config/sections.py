"""Each key of the configuration, declared once: its check, its meaning and its default, section by section."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pbxfed_ari.config import values
from pbxfed_ari.core.membership.condition import SICK, WORST
from pbxfed_ari.core.messages import PORT


def _key(check: values.Check, meaning: str, default: object = ...) -> Any:
    metadata = {"check": check, "meaning": meaning}
    if default is ...:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """This node."""

    name: str = _key(values.name, "unique in the federation")
    address: str = _key(values.address, "IPv4 address that peers send and dial to")
    site: str = _key(values.name, "nodes of one site share a LAN", "main")
    weight: int = _key(
        values.between(0, 1000),
        "capacity in relation to the other nodes; 0: what `pbxfed calibrate` has kept, else 100",
        0,
    )
    state: Path = _key(
        values.text, "folder for the store and this node's own key", Path("/var/lib/pbxfed")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationSettings:
    """The federation."""

    domain: str = _key(
        values.text,
        "SIP domain and digest realm; equal on all nodes, and to default_realm in pjsip.conf",
    )
    key_file: Path | None = _key(
        values.text,
        "file with the key that the federation was born with: 64 hexadecimal digits",
        None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LanSettings:
    """The LAN link."""

    group: str = _key(
        values.group,
        "multicast group; another one for another federation on this LAN",
        "239.255.77.80",
    )
    port: int = _key(values.between(1, 65_535), "UDP port, for multicast and unicast", PORT)
    multicast: bool = _key(
        values.switch,
        "whether there is multicast here; where it fails unicast follows by itself",
        True,
    )
    peers: tuple[str, ...] = _key(values.hosts, "host or host:port of nodes to say hello to", ())
    srv: str = _key(values.srv, "name whose SRV records list such nodes", "")
    timing: str = _key(
        values.one_of("lan", "wan"),
        "how patient nodes are with one another; the same on all of a site",
        "lan",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WanSettings:
    """The link to other sites."""

    link: str = _key(
        values.one_of("none", "zenoh", "nats"), "what carries frames between sites", "none"
    )
    connect: tuple[str, ...] = _key(
        values.doors,
        "where to dial out to: rendezvous nodes, or NATS servers; any one of them suffices",
        (),
    )
    listen: str | None = _key(
        values.listen, "address:port, if this node is a rendezvous that other sites can reach", None
    )
    user: str | None = _key(values.user, "user at the NATS server", None)
    password_file: Path | None = _key(
        values.text, "file with that user's password; without a user, with a token", None
    )
    credentials_file: Path | None = _key(
        values.text, "file with a NATS user's JWT and NKEY seed", None
    )
    ca_file: Path | None = _key(
        values.text, "certificates that NATS servers are checked against, if not public ones", None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AsteriskSettings:
    """The PBX beside us."""

    url: str = _key(values.url, "where Asterisk's HTTP server answers", "http://127.0.0.1:8088")
    user: str = _key(values.user, "section of ari.conf", "pbxfed")
    password_file: Path = _key(
        values.text, "file with that user's password", Path("/etc/pbxfed/ari.password")
    )
    iax_peers: Path = _key(
        values.text,
        "file of IAX2 peers that the daemon owns",
        Path("/var/lib/asterisk/pbxfed/iax-peers.conf"),
    )
    objects: Path = _key(
        values.text,
        "file of phones and trunks that Asterisk reads",
        Path("/var/lib/asterisk/pbxfed/objects.sqlite3"),
    )
    control: Path = _key(
        values.text,
        "Asterisk's control socket: what fills its queues is asked there",
        Path("/var/run/asterisk/asterisk.ctl"),
    )
    security_log: Path = _key(
        values.text,
        "file into which Asterisk writes its security events",
        Path("/var/log/asterisk/pbxfed-security.log"),
    )
    sip_port: int = _key(values.between(1, 65_535), "where Asterisk takes SIP from peers", 5060)
    iax_port: int = _key(values.between(1, 65_535), "where Asterisk takes IAX2 from peers", 4569)
    phones: tuple[str, ...] = _key(
        values.phones, "transports that phones may use, with their ports, best first", ("udp",)
    )
    phone_addresses: tuple[str, ...] = _key(
        values.addresses, "where phones reach Asterisk, IPv4 and IPv6, if not at node.address", ()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSettings:
    """Calls."""

    control: str = _key(
        values.one_of("handover", "bridge"),
        "how legs are connected, unless the object called says",
        "handover",
    )
    trunks: tuple[str, ...] = _key(
        values.trunks, "how peers shall call this node, best first", values.TRUNKS
    )
    ring_seconds: int = _key(values.between(1, 600), "how long a phone rings", 30)
    rescue: int = _key(
        values.between(0, 600),
        "bridge mode: how long who talked with a node that has died waits to be connected again; 0: not at all",
        30,
    )
    rescue_music: str = _key(
        values.music, "what he hears: a class of musiconhold.conf, or a tone if there is none", ""
    )
    keep_days: int = _key(values.between(1, 3_650), "how long records of calls are kept", 90)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """The HTTP API."""

    listen: str = _key(
        values.listen, "address:port; beyond loopback a token is needed", "127.0.0.1:8780"
    )
    token_file: Path | None = _key(
        values.text,
        "file with the bearer tokens that clients must send: TOKEN, or ROLE TOKEN with read, operate or admin",
        None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsSettings:
    """The DNS service for the federation's domain."""

    listen: tuple[str, ...] = _key(
        values.dns_listen, "addresses to answer at, port 53 unless said; none: no DNS is served", ()
    )
    ttl: int = _key(values.between(0, 3_600), "how long an answer may be remembered", 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSettings:
    """What this node's health depends on."""

    ignore: tuple[str, ...] = _key(values.sensors, "sensors that are not read", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettings:
    """A check that the operator defines: [checks.NAME]."""

    command: str | tuple[str, ...] = _key(
        values.command, "program and arguments; exit code 0 is well"
    )
    shell: bool = _key(values.switch, "let /bin/sh run it; then it is a text", False)
    every: int = _key(values.between(1, 86_400), "seconds between two runs", 30)
    timeout: int = _key(values.between(1, 300), "seconds after which it counts as failed", 5)
    weight: int = _key(values.between(1, WORST), "tenths of the health that it costs to fail", SICK)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisioningSettings:
    """Where phones fetch their files."""

    listen: str | None = _key(
        values.listen,
        "address:port at which phones fetch their files by HTTPS; none: they cannot",
        None,
    )
    certificate_file: Path | None = _key(
        values.text, "certificate that phones are shown, with those that vouch for it, as PEM", None
    )
    key_file: Path | None = _key(values.text, "its private key, as PEM", None)
    host: str = _key(
        values.maybe_host,
        "name in the URLs, which the certificate bears; federation.domain if empty",
        "",
    )
    servers: str = _key(
        values.one_of("auto", "dns", "nodes"),
        "what phones are told: the domain, to be looked up, or two nodes; auto: the domain if nodes answer DNS",
        "auto",
    )
    expires: int = _key(
        values.between(30, 7_200), "seconds that a registration of such phones lasts", 60
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """The log."""

    level: str = _key(
        values.one_of("debug", "info", "warning", "error"),
        "least severe line that is written; debug tells of each call's first try, too",
        "info",
    )


SECTIONS: dict[str, type] = {
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
