"""What is found in a bridge of ours after a restart."""

from datetime import UTC, datetime

from pbxfed_ari.asterisk import found
from pbxfed_ari.asterisk.models import Bridge, CallerID, Channel
from pbxfed_ari.core.events import Arrived
from pbxfed_ari.core.names import ChannelId, NodeName

NAME = "pf-f00.e1"
BEGAN = datetime(2026, 11, 26, 12, tzinfo=UTC)


def test_after_a_rescue_the_phone_that_was_called_stands_for_its_caller() -> None:
    """Both legs are ours, and come in any order: the newer one leads to the caller, wherever he is now."""
    called = Channel(f"{NAME}-1-0", "PJSIP/1001-1", "Up", CallerID("Ann", "1001"), BEGAN)
    back = Channel(f"{NAME}-3-0", "PJSIP/pf-c-2", "Up", CallerID("Bob", "1002"), BEGAN)
    for channels in [called, back], [back, called]:
        bridge = Bridge(NAME, [one.id for one in channels])
        (seen,) = found.ours([bridge], channels, {})
        assert seen.callers == (
            Arrived(ChannelId(called.id), "1001", "1002", "Bob", wall_ms=1_795_694_400_000),
        )
        assert seen.leg is not None
        assert (seen.leg.peer, seen.leg.trunk, seen.leg.number) == (NodeName("c"), "sip", "1002")
