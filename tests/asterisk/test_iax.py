"""The peers file."""

import stat
from pathlib import Path

import pytest

from pbxfed_ari.asterisk.iax import HEADER, IaxPeer, render, replace
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.errors import ConfigError

B = IaxPeer(NodeName("b"), "10.0.0.2", 4569, "5ec")
C = IaxPeer(NodeName("c"), "10.0.0.3", 4570, "2e7")


def test_a_section_per_peer_in_order_of_names() -> None:
    """The order is fixed, so that an unchanged federation is an unchanged file."""
    text = render(NodeName("a"), [C, B])
    assert text == render(NodeName("a"), [B, C])
    assert text.startswith(HEADER)
    assert [line for line in text.splitlines() if line.startswith("[")] == ["[pf-b]", "[pf-c]"]
    assert (
        "host=10.0.0.2\nport=4569\nusername=pf-a\nauth=md5\nsecret=5ec\ncontext=pbxfed-trunk\n"
        in text
    )
    assert text.count("forceencryption=yes") == 2
    assert text.count("maxauthreq=0") == 2  # calls at once, which a long way brings
    assert text.count("connectedline=yes") == 2  # displays follow transfers across nodes


def test_an_address_cannot_write_lines() -> None:
    """A peer's address comes from the network."""
    with pytest.raises(ConfigError):
        IaxPeer(NodeName("b"), "10.0.0.2\n[evil]", 4569, "5ec")


def test_the_file_is_replaced_only_when_it_changes(tmp_path: Path) -> None:
    """A reload costs Asterisk something; the daemon's restart must not cost one."""
    path = tmp_path / "peers.conf"
    assert replace(path, "one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert not replace(path, "one")
    assert replace(path, "two")
    assert path.read_text() == "two"
    assert [found.name for found in tmp_path.iterdir()] == ["peers.conf"]


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    """The operator turns it into a note."""
    with pytest.raises(FileNotFoundError):
        replace(tmp_path / "nowhere" / "peers.conf", "one")
