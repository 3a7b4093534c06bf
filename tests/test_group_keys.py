"""The group's keys on the disk of a node."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pbxfed_ari.core.records.keys import GroupKey, Keyring
from pbxfed_ari.errors import ConfigError
from pbxfed_ari.keys import load_keyring
from pbxfed_ari.node import group_keys
from pbxfed_ari.node.group_keys import GroupKeys
from tests.disks import refusing


async def test_keys_that_a_full_disk_refuses_are_kept_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that came back without them would be no member any more. It is told as long as it lasts."""
    monkeypatch.setattr(group_keys, "AGAIN", 0.01)
    settings = SimpleNamespace(
        node=SimpleNamespace(state=tmp_path),
        federation=SimpleNamespace(domain="pbx.example"),
        wan=SimpleNamespace(link="none"),
    )
    keys = Keyring([GroupKey(bytes(32))])
    gate = SimpleNamespace(gate=SimpleNamespace(keys=keys))
    kept = GroupKeys(cast(Any, settings), cast(Any, gate), "born")
    with refusing():
        kept.keep()
        assert "make room" in kept.trouble
        assert load_keyring(tmp_path) is None
    async with asyncio.timeout(10):
        while kept.trouble:  # noqa: ASYNC110 - a timer tells nobody
            await asyncio.sleep(0.01)
    found = load_keyring(tmp_path)
    assert found is not None
    assert [key.material for key in found[0]] == [bytes(32)]


async def test_a_node_of_several_sites_starts_on_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    """With the certificate that it has shown before; a new machine, which has none, is told why it cannot."""
    settings = SimpleNamespace(
        node=SimpleNamespace(state=tmp_path),
        federation=SimpleNamespace(domain="pbx.example"),
        wan=SimpleNamespace(
            link="zenoh",
            connect=("192.0.2.1:8782",),
            listen=None,
            user=None,
            password_file=None,
            credentials_file=None,
            ca_file=None,
        ),
    )
    keys = Keyring([GroupKey(bytes(32))])
    federation = SimpleNamespace(me="a", gate=SimpleNamespace(keys=keys))

    def started() -> dict[str, bytes]:
        kept = GroupKeys(cast(Any, settings), cast(Any, federation), "born")
        kept.wan_link(lambda frame: None, lambda up, reason: None)
        return {one.name: one.read_bytes() for one in (tmp_path / "wan").glob("*.[pk]e[my]")}

    with refusing(), pytest.raises(ConfigError, match="must be able to write there"):
        started()
    before = started()
    assert sorted(before) == ["ca.pem", "node.key", "node.pem"]
    with refusing():
        assert started() == before
