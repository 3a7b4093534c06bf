"""What a value of the configuration must be. A check returns what is wrong and what would be right, else an empty text."""

import ipaddress
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from pbxfed_ari.core.names import node_name
from pbxfed_ari.core.records.shelf import MOST_HOSTS, TRANSPORTS
from pbxfed_ari.errors import Refused
from pbxfed_ari.sensors.gauges import OWN

TRUNKS = ("sip", "iax2")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")  # of a DNS name

Check = Callable[[Any], str]


def text(value: object) -> str:
    """Any, but not none."""
    return "" if isinstance(value, str) and value else "must be a text, not empty"


def name(value: object) -> str:
    """A node's, or a site's."""
    try:
        node_name(value if isinstance(value, str) else "")
    except Refused:
        return "must be 1 to 32 of a-z, 0-9 and -, as a DNS label"
    return ""


def address(value: object) -> str:
    """This node's own."""
    try:
        ip = ipaddress.IPv4Address(value if isinstance(value, str) else "")
    except ValueError:
        return "must be an IPv4 address of this machine, the one that peers reach"
    return "" if not (ip.is_unspecified or ip.is_multicast) else "must be one host's address"


def group(value: object) -> str:
    """A multicast group's address."""
    try:
        ok = ipaddress.IPv4Address(value if isinstance(value, str) else "").is_multicast
    except ValueError:
        ok = False
    return "" if ok else "must be an IPv4 multicast address, 239.0.0.0/8 is for private use"


def between(low: int, high: int) -> Check:
    """A whole number, both ends included."""

    def check(value: object) -> str:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return "" if whole and low <= int(str(value)) <= high else f"must be {low} to {high}"

    return check


def one_of(*words: str) -> Check:
    """A word."""
    return lambda value: "" if value in words else f"must be one of {', '.join(words)}"


def trunks(value: object) -> str:
    """How peers call."""
    words = value if isinstance(value, list) else []
    good = bool(words) and set(map(str, words)) <= set(TRUNKS) and len(set(words)) == len(words)
    return "" if good else 'must be a list of "sip" and "iax2", best first'


def music(value: object) -> str:
    """A class of music on hold, or none."""
    fits = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]{0,80}", value)
    return "" if fits else "must be a class of musiconhold.conf"


def switch(value: object) -> str:
    """Yes or no."""
    return "" if isinstance(value, bool) else "must be true or false"


def is_host(value: object) -> bool:
    """Is this the name of a host, or its IPv4 address?"""
    labels = value.removesuffix(".").split(".") if isinstance(value, str) else [""]
    return all(map(_LABEL.fullmatch, labels)) and len(str(value)) < 254


def maybe_host(value: object) -> str:
    """A host, or none."""
    return "" if value == "" or is_host(value) else "must be a host name, as pbx.example.com"


def hosts(value: object) -> str:
    """Each with a port, or without."""
    for peer in value if isinstance(value, list) else [value]:
        host, colon, port = str(peer).partition(":")
        if not is_host(host) or (colon and not _port(port)):
            return 'must be a list of hosts, as ["10.0.0.11", "pbx2.example.com:8781"]'
    return "" if isinstance(value, list) else "must be a list"


def srv(value: object) -> str:
    """Of SRV records, or none."""
    ok = value == "" or (is_host(value) and str(value).startswith("_"))
    return "" if ok else 'must be a name with SRV records, as "_pbxfed._udp.example.com"'


def listen(value: object) -> str:
    """A place to listen at."""
    host, _, port = str(value).rpartition(":")
    ok = bool(host) and _port(port)
    return "" if ok else 'must be address:port, as "127.0.0.1:8780"'


def phones(value: object) -> str:
    """Transports, with their ports or without."""
    words = [str(word).partition(":") for word in value] if isinstance(value, list) else []
    good = all(name in TRANSPORTS and (not colon or _port(port)) for name, colon, port in words)
    names = [name for name, _, _ in words]
    good = good and bool(names) and len(set(names)) == len(names)
    return "" if good else 'must be a list, best first, as ["tls:5061", "tcp", "udp:5060"]'


def addresses(value: object) -> str:
    """IPv4 and IPv6, a few."""
    texts = value if isinstance(value, list) and len(value) <= MOST_HOSTS else [""]
    good = all(isinstance(text, str) and _one_host(text) for text in texts)
    return "" if good else f'must be {MOST_HOSTS} at most, as ["198.51.100.7", "2001:db8::7"]'


def dns_listen(value: object) -> str:
    """Places to answer DNS at."""
    texts = value if isinstance(value, list) else [""]
    good = all(isinstance(text, str) and place(text) is not None for text in texts)
    return (
        ""
        if good
        else 'must be a list of addresses of this machine, as ["10.0.0.11", "[::1]:5353"]'
    )


def _port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 6 and 0 < int(text) < 65_536


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
    good = _one_host(host) and _port(port)
    return (host, int(port)) if good else None


def doors(value: object) -> str:
    """Of the link between sites."""
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


def sensors(value: object) -> str:
    """Those that there are."""
    names = [gauge.name for gauge in OWN]
    good = isinstance(value, list) and all(name in names for name in value)
    return "" if good else f"must be a list of these: {', '.join(names)}"


def command(value: object) -> str:
    """A program and its arguments, or a line for the shell."""
    words = value if isinstance(value, list) else [value]
    good = bool(words) and all(isinstance(word, str) and "\0" not in word for word in words)
    return (
        ""
        if good and words[0]
        else 'must be a list, as ["/usr/local/bin/check-fax", "--quick"]; or a text, with shell = true'
    )


def user(value: object) -> str:
    """At a server."""
    return text(value) or ("must not hold a colon" if ":" in str(value) else "")


def url(value: object) -> str:
    """Of an HTTP server."""
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
