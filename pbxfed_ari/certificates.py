"""Certificates of the WAN link, made from the federation's key: whoever holds the key can make them, and nobody else can.

The key gives birth to a certificate authority: HKDF-SHA256 (RFC 5869) makes its Ed25519 key (RFC 8032), and as all else in it
is fixed, every node makes the same authority without asking anybody. It issues this node a certificate for both ends of TLS
(RFC 5280, RFC 8410). A peer is checked by who issued its certificate and not by its name: nodes have addresses, which change.

When the federation's key is being replaced there are several keys, newest first: all their authorities are believed, and
this node shows a certificate of the newest, with word from the older ones that the newest may be believed (a cross-certificate,
RFC 5280, section 3.2): so a node that knows only an older key still gets through, to be told the new one. That is enough,
since the frames inside are sealed anyway.

The files are made anew at each start and hold nothing that is not made from the key. They do not expire: a board without a
battery believes it is 1970, and what ends a membership is a new key, not a date.
"""

import datetime
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pbxfed_ari.core.names import NodeName, certified_name
from pbxfed_ari.errors import ConfigError

ALWAYS = (  # RFC 5280, section 4.1.2.5: a certificate without a date of its own
    datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC),
    datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC),
)


@dataclass(frozen=True, slots=True)
class Certificates:
    """Where the files are."""

    authorities: Path  # all that are believed
    certificate: Path  # this node's own
    key: Path  # and its private key

    @classmethod
    def within(cls, folder: Path) -> "Certificates":
        """The files of a folder."""
        return cls(folder / "ca.pem", folder / "node.pem", folder / "node.key")

    def stand(self) -> bool:
        """Are they there, from an earlier start?"""
        return all(path.exists() for path in (self.authorities, self.certificate, self.key))


def write(folder: Path, federation_keys: Sequence[bytes], me: NodeName, tag: str) -> Certificates:
    """Make this node's certificate and the list of authorities, as files that only this user can read.

    `federation_keys` are 32 bytes each, newest first. Raises: ConfigError, if they cannot be written.
    """
    newest, *older = authorities = [_Authority(key, tag) for key in federation_keys]
    own = Ed25519PrivateKey.generate()
    shown = newest.issue(certified_name(me, tag), own.public_key())
    crossed = [one.vouch_for(newest) for one in older]
    files = Certificates.within(folder)
    private = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(
            {
                files.authorities: b"".join(one.vouch_for(one) for one in authorities),
                files.certificate: b"".join((shown, *crossed)),
                files.key: private,
            }
        )
    except OSError as error:
        raise ConfigError(
            f"node.state: {folder}: {error.strerror}; the daemon's user must be able to write there"
        ) from None
    return files


class _Authority:
    """The authority that comes of one federation key."""

    def __init__(self, federation_key: bytes, tag: str) -> None:
        seed = HKDF(SHA256(), 32, None, b"pbxfed wan authority 1").derive(federation_key)
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._name = _name(certified_name(f"{_serial(self._key.public_key()):x}", tag))

    def vouch_for(self, other: "_Authority") -> bytes:
        """Another authority's certificate, or its own: PEM, the same bytes on every node."""
        built = (
            self._issuing(other._name, other._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(authority=True), critical=True)
        )
        return built.sign(self._key, None).public_bytes(Encoding.PEM)

    def issue(self, name: str, public: Ed25519PublicKey) -> bytes:
        """A certificate, PEM, for either end of a connection."""
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        built = (
            self._issuing(_name(name), public)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        )
        return built.sign(self._key, None).public_bytes(Encoding.PEM)

    def _issuing(self, name: x509.Name, public: Ed25519PublicKey) -> x509.CertificateBuilder:
        """What all certificates have, with the identifiers that RFC 5280, section 4.2.1.1 f. wants."""
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(_serial(public))
            .not_valid_before(ALWAYS[0])
            .not_valid_after(ALWAYS[1])
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(issuer, critical=False)
        )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _serial(public: Ed25519PublicKey) -> int:
    """A serial number that no other key has; positive, as RFC 5280 wants it."""
    return 1 + int.from_bytes(
        sha256(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).digest()[:8]
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(files: Mapping[Path, bytes]) -> None:
    """All or, while the disk refuses, none of them; readable for this user only."""
    fresh = {path.with_name(f"{path.name}.new"): path for path in files}
    for one, path in fresh.items():
        handle = os.open(one, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(files[path])
    for one, path in fresh.items():
        one.rename(path)
