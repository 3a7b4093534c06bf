"""This node's own key, and the secrets that come of it. Both live in files of their own, outside the store.

Each pair of nodes has a trunk secret that only these two can know: X25519 (RFC 7748) of one's private and the other's public
key, through HKDF-SHA256 (RFC 5869). So the loss of one node is not the loss of every trunk.
"""

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pbxfed_ari.core.names import NodeName
from pbxfed_ari.errors import ConfigError

SECRET_BYTES = 32


class NodeKey:
    """The node's X25519 key pair."""

    def __init__(self, private: X25519PrivateKey, me: NodeName) -> None:
        self._private = private
        self._me = me

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes, for all to know."""
        return self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def secret_with(self, peer: NodeName, public_key: bytes) -> str:
        """The trunk secret of this pair, 64 hex digits, the same on both sides.

        Raises: ValueError, if the public key is not one.
        """
        shared = self._private.exchange(X25519PublicKey.from_public_bytes(public_key))
        info = f"pbxfed trunk {min(self._me, peer)} {max(self._me, peer)}".encode()
        return HKDF(SHA256(), SECRET_BYTES, None, info).derive(shared).hex()


def load_node_key(path: Path, me: NodeName) -> NodeKey:
    """The key in this file, made at the first start.

    Raises: ConfigError.
    """
    try:
        if not path.exists():
            _write_new(path, X25519PrivateKey.generate().private_bytes_raw().hex())
        return NodeKey(
            X25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text().strip())), me
        )
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"node.state: {path}: {error}; remove the file to have a new key made: peers learn it by themselves"
        ) from None


def _write_new(path: Path, text: str) -> None:
    """Whole or not at all, and readable for this user only."""
    fresh = path.with_suffix(".new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as out:
        out.write(text + "\n")
        out.flush()
        os.fsync(out.fileno())
    fresh.rename(path)
