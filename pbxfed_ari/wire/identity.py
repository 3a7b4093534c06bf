"""A node's own key: one seed, from which both of its key pairs come by HKDF-SHA256 (RFC 5869).

    X25519 (RFC 7748)    a secret for each pair of nodes, which only these two can know: trunks, and keys sent to one node alone
    Ed25519 (RFC 8032)   signatures: introductions, admissions, expulsions, rotations

So the loss of one node is not the loss of every trunk, and nobody else can say its name.
"""

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pbxfed_ari.core.names import NodeName
from pbxfed_ari.wire import safe

SEED = 32  # bytes, of the node's key and of each thing that is derived
SIGNATURE = 64  # bytes
_NONCE = bytes(12)  # each context has a key of its own, and seals one thing


class NodeKey:
    """This node's key pairs. Satisfies `core.records.keys.Signer`."""

    def __init__(self, seed: bytes, me: NodeName) -> None:
        """`seed` of 32 random bytes, kept for good."""
        if len(seed) != SEED:
            raise ValueError(f"a seed of {SEED} bytes is needed")
        self._me = me
        self._agree = X25519PrivateKey.from_private_bytes(_derive(seed, b"pbxfed node agree"))
        self._sign = Ed25519PrivateKey.from_private_bytes(_derive(seed, b"pbxfed node sign"))
        self.public = self._agree.public_key().public_bytes_raw()
        self.signing = self._sign.public_key().public_bytes_raw()

    def secret_with(self, peer: NodeName, public: bytes) -> str:
        """The trunk secret of this pair, 64 hex digits, the same on both sides.

        Raises: ValueError, if the public key is not one.
        """
        info = f"pbxfed trunk {min(self._me, peer)} {max(self._me, peer)}".encode()
        return _derive(self._shared(public), info).hex()

    def sign(self, data: bytes) -> bytes:
        """Our signature, 64 bytes."""
        return self._sign.sign(data)

    @staticmethod
    def verify(signing: bytes, signature: bytes, data: bytes) -> bool:
        """Is this that key's signature of the data?"""
        try:
            Ed25519PublicKey.from_public_bytes(signing).verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True

    def agrees(self, public: bytes) -> bool:
        """Can a secret come of this and our own key? Of points of small order none can (RFC 7748 §6.1)."""
        try:
            self._shared(public)
        except ValueError:
            return False
        return True

    def wrap(self, public: bytes, secret: bytes, context: bytes) -> bytes:
        """Seal a secret for one node; 16 bytes longer. One context must never go with two secrets.

        Raises: ValueError, if the public key is not one.
        """
        return self._pair(public, context).encrypt(_NONCE, secret, context)

    def unwrap(self, public: bytes, sealed: bytes, context: bytes) -> bytes | None:
        """Open what that node sealed for us; None if it is anything else."""
        try:
            return self._pair(public, context).decrypt(_NONCE, sealed, context)
        except (InvalidTag, ValueError):
            return None

    lock = staticmethod(safe.lock)
    unlock = staticmethod(safe.unlock)

    def _pair(self, public: bytes, context: bytes) -> ChaCha20Poly1305:
        return ChaCha20Poly1305(_derive(self._shared(public), b"pbxfed wrap " + context))

    def _shared(self, public: bytes) -> bytes:
        return self._agree.exchange(X25519PublicKey.from_public_bytes(public))


def _derive(secret: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), SEED, None, info).derive(secret)
