"""Which phone is told what: an extension, as it stands, and the federation, as it lives, on one sheet.

transport   TLS, if this node's Asterisk takes it, else the best that it takes; SRTP with the profile `secure`
servers     the domain, to be looked up, if nodes answer DNS; else the two best living nodes for the phone's site
"""

from dataclasses import dataclass
from random import Random

from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.core.naming.signpost import Sign, Standing, pointers, signs, site_of
from pbxfed_ari.core.records.objects.extension import Phone
from pbxfed_ari.provisioning.sheet import Server, Sheet
from pbxfed_ari.provisioning.vendor import Unfit

SIP = ("tls", "tcp", "udp")  # what phones speak that are no browsers


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the operator says of all files."""

    servers: str = "auto"  # or "dns", "nodes"
    expires: int = 60  # seconds that a registration lasts


def sheet(
    federation: Federation,
    phone: Phone,
    secret: str,
    recipe: Recipe,
    *,
    client: str,
    rng: Random,
    mac: str = "",
) -> Sheet:
    """What an extension's phone is told that asks from this address.

    Raises: Unfit, if there is no way for such a phone.
    """
    known = signs(federation)
    mine = known[0].ports if known and known[0].node == federation.me else ()
    transport = _transport(phone, [name for name, _ in mine])
    offered = dict.fromkeys(name for sign in known for name, _ in sign.ports)
    site = phone.site or site_of(client, federation.view.nets(), federation.ourselves.identity.site)
    return Sheet(
        number=phone.number,
        name=phone.name,
        secret=secret,
        digest=phone.ha1,
        domain=federation.ourselves.identity.realm,
        transport=transport,
        port=dict(mine)[transport],
        srtp=phone.profile == "secure",
        servers=() if _by_dns(known, recipe) else _servers(known, transport, site, rng),
        naptr=next(iter(offered), "") == transport,
        expires=recipe.expires,
        mac=mac,
    )


def _transport(phone: Phone, taken: list[str]) -> str:
    if phone.profile == "webrtc":
        raise Unfit("its profile is webrtc: a browser reads no file")
    if phone.profile == "secure" and "tls" not in taken:
        raise Unfit('its profile is secure, and asterisk.phones of this node names no "tls"')
    usable = [name for name in taken if name in SIP]
    if not usable:
        raise Unfit("asterisk.phones of this node names no tls, tcp or udp")
    return "tls" if "tls" in usable else usable[0]


def _by_dns(known: list[Sign], recipe: Recipe) -> bool:
    serving = any(sign.dns and sign.standing < Standing.GONE for sign in known)
    return recipe.servers == "dns" or (recipe.servers == "auto" and serving)


def _servers(known: list[Sign], transport: str, site: str, rng: Random) -> tuple[Server, ...]:
    """In the signpost's order; among equals drawn by weight, so that each node is first by its share."""
    found = pointers(known, transport, site, rng)
    found.sort(key=lambda p: (p.priority, -(rng.random() ** (1 / p.sign.weight))))
    return tuple(Server(p.sign.hosts[0], p.sign.port(transport)) for p in found[:2])
