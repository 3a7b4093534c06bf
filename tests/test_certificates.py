"""Certificates of the WAN link: every node makes the same authority, and believes nobody else's."""

import ssl
import stat
from pathlib import Path

import pytest

from pbxfed_ari import certificates
from pbxfed_ari.certificates import Certificates
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.errors import ConfigError

OLD, NEW, STRANGE = b"o" * 32, b"n" * 32, b"s" * 32
A, B = NodeName("a"), NodeName("b")
TAG = "0123ab"


def meet(client: Certificates, server: Certificates) -> bool:
    """Do these two come to a TLS session, each checking the other?"""
    sides = []
    for purpose, own in ((ssl.PROTOCOL_TLS_CLIENT, client), (ssl.PROTOCOL_TLS_SERVER, server)):
        context = ssl.SSLContext(purpose)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_verify_locations(own.authorities)
        context.load_cert_chain(own.certificate, own.key)
        sides.append(context)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [sides[0].wrap_bio(down, up), sides[1].wrap_bio(up, down, server_side=True)]
    done: set[ssl.SSLObject] = set()
    for _ in range(10):
        for end in ends:
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    return len(done) == 2


def test_every_node_makes_the_same_authority(tmp_path: Path) -> None:
    """Byte for byte, without asking anybody; and a certificate of its own."""
    a = certificates.write(tmp_path / "a", [OLD], A, TAG)
    b = certificates.write(tmp_path / "b", [OLD], B, TAG)
    assert a.authorities.read_bytes() == b.authorities.read_bytes()
    assert a.certificate.read_bytes() != b.certificate.read_bytes()
    assert meet(a, b)
    assert meet(b, a)


def test_another_federation_is_not_believed(tmp_path: Path) -> None:
    """Not even one of the same domain."""
    a = certificates.write(tmp_path / "a", [OLD], A, TAG)
    b = certificates.write(tmp_path / "b", [STRANGE], B, TAG)
    assert not meet(a, b)
    assert not meet(b, a)


def test_while_the_key_is_replaced_old_and_new_believe_each_other(tmp_path: Path) -> None:
    """Those that know both, those that know the new one only, and those that missed it."""
    old = certificates.write(tmp_path / "old", [OLD], A, TAG)
    both = certificates.write(tmp_path / "both", [NEW, OLD], B, TAG)
    new = certificates.write(tmp_path / "new", [NEW], A, TAG)
    for here, there in ((old, both), (both, old), (new, both), (both, new)):
        assert meet(here, there)
    assert not meet(new, old)  # the old key is forgotten
    assert not meet(old, new)


def test_the_files_are_nobody_elses_to_read(tmp_path: Path) -> None:
    """The private key above all."""
    made = certificates.write(tmp_path / "a", [OLD], A, TAG)
    assert meet(made, made)
    for path in (made.authorities, made.certificate, made.key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.key.parent.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """With the remedy."""
    (tmp_path / "a").write_text("a file")
    with pytest.raises(ConfigError, match=r"node.state: .*/a: .*; the daemon's user must"):
        certificates.write(tmp_path / "a", [OLD], A, TAG)
