"""The composition root: the rooms of one daemon, wired; run until it is told to stop: no new calls, Leave, close."""

import asyncio
import logging
import os
import secrets
import signal
import time
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, get_args

from pbxfed_ari import __version__
from pbxfed_ari.asterisk.operator import ForAsterisk
from pbxfed_ari.asterisk.recordings import judged
from pbxfed_ari.asterisk.room import AsteriskRoom
from pbxfed_ari.clock import wall_ms
from pbxfed_ari.config import Settings, credentials
from pbxfed_ari.core.calls.call import Phase
from pbxfed_ari.core.calls.calls import Manner
from pbxfed_ari.core.calls.notebook import Noted
from pbxfed_ari.core.calls.switchboard import Switchboard
from pbxfed_ari.core.effects import (
    AskRotation,
    AskSip,
    Broadcast,
    CallEnded,
    CloseSessionPast,
    ForgetSession,
    Forward,
    KeepKeys,
    Note,
    Remember,
    Reply,
    SendTo,
    Stop,
    Tell,
    UseKeys,
    WanListen,
)
from pbxfed_ari.core.events import (
    Address,
    Event,
    Rotate,
    SeedsFound,
    StrangerHeard,
    WanChanged,
    wan,
)
from pbxfed_ari.core.federation.federation import Federation, describe
from pbxfed_ari.core.names import trunk_to
from pbxfed_ari.core.naming.zone import Answer as DnsAnswer
from pbxfed_ari.core.naming.zone import Labels, Zone, asker
from pbxfed_ari.core.records.keys import KEY
from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.join.desk import Desk
from pbxfed_ari.links.multicast import MulticastLink
from pbxfed_ari.links.post import Post
from pbxfed_ari.links.seeds import Seeds
from pbxfed_ari.links.transport import Transport
from pbxfed_ari.loop import Loop
from pbxfed_ari.node.accounting import Accounting
from pbxfed_ari.node.enduring import enduring
from pbxfed_ari.node.facade import Facade
from pbxfed_ari.node.far_ends import dead_ends
from pbxfed_ari.node.group_keys import GroupKeys
from pbxfed_ari.node.introducing import info, welcome
from pbxfed_ari.node.reloading import reread
from pbxfed_ari.sensing import Sensing
from pbxfed_ari.sensors.disk import HUNG, Disk
from pbxfed_ari.sensors.doubts import Doubts
from pbxfed_ari.sensors.security_log import SecurityLog
from pbxfed_ari.service import ServiceManager
from pbxfed_ari.store.keeper import Keeper
from pbxfed_ari.store.sqlite import Kept, Store
from pbxfed_ari.store.writer import Writer
from pbxfed_ari.web.api import Api
from pbxfed_ari.web.eventlog import EventLog
from pbxfed_ari.wire.identity import NodeKey
from pbxfed_ari.wire.seal import SALT, Seal
from pbxfed_ari.wire.token import ASK

if TYPE_CHECKING:
    from pbxfed_ari.dns.reply import Look
    from pbxfed_ari.dns.server import DnsServer

SETTLED = 30.0  # seconds after the start in which peers have told what we missed
SEEDS_SECONDS = 3.0  # for the first answer of DNS; after that we begin without
WORN = "four thousand million frames were sent in this session: start the daemon again"
log = logging.getLogger("pbxfed")


