"""Effects → REST. What the core asks of this Asterisk goes to whoever does it: calls (`calls.py`), phones and trunks
(`objects.py`), the peers of IAX2 (`iaxpeers.py`), whom the dialplan asks without us (`alone.py`), registrations that are to end
(`contacts.py`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from pbxfed_ari.asterisk.alone import Alone
from pbxfed_ari.asterisk.calls import Calls, ForCalls
from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.contacts import Contacts
from pbxfed_ari.asterisk.iax import IaxPeer
from pbxfed_ari.asterisk.iaxpeers import IaxPeers
from pbxfed_ari.asterisk.legs import Legs, at_once
from pbxfed_ari.asterisk.objects import Objects, SecretFor
from pbxfed_ari.asterisk.rest import Post
from pbxfed_ari.asterisk.trouble import trouble
from pbxfed_ari.core.effects import (
    Abandon,
    CallListener,
    DialLeg,
    Divert,
    DropContact,
    EndBridge,
    Enter,
    HandOver,
    HangUp,
    HangUpLeg,
    Hold,
    Hush,
    Indicate,
    Join,
    Lead,
    Leg,
    Lend,
    MakeBridge,
    MakeLeg,
    Note,
    Overhear,
    OverhearAfar,
    PushExtension,
    PushTrunk,
    RemoveExtension,
    RemoveTrunk,
    SendElsewhere,
    Soothe,
    WhenAlone,
)
from pbxfed_ari.core.events import Answered, Ended, LegEnded, Returned
from pbxfed_ari.core.names import ChannelId, Extension, NodeName, trunk_to
from pbxfed_ari.errors import AsteriskError, ConfigError, Unreachable

DROPS = 4  # contacts ended at once
AGAIN = 1.0  # seconds before what Asterisk did not answer is asked again

ForAsterisk = (
    ForCalls
    | Abandon
    | PushExtension
    | RemoveExtension
    | PushTrunk
    | RemoveTrunk
    | WhenAlone
    | DropContact
)


class Operator:
    """Does at one Asterisk what the core asks."""

    def __init__(
        self,
        ari: AriClient,
        contacts: Contacts,
        *,
        own: NodeName,
        realm: str,
        secret_for: SecretFor,
        iax_file: Path | None,
        post: Callable[[Answered | LegEnded | Ended | Returned], None],
        note: Callable[[Note], None],
        iax_loaded: Callable[[], Awaitable[None]] = at_once,
        iax_taken: Callable[[], bool] = lambda: True,
        hear_bridges: Callable[[], Awaitable[None]] = at_once,
        bridges_heard: Callable[[], bool] = lambda: True,
        moves: Callable[[ChannelId], list[Post]] = lambda _: [],
    ) -> None:
        legs = Legs(
            ari,
            hear_bridges=hear_bridges,
            bridges_heard=bridges_heard,
            moves=moves,
            post=post,
            note=note,
        )
        self.calls = Calls(ari, legs, realm=realm, devices=contacts.devices, post=post, note=note)
        self.objects = Objects(
            ari, contacts, own=own, realm=realm, secret_for=secret_for, note=note
        )
        self._iax = IaxPeers(
            ari,
            own=own,
            file=iax_file,
            reachable=self.objects.reachable,
            note=note,
            loaded=iax_loaded,
            takes=iax_taken,
        )
        self.alone = Alone(ari, reachable=self.objects.reachable, note=note)
        self._contacts, self._secret_for, self._note = contacts, secret_for, note
        self._drops: asyncio.Queue[DropContact] = asyncio.Queue()

    def __repr__(self) -> str:
        return f"Operator({self.calls!r}, {self.objects!r})"

    @property
    def trouble(self) -> str:
        """What an operator should mend at this Asterisk; "" if nothing."""
        return self._iax.trouble

    async def run(self) -> None:
        """Perform, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self.objects.begin(group)
            for number in range(DROPS):
                group.create_task(self._dropper(), name=f"asterisk drop {number}")
            group.create_task(self._iax.run(), name="asterisk iax")
            group.create_task(self.alone.run(), name="asterisk alone")
            self.calls.begin(group)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self.calls.rest()

    def perform(self, effect: ForAsterisk) -> None:
        """Do this, soon. Never blocks; what comes of it is posted."""
        match effect:
            case HandOver(extension=number, legs=legs):
                for leg in legs:
                    if isinstance(leg, Leg) and leg.peer is None:
                        self.objects.hurry(Extension(leg.number) if leg.number else number)
                self.calls.perform(effect.channel, effect)
            case Divert() | Lead() | Enter() | Hold() | SendElsewhere() | HangUp():
                self.calls.perform(effect.channel, effect)
            case CallListener() | Overhear() | OverhearAfar() | Lend():
                self.calls.perform(effect.channel, effect)
            case (
                MakeBridge()
                | MakeLeg()
                | DialLeg()
                | Join()
                | Indicate()
                | Soothe()
                | Hush()
                | HangUpLeg()
                | EndBridge()
            ):
                self.calls.perform(effect.call, effect)
            case Abandon():
                self.calls.abandon(effect)
            case PushExtension():
                self.objects.want(effect.extension, effect)
            case RemoveExtension():
                self.objects.want(effect.extension, None)
            case PushTrunk():
                self._want_trunk(effect)
            case RemoveTrunk():
                self.objects.want(trunk_to(effect.peer), None)
                self._iax.want(effect.peer, None)
            case WhenAlone(legs):
                self.alone.want(legs)
            case DropContact():
                self._drops.put_nowait(effect)

    def up(self) -> None:
        """Asterisk is there, and `objects.find` has told what it holds: make it agree again."""
        self.objects.up()
        self._iax.up()
        self.alone.up()

    def _want_trunk(self, effect: PushTrunk) -> None:
        try:
            secret = self._secret_for(effect.peer, effect.public_key)
        except ValueError as error:  # no secret comes of this key; what stood before stands
            self._note(trouble("peer has an unusable key", error, peer=effect.peer))
            return
        self.objects.want(trunk_to(effect.peer), effect if effect.sip_port else None)
        try:
            port = effect.iax_port
            peer = IaxPeer(effect.peer, effect.address, port, secret) if port else None
        except ConfigError as error:
            self._note(trouble("peer's IAX2 trunk not written", error, peer=effect.peer))
            return
        self._iax.want(effect.peer, peer)

    async def _dropper(self) -> None:
        while True:
            effect = await self._drops.get()
            await self.objects.reachable.wait()
            try:
                await self._contacts.drop(effect)
            except AsteriskError as error:
                self._note(trouble("contact not dropped", error, extension=effect.extension))
                if isinstance(error, Unreachable):  # left there it would be found, and ring along
                    again = asyncio.get_running_loop().call_later
                    again(AGAIN, self._drops.put_nowait, effect)
