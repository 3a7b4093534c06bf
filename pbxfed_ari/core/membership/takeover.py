"""Takeover: phones whose node is out of reach are called at their replicated Contacts by another, until they register anew.

    1002 registered on b ──▶ b dies ──▶ the ring names c among those that can reach 1002's phone: its *heir*
        a phone here  ─▶ a ──trunk, "c=b"──▶ c ──INVITE sip:1002@10.0.0.7:5060──▶ the phone      (c is a itself: a leg here)

Nothing is written for it, at no node and in no Asterisk: who takes over follows from what every node holds anyway. So nothing
must be undone when the node returns, and a death costs no frame. The caller's node decides, and says on the trunk who shall
call whose phones (core/routing/waybill.py): two nodes that see the living differently do not both ring a phone.

Who has registered anew, wins: the same URI anywhere, by its newer stamp; any registration of that number that was made since
its node was last heard (which device came back nobody can tell, and no phone shall ring twice); and the device limit. A
registration ends by itself. For how long it was granted is not told to peers; it is LONGEST at most, and was refreshed last
before its node fell silent.

Whom we can reach: a Contact by UDP at a literal address. One by TCP, TLS or WebSocket is the dead node's connection and has
died with it. An address means the same phone only where it means the same network: to nodes of the dead node's site, or, if it
is a public one or in a network that only that site is said to have (`nets`), to all.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address

from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.records.objects.site import network
from pbxfed_ari.core.records.registering import LONGEST
from pbxfed_ari.core.records.registrations import Registration

ASK = 3.0  # seconds in which a phone that is called so must show life
EDGE = 5.0  # seconds before its node was last heard in which a registration counts as one made since: clocks differ
_URI = re.compile(
    r"sip:(?:[A-Za-z0-9._~%+*!-]+@)?"
    r"([0-9.]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    r"((?:;[A-Za-z0-9._~%+*!-]+(?:=[A-Za-z0-9._~%+*!:\[\]-]+)?)*)"
)


def address(uri: str) -> str:
    """Where a phone listens by UDP for whoever calls it; "" if it does not, or its Contact cannot be dialed."""
    found = _URI.fullmatch(uri)
    if found is None or ";transport=" in found[2].lower().replace(";transport=udp", ""):
        return ""
    try:
        host = ip_address(found[1].strip("[]"))
    except ValueError:
        return ""
    wrong = host.is_loopback or host.is_multicast or host.is_unspecified
    return "" if wrong else str(host)


def orphans(
    number: Extension,
    directory: Directory,
    served: Callable[[NodeName], bool],
    since: Callable[[NodeName], float],
    began: Callable[[Registration], float],
) -> list[Registration]:
    """The registrations of a number to whose nodes no call can be sent, and that nothing speaks against; newest first.

    `served`: can calls be sent there? `since`: how many seconds ago a node was last heard to serve its phones. `began`: how
    many seconds ago a registration was made.
    """
    lost = directory.registrations.of(number, lambda node: not served(node))
    if not lost:
        return []
    standing = directory.registrations.of(number, served)
    uris = {place.uri for place in standing}
    newest = min(map(began, standing), default=float("inf"))
    room = directory.catalogue.devices(number) - len(standing)
    left = [
        place
        for place in lost
        if place.uri not in uris
        and address(place.uri)
        and since(place.node) <= LONGEST
        and newest > since(place.node) + EDGE
    ]
    return left[: max(0, room)]


def heir(
    place: Registration,
    preference: Iterable[str],
    site: Callable[[NodeName], str],
    nets: Sequence[tuple[str, str]],
) -> NodeName | None:
    """Who calls this phone in the stead of its node: the first in the ring's order that can reach it, of its own site first.

    `preference`: the nodes that a call may be sent to, in the ring's order; `nets`: the sites' networks, as (site, network).
    """
    nodes, home = [NodeName(name) for name in preference], site(place.node)
    near = [node for node in nodes if site(node) == home]
    found = near or (nodes if _known_everywhere(place.uri, home, nets) else [])
    return found[0] if found else None


def _known_everywhere(uri: str, home: str, nets: Sequence[tuple[str, str]]) -> bool:
    host = ip_address(address(uri))
    if host.is_global:
        return True
    of = {site for site, text in nets if (net := network(text)) is not None and host in net}
    return of == {home}