class Node:
    """One daemon."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        federation: Federation,
        key: NodeKey,
        born: str,
    ) -> None:
        """`born` is the id of the key that the federation was born with."""
        self.settings = settings
        self.store = store
        self.federation = federation
        self.key = key
        keys = federation.gate.keys
        seal = Seal(keys.sealing.material, os.urandom(SALT))
        self.mail = Post(seal, key, who=federation.gate.roster.who)
        self.writer = Writer()
        self.keeper = Keeper(store, self.writer, hung=HUNG)
        self.events = EventLog(federation.ourselves.identity.epoch)
        self.accounting = Accounting(
            settings,
            self.writer,
            federation,
            over=self._call_ended,
            going_on=self._going_on,
            judged=lambda call: judged(self.room.ari, call),
            note=self.note,
        )
        self.switchboard = Switchboard(_manner(settings), *self.accounting.records.noted())
        self.link = MulticastLink(
            settings.node.address,
            settings.lan.group,
            settings.lan.port,
            self._receive,
            multicast=settings.lan.multicast,
        )
        self.group_keys = GroupKeys(settings, federation, born)
        self.wan = self.group_keys.wan_link(
            self._receive_afar, lambda up, reason: self.post(WanChanged(up, reason))
        )
        transport = Transport(self.mail, self.link, self.wan, worn=lambda: self._stop(Stop(WORN)))
        self.desk = Desk(
            settings.node.state,
            key,
            admit=self.post,
            send=self.link.send,
            note=self.note,
            welcome=lambda: welcome(self.settings, federation, key, born),
        )
        self.seeds = Seeds(
            settings.lan.peers,
            settings.lan.srv,
            settings.lan.port,
            lambda found: self.post(SeedsFound(found)),
        )
        self.room = AsteriskRoom(
            url=settings.asterisk.url,
            user=settings.asterisk.user,
            password=credentials.ari_password(settings),
            own=federation.me,
            realm=settings.federation.domain,
            secret_for=key.secret_with,
            iax_file=settings.asterisk.iax_peers,
            iax_taken=lambda: "iax2" in self.settings.calls.trunks,
            control=settings.asterisk.control,
            objects=settings.asterisk.objects,
            expected=lambda: federation.directory.registrations.numbers(
                lambda node: node == federation.me
            ),
            up=self._describe,
            post=self.post,
            note=self.note,
        )
        self.room.connection.expect(self.switchboard.notebook.channels())
        self.dead_ends = dead_ends(
            federation, self.switchboard, self.room, post=self.post, note=self.note
        )
        self.doubts = Doubts(
            user=trunk_to(federation.me),
            where=lambda peer: self.room.operator.objects.trunks().get(peer),
            post=self.post,
        )
        self.security_log = SecurityLog(settings.asterisk.security_log, self.post)
        self.zone = Zone(settings.federation.domain, settings.dns.ttl)
        self.dns = _dns(settings, self.zone, self._look_up)
        self._rng = Random(secrets.randbits(64))
        self.sensing = Sensing(
            settings,
            federation,
            self.room,
            disk=Disk(
                settings.node.state,
                later=self.writer.later,
                behind=self.writer.behind,
                trouble=lambda: self.keeper.failed,
            ),
            perform=lambda effects: self.loop.perform(effects),
            rng=self._rng,
        )
        self.tls = credentials.provisioning_tls(settings)
        self.facade = Facade(self)
        self.api = Api(self.facade, credentials.http_access(settings))
        self._stopped: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.manager = ServiceManager(os.environ, os.getpid())
        self.loop = Loop(
            federation,
            self.switchboard,
            {
                Broadcast: transport.broadcast,
                Forward: transport.forward,
                WanListen: transport.listen,
                SendTo: transport.send,
                CloseSessionPast: lambda effect: seal.prove(effect.session),
                ForgetSession: lambda effect: self.mail.forget(effect.session),
                UseKeys: lambda use: seal.use(use.held, use.sealing, use.readable),
                KeepKeys: lambda effect: self.group_keys.keep(),
                AskRotation: lambda effect: self.post(Rotate(0, os.urandom(KEY), wall_ms())),
                **dict.fromkeys(get_args(Kept), self.keeper.keep),
                Remember: self.keeper.remember,
                **dict.fromkeys(get_args(ForAsterisk), self.room.perform),
                AskSip: self.doubts.perform,
                Tell: lambda told: self.post(told.event),
                Reply: self._reply,
                Note: self.note,
                Stop: self._stop,
                CallEnded: self.accounting.ended,
            },
            late=self._late,
            turned=self._turned,
        )

    def close_files(self) -> None:
        """Write out what is in line; of a disk that hangs nobody waits for more."""
        self.accounting.finish()
        self.keeper.finish()
        if self.writer.close():
            self.accounting.records.close()
            self.store.close()

    async def serve(self) -> str:
        """Run until stopped. Returns the reason if it must not go on, else an empty text."""
        running = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            running.add_signal_handler(number, self._stop, Stop(""))
        running.add_signal_handler(signal.SIGHUP, self._reload)
        log.info(
            "pbxfed %s starts as node %s of %s",
            __version__,
            self.federation.me,
            self.settings.federation.domain,
        )
        with suppress(TimeoutError):  # the seeds shall hear that we ask for our name
            await asyncio.wait_for(self.seeds.look(), SEEDS_SECONDS)
        self.loop.start()
        self._describe()
        async with asyncio.TaskGroup() as group:
            rooms = {
                "asterisk": self.room.run,
                "seeds": self.seeds.run,
                "sensors": self.sensing.room.run,
                "security log": self.security_log.run,
                "dead ends": self.dead_ends.run,
                "doubts": self.doubts.run,
                "notes of calls": self.accounting.run,
            }
            tasks = [
                group.create_task(enduring(name, run), name=name) for name, run in rooms.items()
            ]
            running.call_later(SETTLED, self._settled)
            reason = await self._stopped
            self.manager.stopping(reason)
            await self.facade.catch_up()
            if drains := self.federation.ourselves.condition.drains:
                await self.room.leave_to_others()
            self.loop.perform(self.federation.leave())
            self.loop.stop()
            if drains:
                still = (one for one in self.switchboard if one.phase is not Phase.OVER)
                self.room.left({call.arrival.channel for call in still})
            self.link.close()
            if self.dns is not None:
                self.dns.close()
            for task in tasks:
                task.cancel()
        log.info("pbxfed stops%s", f": {reason}" if reason else "")
        return reason

    def post(self, event: Event) -> None:
        """Something has happened."""
        self.loop.post(event)

    def now(self) -> float:
        """Seconds, monotonic."""
        return time.monotonic()

    def note(self, note: Note) -> None:
        """Something worth a line in the log, and mostly an event."""
        level = getattr(logging, note.level.upper())
        if log.isEnabledFor(level):
            words = " ".join(f"{name}={value}" for name, value in note.fields)
            log.log(level, "%s %s", note.what, words)
        if not note.log_only:
            self.events.add(note, wall_ms())

    # --- what comes in

    def _receive(self, frame: bytes, source: Address, multicast: bool) -> None:
        if frame[:1] == bytes((ASK,)):
            return self.desk.receive(frame, source, wall_ms())
        event = self.mail.open(frame, source, multicast=multicast)
        if event is not None and not (
            isinstance(event, StrangerHeard) and source[1] != self.settings.lan.port
        ):
            self.post(event)
        return None

    def _receive_afar(self, frame: bytes) -> None:
        event = self.mail.open(frame, wan())
        if event is not None:
            self.post(event)

    def _look_up(self, owner: Labels, kind: str, client: str) -> DnsAnswer | None:
        """What DNS tells; nothing, before we have heard who lives."""
        if not self.federation.view.settled(self.now()):
            return None
        asking = asker(self.federation, client, wall_ms(), self._rng)
        return self.zone.answer(owner, kind, asking)

    # --- what is asked for

    def _reply(self, reply: Reply) -> None:
        if reply.ticket:  # else nobody waits
            self.keeper.confirm(reply, self._answer)

    def _answer(self, reply: Reply) -> None:
        if reply.ticket < 0:
            self.desk.reply(reply, wall_ms())
        else:
            self.api.reply(reply)

    def _call_ended(self, call: CallEnded) -> None:
        self.api.measures.call_ended(call)
        self.sensing.failures.ended(call, self.now())

    def _going_on(self) -> tuple[list[Noted], list[str]] | None:
        """What is to be noted of calls, and struck out: nothing, while we do not see them."""
        if not self.room.connection.live:
            return None
        noted, void = self.switchboard.notebook.new(self.now())
        return (noted, void) if noted or void or len(self.switchboard) else None

    def _late(self, seconds: float) -> None:
        self.api.measures.late(seconds)
        self.sensing.lateness.late(seconds)

    def _stop(self, stop: Stop) -> None:
        if not self._stopped.done():
            self._stopped.set_result(stop.reason)

    def _turned(self) -> None:
        self.manager.turned(self.now(), self.federation.joined, self._at_a_glance)

    def _at_a_glance(self) -> str:
        """One line for `systemctl status`."""
        federation = self.federation
        others, calls = len(federation.members.alive()), len(self.switchboard)
        health = "; ".join(self.facade.reasons()) or "healthy"
        return f"node {federation.me} of {federation.ourselves.identity.realm}: {health}; {others} peers, {calls} calls"

    def _settled(self) -> None:
        """What stands in Asterisk and nowhere else may go; unless we know nothing, as after the loss of a disk."""
        if self.federation.directory.catalogue.count(KINDS["extension"]):
            self.room.settled()

    def _reload(self) -> None:
        """SIGHUP."""
        fresh = reread(self.settings, self.tls)
        if fresh is None:
            return
        self.settings = self.sensing.settings = fresh
        self.switchboard.calls.manner = _manner(fresh)
        logging.getLogger().setLevel(fresh.log.level.upper())
        self._describe()
        log.info("reloaded %s", fresh.path)

    def _describe(self) -> None:
        """Tell the peers of this node."""
        since = self.room.connection.since
        self.post(describe(info(self.settings, self.federation, self.key, since)))


def _dns(settings: Settings, zone: Zone, look: "Look") -> "DnsServer | None":
    """The service for phones. Its library is loaded only here, when it is wanted."""
    if not settings.dns.listen:
        return None
    from pbxfed_ari.dns.reply import Replier
    from pbxfed_ari.dns.server import DnsServer

    return DnsServer(settings.dns_places(), Replier(zone, look))


def _manner(settings: Settings) -> Manner:
    calls = settings.calls
    return Manner(calls.ring_seconds, calls.control, calls.rescue, calls.rescue_music)
