"""A safe: secrets that are kept, not sent, under a key that comes of the group's.

AES-SIV (RFC 5297) with two keys of 256 bits from HKDF-SHA256 (RFC 5869). It needs no nonce: one secret of one object is the
same bytes under one key, so nodes that seal it at the same time write the same, and nothing is drawn that a restored disk
could repeat. An onlooker sees the secret's length, and whether it is what it was before. 16 bytes longer than the secret.
"""

from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_INFO = b"pbxfed kept secrets 1"


def lock(material: bytes, secret: bytes, context: bytes) -> bytes:
    """Seal a secret. `material` is a group key, `context` what the secret belongs to."""
    return _cipher(material).encrypt(secret, [context])


def unlock(material: bytes, sealed: bytes, context: bytes) -> bytes | None:
    """Open what `lock` has sealed; None if it is anything else."""
    try:
        return _cipher(material).decrypt(sealed, [context])
    except (InvalidTag, ValueError):
        return None


@lru_cache(maxsize=16)
def _cipher(material: bytes) -> AESSIV:
    return AESSIV(HKDF(SHA256(), 64, None, _INFO).derive(material))
