"""Recordings of calls, in Asterisk's own folder for them: looked at when their calls are over.

They are begun by the dialplan, which cannot tell us what came of it: how much is there? Asterisk is asked, wherever its folder
is and whoever may read it.
"""

import asyncio

from msgspec.structs import replace

from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.core.effects import CallEnded
from pbxfed_ari.errors import Declined, Unreachable

CLOSED = 1.0  # seconds after the end of its call; Asterisk has written all of it by then
HEAD, SECOND = (
    44,
    16_000,
)  # bytes of a WAV file: before the sound, and of each second (16 bits, 8 kHz)
CREDIT = 5.0  # seconds that may be missing, and a tenth
GONE = 404  # what Asterisk says of a name that it does not know


async def judged(ari: AriClient, call: CallEnded) -> CallEnded:
    """A call that is over now and was to be recorded, with what there is of that."""
    await asyncio.sleep(CLOSED)
    try:
        async with ari.recordings.getStoredFile(call.recording) as stored:
            seconds = max(0, stored.size - HEAD) / SECOND
    except Declined as declined:
        said = str(declined) if declined.status != GONE else "Asterisk has kept nothing"
        return replace(call, recording="", recording_error=said if call.answered else "")
    except Unreachable as silent:
        return replace(call, recording_error=f"it is not known how much there is: {silent}")
    talked = call.talked
    short = seconds + talked / 10 + CREDIT < talked or (not seconds and talked > 1)
    said = f"there are {seconds:.0f} of {talked:.0f} seconds" if short else ""
    return replace(call, recorded=round(seconds, 1), recording_error=said)
