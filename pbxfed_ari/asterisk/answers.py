"""Who was led into the hand-written dialplan: is he answered there?

Dial and our own rooms tell it; a dialplan of others tells nothing. Each change of a channel's state is an event, too, but of
all channels of every call, and each event costs (docs/decisions/0005). So he alone is looked at, ever more seldom: what is
known so is late by a quarter of a second, or by a twentieth of the time that he has waited.
"""

import asyncio
from contextlib import suppress

from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.core.events import Answered
from pbxfed_ari.core.names import ChannelId
from pbxfed_ari.errors import Declined, Unreachable

SOON = 0.25  # seconds
SHARE = 0.05  # of the time that he has waited
PARTS = "phones sent did trunk ask unasked again dial lead room listen leg record gone local back asked silent"
OURS = {f"pbxfed-{part}" for part in PARTS.split()}  # the contexts of dialplan/extensions.conf


async def answer(ari: AriClient, caller: ChannelId) -> Answered | None:
    """Wait for it. None if he has ended, or is asked for anew: he has come to us again, from there.

    At the first look he may be on his way there still.
    """
    waited, first = 0.0, True
    while True:
        pause = max(SOON, waited * SHARE)
        await asyncio.sleep(pause)
        waited += pause
        with suppress(Unreachable):
            try:
                found = await ari.channels.get(caller)
            except Declined:
                return None
            place = found.dialplan
            asks = place.app_name == "Stasis" and place.app_data.startswith(f"{ari.app},")
            if asks or place.context in OURS:
                if not first:
                    return None
            elif found.state == "Up":
                return Answered(caller)
            first = False
