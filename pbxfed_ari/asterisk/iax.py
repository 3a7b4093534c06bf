"""IAX2 trunks: the peers file, the only file of Asterisk's that the daemon writes (RFC 5456; chan_iax2 has no push).

One `[pf-<peer>]` section per peer, `type=friend`: the section is dialed by name (`IAX2/pf-<peer>/<number>`), so no secret
ever stands in a dial string, and the peer, who calls as user `pf-<its name>`, finds its own section here. The pair's
secret authenticates (md5 challenge) and keys the encryption (aes128). `maxauthreq=0`: else chan_iax2 refuses a peer's fourth
call (cause 21) while three have not answered their challenge yet, which takes as long as the way to the peer and back.

The file is replaced whole, by rename, and Asterisk reloads only what changed.
"""

import os
import re
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pbxfed_ari.core.names import NodeName, trunk_to
from pbxfed_ari.errors import ConfigError

MODULE = "chan_iax2.so"
MODE = 0o640  # the file holds secrets: owner writes, Asterisk's group reads
HEADER = "; Written by pbxfed; what you write here is lost. Included by iax.conf.\n"
_HOST = re.compile(r"[0-9A-Za-z.:-]+")


@dataclass(frozen=True, slots=True)
class IaxPeer:
    """One peer: where it is, and the secret of the pair."""

    peer: NodeName
    address: str
    port: int
    secret: str

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.address):
            raise ConfigError(f"address of node {self.peer}: {self.address!r} is no host")


def render(own: NodeName, peers: Iterable[IaxPeer]) -> str:
    """The file's text, in the order of the names."""
    ordered = sorted(peers, key=lambda one: one.peer)
    return HEADER + "".join(_section(own, peer) for peer in ordered)


def _section(own: NodeName, peer: IaxPeer) -> str:
    return f"""
[{trunk_to(peer.peer)}]
type=friend
host={peer.address}
port={peer.port}
username={trunk_to(own)}
auth=md5
secret={peer.secret}
context=pbxfed-trunk
encryption=aes128
forceencryption=yes
requirecalltoken=yes
maxauthreq=0
qualify=no
trunk=no
connectedline=yes
codecpriority=caller
disallow=all
allow=ulaw
allow=alaw
"""


def replace(path: Path, text: str) -> bool:
    """Make the file say this. True if it did not already.

    Raises: OSError.
    """
    with suppress(FileNotFoundError):
        if path.read_text() == text:
            return False
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, MODE)
        _own(temporary, path)
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    return True


def _own(temporary: str, path: Path) -> None:
    """Who owns the file keeps it; a new one goes to the folder's group, which must be Asterisk's."""
    model = path.stat() if path.exists() else path.parent.stat()
    with suppress(PermissionError):
        os.chown(temporary, -1, model.st_gid)
    with suppress(PermissionError):
        os.chown(temporary, model.st_uid, -1)
