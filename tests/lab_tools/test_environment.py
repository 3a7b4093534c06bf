"""A container's environment as configuration."""

from __future__ import annotations

import pytest

from lab.environment import settings
from lab.places import LabError


def test_each_key_has_a_variable_of_its_type() -> None:
    found = settings(
        {
            "PATH": "/bin",
            "PBXFED_NODE_NAME": "a",
            "PBXFED_CALLS_RING_SECONDS": "20",
            "PBXFED_LAN_MULTICAST": "false",
            "PBXFED_WAN_CONNECT": "nats://hub:4222, nats://hub2",
            "PBXFED_WAN_LINK": "nats",
            "PBXFED_FEDERATION_KEY": "00",
        }
    )
    assert found == {
        "node": {"name": "a"},
        "calls": {"ring_seconds": 20},
        "lan": {"multicast": False},
        "wan": {"connect": ["nats://hub:4222", "nats://hub2"], "link": "nats"},
    }


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("PBXFED_NOD_NAME", "a", "PBXFED_NOD_NAME: nothing reads it; meant PBXFED_NODE_NAME?"),
        ("PBXFED_CALLS_RING_SECONDS", "soon", "PBXFED_CALLS_RING_SECONDS = soon: must be a whole"),
        ("PBXFED_LAN_MULTICAST", "no", "PBXFED_LAN_MULTICAST = no: must be true or false"),
    ],
)
def test_what_cannot_be_is_refused_by_name(name: str, text: str, said: str) -> None:
    with pytest.raises(LabError) as refused:
        settings({name: text})
    assert str(refused.value).startswith(said)
