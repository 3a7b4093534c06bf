"""What the line between two sites carries: how many calls, and in which codec.

Each node counts its own calls only; nothing is sent to agree on a number. So each node of a site takes an equal part of what
the site's line may carry, rounded up: a site of three nodes and ten calls takes four on each.
"""

from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.objects.site import SiteObject
from pbxfed_ari.core.routing.tries import Lines, View

# kbit/s of one call each way at 50 packets/s, with RTP, UDP, IPv4 and Ethernet headers (RFC 3551 §4.5)
KBPS = {
    "ulaw": 90,
    "alaw": 90,
    "g722": 90,
    "opus": 60,
    "g729": 34,
    "gsm": 39,
    "ilbc": 41,
    "speex": 41,
}
ANY = 90


def crowded(node: NodeName, view: View, lines: Lines) -> str:
    """Why no call more may go to a node of another site; "" if one may."""
    ours, theirs = view.site(view.me), view.site(node)
    if ours == theirs:
        return ""
    for site, busy in (ours, lines.between("")), (theirs, lines.between(theirs)):
        most = _most(site, view)
        if most and busy >= _part(most, ours, view):
            return f"the line of site {site} carries {most} calls"
    return ""


def narrow(node: NodeName, view: View) -> bool:
    """Is what lies between us and a node of another site to be counted, or to carry one codec only?"""
    ours, theirs = view.site(view.me), view.site(node)
    return ours != theirs and bool(codec(node, view) or _most(ours, view) or _most(theirs, view))


def codec(node: NodeName, view: View) -> str:
    """The only codec to offer to a node of another site, or "": the one of our own site's line before the other's."""
    ours, theirs = view.site(view.me), view.site(node)
    if ours == theirs:
        return ""
    found = (view.get("site", ours), view.get("site", theirs))
    return next((s.codec for s in found if isinstance(s, SiteObject) and s.codec), "")


def _most(site: str, view: View) -> int:
    """Calls that a site's line carries; 0: no limit."""
    described = view.get("site", site)
    if not isinstance(described, SiteObject):
        return 0
    limits = [described.calls] if described.calls else []
    if described.kbps:
        limits.append(max(1, described.kbps // KBPS.get(described.codec, ANY)))
    return min(limits, default=0)


def _part(most: int, site: str, view: View) -> int:
    nodes = sum(view.site(node) == site for node in view.nodes())
    return -(-most // max(nodes, 1))
