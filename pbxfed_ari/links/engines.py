"""Which engine makes the WAN link. Its library is loaded only here, when it is wanted: a node of one LAN needs none."""

from pathlib import Path

from pbxfed_ari.core.names import NodeName
from pbxfed_ari.links.wan import Access, Changed, Engine, Receive, WanLink


def make(
    kind: str,
    access: Access,
    me: NodeName,
    tag: str,
    certificates: Path,
    receive: Receive,
    changed: Changed,
) -> WanLink:
    """The link that `wan.link` names."""
    if kind == "zenoh":
        from pbxfed_ari.links.zenoh import ZenohEngine

        engine: Engine = ZenohEngine(access, tag, certificates)
    else:
        from pbxfed_ari.links.nats import NatsEngine

        engine = NatsEngine(access, me)
    return WanLink(engine, me, tag, receive, changed)
