"""What a node tells of itself: to its peers, and to a newcomer whom it has invited."""

from pbxfed_ari import __version__
from pbxfed_ari.config import Settings
from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.core.records.shelf import NodeInfo
from pbxfed_ari.sensors import capacity
from pbxfed_ari.wire.identity import NodeKey
from pbxfed_ari.wire.token import Answer


def info(settings: Settings, federation: Federation, key: NodeKey, since: int) -> NodeInfo:
    """Where it is, and what it has. `since`: when its Asterisk was started, seconds since 1970; 0: not known."""
    measured = capacity.kept(settings.node.state)
    before = federation.directory.shelves.info(federation.me)
    return NodeInfo(
        settings.node.address,
        settings.node.site,
        settings.node.weight or (measured.weight if measured else capacity.UNKNOWN),
        settings.calls.trunks,
        key.public,
        settings.asterisk.sip_port,
        settings.asterisk.iax_port,
        __version__,
        settings.phone_ports(),
        settings.asterisk.phone_addresses,
        bool(settings.dns.listen),
        since or (before.asterisk_since if before else 0),
    )


def welcome(settings: Settings, federation: Federation, key: NodeKey, born: str) -> Answer:
    """What a new member gets."""
    keys = federation.gate.keys
    doors = [(settings.node.address, settings.lan.port)]
    doors += [m.address for m in federation.members.alive() if not m.away]
    return Answer(
        key.signing,
        domain=settings.federation.domain,
        born=born,
        keys=tuple((k.material, k.made, k.by, k.urgent) for k in keys),
        closed=keys.closed,
        group=settings.lan.group,
        port=settings.lan.port,
        multicast=settings.lan.multicast,
        site=settings.node.site,
        wan=settings.wan.link,
        connect=settings.wan.connect,
        seeds=tuple(f"{host}:{port}" for host, port in doors),
        timing=settings.lan.timing,
    )
