"""Who may do what over HTTP: bearer tokens (RFC 6750), each with a role. Held are only their digests.

Without tokens whoever is on this machine may do everything, but not what a page of elsewhere has his browser do, be it in
a request of its own (CSRF) or under a name of its own that leads here for now (DNS rebinding). No browser sends a token
that a page does not know.
"""

import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from urllib.parse import urlsplit


class Role(IntEnum):
    """What a token allows; each role allows what those before it do."""

    READ = 1  # every GET
    OPERATE = 2  # edits of objects, import, drain
    ADMIN = 3  # keys, invitations, members

    @property
    def word(self) -> str:
        """As in the file of tokens."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Grant:
    """A token's digest, and its role."""

    role: Role
    digest: bytes


class Tokens:
    """The tokens of http.token_file; without any, everybody who can reach the port may do everything."""

    def __init__(self, tokens: Iterable[tuple[Role, str]] = ()) -> None:
        self._grants = [Grant(role, _digest(token)) for role, token in tokens]

    def __repr__(self) -> str:
        return f"Tokens({len(self._grants)} tokens)"

    def role(self, authorization: str) -> Role | None:
        """The role of who sends this header; None: nobody we know. Takes as long for every token."""
        if not self._grants:
            return Role.ADMIN
        scheme, _, token = authorization.partition(" ")
        given, found = _digest(token.strip()), None
        for grant in self._grants:
            if hmac.compare_digest(given, grant.digest):
                found = grant.role
        return found if scheme.lower() == "bearer" else None

    def misled(self, host: str, origin: str) -> str:
        """Why a browser may ask this for a page of elsewhere, by its Host and Origin (RFC 6454); an empty text if none does."""
        if self._grants:
            return ""
        if not _is_local(host):
            return f"Host {host[:60]!r}: without http.token_file ask by an address, or as localhost"
        if origin and origin.partition("://")[2] != host:
            return f"Origin {origin[:60]!r}: a page of elsewhere asks nothing here without a token"
        return ""


def read_tokens(text: str) -> list[tuple[Role, str]]:
    """The lines of a file: `TOKEN` (an admin's) or `ROLE TOKEN`; `#` begins a comment.

    Raises: ValueError, with the line and the rule, never the token.
    """
    roles = {role.word: role for role in Role}
    found: dict[str, Role] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        role = roles.get(words[0]) if len(words) == 2 else Role.ADMIN
        token = words[-1]
        if role is None or len(words) > 2 or token in roles:
            raise ValueError(f"line {number}: must be TOKEN, or ROLE TOKEN with {', '.join(roles)}")
        if token in found:
            raise ValueError(f"line {number}: the token stands there twice")
        found[token] = role
    if not found:
        raise ValueError("must hold a token")
    return [(role, token) for token, role in found.items()]


def _is_local(host: str) -> bool:
    """Is this no name, or one that leads nowhere else? Its port may stand there, too; or nothing at all (HTTP/1.0)."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name in ("", "localhost") or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()
