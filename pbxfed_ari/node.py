"""The composition root: builds the rooms, wires them, runs them, and takes them down in the opposite order.

Start: settings → key and store → machines → link → HTTP → ARI. Stop: no new calls, Leave, close. Nothing is decided here.
"""

import asyncio
import faulthandler
import gc
import logging
import os
import secrets
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from random import Random, uniform

from aiohttp import web

from pbxfed_ari import __version__, certificates, config, logs
from pbxfed_ari.asterisk.deadends import DeadEnds
from pbxfed_ari.asterisk.room import AsteriskRoom
from pbxfed_ari.clock import wall_ms
from pbxfed_ari.config import Settings
from pbxfed_ari.core import draining
from pbxfed_ari.core.condition import SICK
from pbxfed_ari.core.effects import (
    Abandon,
    AskRotation,
    Broadcast,
    CallEnded,
    CloseSessionPast,
    DialLeg,
    Divert,
    DropContact,
    EndBridge,
    Enter,
    ForgetSession,
    Forward,
    HandOver,
    HangUp,
    HangUpLeg,
    Hold,
    Hush,
    Indicate,
    Join,
    KeepKeys,
    Lead,
    MakeBridge,
    MakeLeg,
    Note,
    Persist,
    PersistAbsorbed,
    PersistGone,
    PersistLineage,
    PushExtension,
    PushTrunk,
    Remember,
    RemoveExtension,
    RemoveTrunk,
    Reply,
    SendElsewhere,
    SendTo,
    Soothe,
    Stop,
    Tell,
    UseKeys,
    WanListen,
)
from pbxfed_ari.core.events import (
    WAN,
    Address,
    Event,
    Rotate,
    SeedsFound,
    StrangerHeard,
    WanChanged,
    by_wan,
    wan,
)
from pbxfed_ari.core.federation import Federation, describe
from pbxfed_ari.core.health import Health
from pbxfed_ari.core.keys import KEY
from pbxfed_ari.core.names import NodeName, federation_tag, trunk_to
from pbxfed_ari.core.objects import KINDS
from pbxfed_ari.core.ourselves import Identity
from pbxfed_ari.core.shelf import NodeInfo
from pbxfed_ari.core.streams import LEAP
from pbxfed_ari.core.switchboard import Switchboard
from pbxfed_ari.core.timing import PRESETS
from pbxfed_ari.core.zone import Answer as DnsAnswer
from pbxfed_ari.core.zone import Labels, Zone, asker
from pbxfed_ari.dns.reply import Replier
from pbxfed_ari.dns.server import DnsServer
from pbxfed_ari.errors import ConfigError
from pbxfed_ari.join.desk import Desk
from pbxfed_ari.keys import keep_keyring, load_node_key, open_keyring
from pbxfed_ari.links.engines import make
from pbxfed_ari.links.multicast import MulticastLink
from pbxfed_ari.links.post import Post
from pbxfed_ari.links.seeds import Seeds
from pbxfed_ari.links.wan import WanLink
from pbxfed_ari.loop import Loop
from pbxfed_ari.provisioning.telling import Recipe
from pbxfed_ari.sensing import Sensing
from pbxfed_ari.sensors import capacity, options
from pbxfed_ari.sensors.clock import local_time
from pbxfed_ari.sensors.disk import HUNG, Disk
from pbxfed_ari.sensors.security_log import SecurityLog
from pbxfed_ari.service import ServiceManager
from pbxfed_ari.store.recorder import NOTED, Recorder
from pbxfed_ari.store.records import Records
from pbxfed_ari.store.sqlite import Store
from pbxfed_ari.store.writer import Writer
from pbxfed_ari.web.api import Api
from pbxfed_ari.web.callbook import COLUMNS, record
from pbxfed_ari.web.eventlog import EventLog
from pbxfed_ari.web.handouts import Offer
from pbxfed_ari.web.listener import Listener
from pbxfed_ari.wire.identity import NodeKey
from pbxfed_ari.wire.seal import SALT, Seal
from pbxfed_ari.wire.token import ASK, Answer

RENEWED = 60.0  # seconds in which nodes open their WAN links anew, one after the other
SETTLED = 30.0  # seconds after the start in which peers have told what we missed
SEEDS_SECONDS = 3.0  # for the first answer of DNS; after that we begin without
log = logging.getLogger("pbxfed")


def run(settings: Settings) -> None:
    """Run the daemon until it is told to stop.

    Raises: ConfigError, if it cannot start, or must not go on (its name is taken).
    """
    settings.check_machine()
    logs.set_up(settings.log.level)
    faulthandler.enable()  # a watchdog's SIGABRT leaves in the log where we hung
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    # two lines a call: what the format does not show need not be found out (logging's documentation, "Optimization")
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    os.umask(0o077)  # the store holds digests
    reason = asyncio.run(_serve(settings))
    if reason:
        raise ConfigError(reason)


async def _serve(settings: Settings) -> str:
    async with AsyncExitStack() as stack:
        node = await Node.build(settings, stack)
        gc.collect()
        gc.freeze()  # what was loaded stays: looking through ten thousand objects would stop all calls for a moment
        return await node.serve()


class Node:
    """One daemon. Satisfies `web.api.Node`."""

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
        self.key, self._born = key, born
        keys = federation.gate.keys
        seal = Seal(keys.sealing.material, os.urandom(SALT))
        self.mail = Post(seal, key, who=federation.gate.roster.who)
        self._failed = ""  # why nothing is kept any more
        self.writer = Writer()
        self.events = EventLog(federation.ourselves.identity.epoch)
        self.call_events = EventLog(federation.ourselves.identity.epoch)
        self.recorder: Recorder[CallEnded] = Recorder(
            self.writer, self._call_ended, lambda ended, over: self.records.add(*ended, over=over)
        )
        self.records = Records(
            settings.node.state / "calls.db", days=settings.calls.keep_days, ask=self.recorder.ask
        )
        before, seen_ms = self.records.noted()
        self.switchboard = Switchboard(
            before=before,
            seen_ms=seen_ms,
            ring_seconds=settings.calls.ring_seconds,
            control=settings.calls.control,
            rescue=settings.calls.rescue,
            rescue_music=settings.calls.rescue_music,
        )
        self.link = MulticastLink(
            settings.node.address,
            settings.lan.group,
            settings.lan.port,
            self._receive,
            multicast=settings.lan.multicast,
        )
        self.desk = Desk(
            settings.node.state,
            key,
            admit=self.post,
            send=self.link.send,
            note=self.note,
            welcome=self._welcome,
        )
        self.seeds = Seeds(
            settings.lan.peers,
            settings.lan.srv,
            settings.lan.port,
            lambda found: self.post(SeedsFound(found)),
        )
        self._certified: list[bytes] = []  # the keys that our certificates come of
        self._shown = b""  # the key whose certificate our link began with
        self.wan = self._wan_link()
        self.room = AsteriskRoom(
            url=settings.asterisk.url,
            user=settings.asterisk.user,
            password=settings.ari_password(),
            own=federation.me,
            realm=settings.federation.domain,
            secret_for=self.key.secret_with,
            iax_file=settings.asterisk.iax_peers,
            iax_taken=lambda: "iax2" in self.settings.calls.trunks,
            control=settings.asterisk.control,
            objects=settings.asterisk.objects,
            expected=lambda: {
                n for n, _ in federation.directory.shelves.contacts_of(federation.me)
            },
            up=lambda: self.post(describe(self._info())),
            post=self.post,
            note=self.note,
        )
        self.room.connection.expect(self.switchboard.notebook.channels())
        self.dead_ends = DeadEnds(
            self.room.ari,
            away=self._away,
            talks=self.switchboard.talks_with,
            since=self._asterisks_since,
            ask=self._answers,
            post=self.post,
            note=self.note,
        )
        self.security_log = SecurityLog(settings.asterisk.security_log, self.post)
        self.zone = Zone(settings.federation.domain, settings.dns.ttl)
        self.dns = DnsServer(settings.dns_places(), Replier(self.zone, self._look_up))
        self._rng = Random(secrets.randbits(64))
        self.sensing = Sensing(
            settings,
            federation,
            self.room,
            disk=Disk(
                settings.node.state,
                later=self.writer.later,
                behind=self.writer.behind,
                trouble=lambda: self._failed,
            ),
            perform=lambda effects: self.loop.perform(effects),
            rng=self._rng,
        )
        self.tls = settings.provisioning_tls()
        self.api = Api(self, settings.http_access())
        self._stopped: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.manager = ServiceManager(os.environ, os.getpid())
        asterisk = self.room.perform
        self.loop = Loop(
            federation,
            self.switchboard,
            {
                Broadcast: self._broadcast,
                Forward: self._forward,
                WanListen: self._wan_listen,
                SendTo: self._send,
                CloseSessionPast: lambda effect: seal.prove(effect.session),
                ForgetSession: lambda effect: self.mail.forget(effect.session),
                UseKeys: lambda use: seal.use(use.held, use.sealing, use.readable),
                KeepKeys: self._keep_keys,
                AskRotation: self._make_key,
                Persist: self._persist,
                PersistLineage: self._persist,
                PersistGone: self._persist,
                PersistAbsorbed: self._persist,
                Remember: self._remember,
                PushExtension: asterisk,
                RemoveExtension: asterisk,
                PushTrunk: asterisk,
                RemoveTrunk: asterisk,
                DropContact: asterisk,
                HandOver: asterisk,
                Lead: asterisk,
                Enter: asterisk,
                Divert: asterisk,
                Hold: asterisk,
                MakeBridge: asterisk,
                MakeLeg: asterisk,
                DialLeg: asterisk,
                Join: asterisk,
                Indicate: asterisk,
                Soothe: asterisk,
                Hush: asterisk,
                HangUpLeg: asterisk,
                EndBridge: asterisk,
                Abandon: asterisk,
                Tell: lambda told: self.post(told.event),
                SendElsewhere: asterisk,
                HangUp: asterisk,
                Reply: self._reply,
                Note: self.note,
                Stop: self._stop,
                CallEnded: self.recorder.add,
            },
            late=self._late,
            turned=self._turned,
        )

    @classmethod
    async def build(cls, settings: Settings, stack: AsyncExitStack) -> "Node":
        """Open store, link and HTTP; what was opened is closed when the stack unwinds.

        Raises: ConfigError.
        """
        state = _state_folder(settings)
        name = NodeName(settings.node.name)
        keys, born = open_keyring(state, settings.federation_key())
        key = load_node_key(state, name)
        store = Store(state / "state.db")
        store.belongs_to(name)
        directory = store.load()
        leap = secrets.randbelow(LEAP)
        epoch, lineage = directory.streams.next_epoch(name, int(time.time()), leap)
        identity = Identity(
            name,
            epoch,
            settings.node.address,
            settings.lan.port,
            settings.node.site,
            __version__,
            settings.federation.domain,
            lineage,
        )
        federation = Federation(
            identity,
            rng=Random(secrets.randbits(64)),
            keys=keys,
            signer=key,
            directory=directory,
            timing=PRESETS[settings.lan.timing],
            multicast=settings.lan.multicast,
            calendar=local_time,
            drain=store.fact(draining.KEPT) or "",
        )
        node = cls(settings, store, federation, key, born)
        stack.callback(node.close_files)
        await node.link.open()
        stack.callback(node.link.close)
        runner = web.AppRunner(node.api.app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await _listen(runner, settings)
        await node.open_to_phones(stack)
        await node.dns.open()
        stack.callback(node.dns.close)
        if node.wan is not None:
            await node.wan.open()
            stack.push_async_callback(node.wan.close)
        return node

    def close_files(self) -> None:
        """Write out what is in line; of a disk that hangs nobody waits for more."""
        self._note_calls()
        self.recorder.flush()
        if self.writer.close():
            self.records.close()
            self.store.close()

    async def open_to_phones(self, stack: AsyncExitStack) -> None:
        """Listen where phones fetch their provisioning files, if they shall.

        Raises: ConfigError.
        """
        listen = self.settings.provisioning.listen
        if listen is None or self.tls is None:
            return
        host, _, port = listen.rpartition(":")
        listener = Listener(self.api.phone_files.app, self.tls)
        stack.push_async_callback(listener.close)
        try:
            await listener.open(host.strip("[]"), int(port))
        except OSError as error:
            raise ConfigError(
                f"{self.settings.path}: provisioning.listen = {listen!r}: {error.strerror or error}; "
                "another program has the port, or the address is not this machine's"
            ) from None

    @property
    def offer(self) -> Offer | None:
        """Where phones fetch their provisioning files, and what they are told there."""
        settings = self.settings.provisioning
        if settings.listen is None:
            return None
        host = settings.host or self.settings.federation.domain
        recipe = Recipe(settings.servers, settings.expires)
        return Offer(host, int(settings.listen.rpartition(":")[2]), recipe)

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
        self.post(describe(self._info()))
        async with asyncio.TaskGroup() as tasks:
            room = tasks.create_task(self.room.run(), name="asterisk")
            seeds = tasks.create_task(self.seeds.run(), name="seeds")
            sensors = tasks.create_task(self.sensing.room.run(), name="sensors")
            guards = tasks.create_task(self.security_log.run(), name="security log")
            ends = tasks.create_task(self.dead_ends.run(), name="dead ends")
            notes = tasks.create_task(self._keep_notes(), name="notes of calls")
            running.call_later(SETTLED, self._settled)
            reason = await self._stopped
            self.manager.stopping(reason)
            self.loop.perform(self.federation.leave())
            self.loop.stop()
            self.link.close()
            self.dns.close()
            room.cancel()
            seeds.cancel()
            sensors.cancel()
            guards.cancel()
            ends.cancel()
            notes.cancel()
        log.info("pbxfed stops%s", f": {reason}" if reason else "")
        return reason

    # --- what the API asks

    def post(self, event: Event) -> None:
        """Something has happened."""
        self.loop.post(event)

    def now(self) -> float:
        """Seconds, monotonic."""
        return asyncio.get_running_loop().time()

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        return wall_ms()

    def reasons(self) -> list[str]:
        """Why this node is not healthy; empty if it is."""
        return [why for why in self.troubles().values() if why]

    def troubles(self) -> dict[str, str]:
        """What can make a node unhealthy, each with the reason if it does, else an empty text."""
        federation, connection = self.federation, self.room.connection
        return {
            "joining": "" if federation.joined else "joining: asking whether the node name is free",
            "store": self.store_trouble,
            "keys": "" if federation.members.alive() else federation.gate.trouble(),
            "asterisk": ""
            if connection.live
            else connection.reason or "Asterisk is being asked what it holds",
            "sick": self.health.trouble() if self.health.sick >= SICK else "",
        }

    @property
    def health(self) -> Health:
        """What the sensors have found."""
        return self.sensing.health

    def unread(self) -> dict[str, str]:
        """Sensors that cannot be read, each with the reason."""
        return dict(self.sensing.room.unread)

    def warnings(self) -> list[str]:
        """What an operator should mend."""
        federation = self.federation
        alone = "" if federation.members.alive() else federation.gate.warning()
        return [*federation.watch.warnings(self.now()), *filter(None, [alone])]

    def store_bytes(self) -> int:
        """What the store takes of the disk."""
        return self.store.size()

    def invite(self, ttl: int) -> str:
        """A token for one new node, good for so many seconds."""
        settings = self.settings
        door = f"{settings.node.address}:{settings.lan.port}"
        return self.desk.invite(settings.federation.domain, (door,), ttl, wall_ms())

    def asterisk(self) -> dict[str, object]:
        """What is known of the PBX beside us."""
        connection = self.room.connection
        return {
            "state": connection.state.value,
            "version": connection.version,
            "warnings": [*connection.warnings, *filter(None, [self.room.operator.trouble])],
            "objects_to_push": self.room.operator.objects.pending,
        }

    def wan_link(self) -> dict[str, object] | None:
        """The state of our link to the other sites; None if there shall be none."""
        if self.wan is None:
            return None
        return {
            "link": self.settings.wan.link,
            "up": self.wan.up,
            "reason": self.wan.reason,
            "frames_sent": self.wan.frames_sent,
            "bytes_sent": self.wan.bytes_sent,
            "frames_received": self.wan.frames_received,
            "bytes_received": self.wan.bytes_received,
            "send_errors": self.wan.errors,
        }

    def counters(self) -> dict[str, object]:
        """What was sent, received and dropped."""
        link = self.link
        return {
            "frames_sent": link.frames_sent,
            "bytes_sent": link.bytes_sent,
            "frames_received": link.frames_received,
            "bytes_received": link.bytes_received,
            "send_errors": link.errors,
            "event_failures": self.loop.failures,
            "introductions_refused": self.federation.gate.refusals,
            "tokens_refused": self.desk.refused,
            "dns_queries": self.dns.queries,
            "dns_limited": self.dns.limited,
            "provisioning_served": self.api.phone_files.served,
            "provisioning_refused": self.api.phone_files.refused,
            "provisioning_limited": self.api.phone_files.limited,
            "frames_dropped": dict(self.mail.dropped),
            "messages_sent": dict(self.mail.sent),
            "messages_received": dict(self.mail.received),
        }

    def note(self, note: Note) -> None:
        """Something worth a line in the log, and mostly an event."""
        words = " ".join(f"{name}={value}" for name, value in note.fields)
        log.log(getattr(logging, note.level.upper()), "%s %s", note.what, words)
        if not note.log_only:
            self.events.add(note, wall_ms())

    def failures_read(self) -> dict[str, object]:
        """Whether failed authentications are counted here, and from where."""
        log = self.security_log
        return {"file": str(log.path), "trouble": log.trouble, "bytes_skipped": log.skipped}

    # --- rooms

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

    def _wan_link(self) -> WanLink | None:
        """The link to the other sites, if there shall be one.

        Raises: ConfigError.
        """
        settings, me = self.settings, self.federation.me
        if settings.wan.link == "none":
            return None
        tag = federation_tag(settings.federation.domain)
        folder = settings.node.state / "wan"
        self._shown = self._certify()[0]
        return make(
            settings.wan.link,
            settings.wan_access(),
            me,
            tag,
            folder,
            self._receive_afar,
            lambda up, reason: self.post(WanChanged(up, reason)),
        )

    def _certify(self) -> list[bytes]:
        """The link's certificates come of the group's keys, newest first: these.

        A session that stands is left alone: what it has shown is believed as long as its key is held, and a rotation travels
        over it. Raises: ConfigError.
        """
        me, tag = self.federation.me, federation_tag(self.settings.federation.domain)
        held = [key.material for key in self.federation.gate.keys]
        certificates.write(self.settings.node.state / "wan", held, me, tag)
        self._certified = held
        return held

    def _keep_keys(self, effect: KeepKeys) -> None:
        keys = self.federation.gate.keys
        try:
            keep_keyring(self.settings.node.state, keys, self._born)
            if self.wan is not None:
                held = [key.material for key in self.federation.gate.keys]
                if held != self._certified:
                    self._certify()
                if self._shown not in held:
                    self._shown = held[0]
                    pause = uniform(0, RENEWED)
                    asyncio.get_running_loop().call_later(pause, self.wan.reload)
        except (OSError, ConfigError) as error:
            log.error("the group's keys are not kept: %s; they are lost with this daemon", error)

    def _welcome(self) -> Answer:
        """What a new member gets."""
        settings, keys = self.settings, self.federation.gate.keys
        doors = [(settings.node.address, settings.lan.port)]
        doors += [m.address for m in self.federation.members.alive() if not m.away]
        return Answer(
            self.key.signing,
            domain=settings.federation.domain,
            born=self._born,
            keys=tuple((k.material, k.made, k.by, k.urgent) for k in keys),
            closed=keys.closed,
            group=settings.lan.group,
            port=settings.lan.port,
            multicast=settings.lan.multicast,
            site=settings.node.site,
            wan=settings.wan.link,
            connect=settings.wan.connect,
            seeds=tuple(f"{host}:{port}" for host, port in doors),
            timing=settings.lan.timing,
        )

    def _make_key(self, effect: AskRotation) -> None:
        self.post(Rotate(0, os.urandom(KEY), wall_ms()))

    def _look_up(self, owner: Labels, kind: str, client: str) -> DnsAnswer | None:
        """What DNS tells; nothing, before we have heard who lives."""
        if not self.federation.view.settled(self.now()):
            return None
        asking = asker(self.federation, client, wall_ms(), self._rng)
        return self.zone.answer(owner, kind, asking)

    def _forward(self, effect: Forward) -> None:
        if self.wan is not None:
            self.wan.broadcast(self.mail.frame(effect.message))

    def _wan_listen(self, effect: WanListen) -> None:
        if self.wan is not None:
            self.wan.listen(effect.on)

    @property
    def store_trouble(self) -> str:
        """Why nothing is kept, for now or any more; else an empty text."""
        behind = self.writer.behind()
        if self._failed or behind < HUNG:
            return self._failed
        return f"node.state: the disk has not taken a write for {behind:.0f} s; nothing is kept until it does"

    def _persist(self, effect: Persist | PersistLineage | PersistGone | PersistAbsorbed) -> None:
        """Keep it. What must be on the disk first is waited for, unless it is plain that the disk hangs."""
        self._keep(lambda: self.store.perform(effect))
        if isinstance(effect, Persist) and effect.durable:
            self.writer.wait()

    def _remember(self, effect: Remember) -> None:
        self._keep(lambda: self.store.remember(effect.name, effect.value))

    def _keep(self, write: Callable[[], None]) -> None:
        """After the first failure nothing more is kept, so that what is kept stays without holes."""

        def kept() -> None:
            if self._failed:
                return
            try:
                write()
            except sqlite3.Error as error:
                self._not_kept(str(error))

        if self.writer.full:
            self._not_kept("the disk hangs for too long")
        if not self._failed:
            self.writer.later(kept)

    def _not_kept(self, why: str) -> None:
        if self._failed:
            return
        remedy = "nothing is kept until there is room and the daemon is started again"
        self._failed = f"node.state: {self.store.path}: {why}; {remedy}"
        log.error("%s", self._failed)

    def _reply(self, reply: Reply) -> None:
        if not reply.ticket:
            return  # nobody waits
        if not reply.error and self._failed:
            why = f"told to the peers, but not kept here: {self._failed}"
            reply = Reply(reply.ticket, 507, error=why)
        if (
            not reply.error and self.writer.late
        ):  # said when it is on the disk, if anybody waits then
            loop = asyncio.get_running_loop()
            self.writer.later(lambda: loop.call_soon_threadsafe(self._answer, reply))
        else:
            self._answer(reply)

    def _answer(self, reply: Reply) -> None:
        if reply.ticket < 0:
            self.desk.reply(reply, wall_ms())
        else:
            self.api.reply(reply)

    def _broadcast(self, effect: Broadcast) -> None:
        self.link.broadcast(self.mail.frame(effect.message))
        if self.mail.worn:
            self._stop(
                Stop(
                    "four thousand million frames were sent in this session: start the daemon again"
                )
            )

    def _send(self, effect: SendTo) -> None:
        if by_wan(effect.address):
            self._send_afar(effect)
            return
        self.link.send(self.mail.frame(effect.message, effect.key), effect.address)

    def _send_afar(self, effect: SendTo) -> None:
        """To one node of another site; without a name, to whoever listens: we do not know who asked."""
        if self.wan is None:
            return
        frame = self.mail.frame(effect.message, effect.key)
        peer = effect.address[0].removeprefix(WAN)
        if peer:
            self.wan.send(frame, NodeName(peer))
        else:
            self.wan.broadcast(frame)

    def _call_ended(self, call: CallEnded) -> tuple[dict[str, object], str]:
        log.info(
            "call ended call=%s from=%s to=%s answered=%s tries=%d cause=%d seconds=%.1f",
            call.call,
            call.caller,
            call.number,
            call.answered,
            call.tries,
            call.cause,
            call.seconds,
        )
        self.api.measures.call_ended(call)
        self.sensing.failures.ended(call, self.now())
        kept = record(call, self.federation.me)
        shown = tuple((name, kept[name]) for name in COLUMNS if name != "node")
        self.call_events.add(Note("call ended", shown), wall_ms())
        return kept, call.note

    async def _keep_notes(self) -> None:
        while True:
            await asyncio.sleep(NOTED)
            self._note_calls()

    def _note_calls(self) -> None:
        """Write down which calls go on, while we see them, unless the disk hangs."""
        if not self.room.connection.live or self.writer.late:
            return
        noted, void = self.switchboard.notebook.new(self.now())
        if noted or void or len(self.switchboard):
            seen_ms = wall_ms()
            self.recorder.note(lambda: self.records.note(noted, void, seen_ms))

    def _away(self) -> dict[NodeName, Address]:
        """Peers out of reach, and where their SIP would be."""
        reachable = self.federation.view.reachable
        trunks = self.room.operator.objects.trunks()
        return {peer: at for peer, at in trunks.items() if not reachable(peer)}

    def _asterisks_since(self) -> dict[NodeName, tuple[int, float]]:
        """When the Asterisk of each peer was started, by its clock and by ours, as far as it is known."""
        view, info = self.federation.view, self.federation.directory.shelves.info
        found = {peer: one for peer in self.room.operator.objects.trunks() if (one := info(peer))}
        return {
            peer: (one.asterisk_since, one.asterisk_since - view.ahead(peer))
            for peer, one in found.items()
            if one.asterisk_since
        }

    async def _answers(self, to: Address) -> bool:
        """Does a peer's SIP? If it cannot even be asked our own network is down."""
        try:
            return await options.ask(to, trunk_to(self.federation.me)) < options.NEVER
        except OSError:
            return False

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
        health = "; ".join(self.reasons()) or "healthy"
        return f"node {federation.me} of {federation.ourselves.identity.realm}: {health}; {others} peers, {calls} calls"

    def _settled(self) -> None:
        """What stands in Asterisk and nowhere else may go; unless we know nothing, as after the loss of a disk."""
        if self.federation.directory.catalogue.count(KINDS["extension"]):
            self.room.settled()

    def _reload(self) -> None:
        """SIGHUP: read the file again; what may change while running does, the rest waits for a restart."""
        try:
            fresh = config.load(self.settings.path)
        except ConfigError as error:
            log.error("reload refused, the old configuration stands: %s", error)
            return
        self._renew_certificate(fresh)
        for section in ("federation", "lan", "wan", "asterisk", "http", "dns", "health", "checks"):
            if getattr(fresh, section) != getattr(self.settings, section):
                log.warning("reload: [%s] has changed; that needs a restart", section)
        if (fresh.node.name, fresh.node.address, fresh.node.site) != (
            self.settings.node.name,
            self.settings.node.address,
            self.settings.node.site,
        ):
            log.warning(
                "reload: node.name, node.address or node.site has changed; that needs a restart"
            )
            return
        self.settings = self.sensing.settings = fresh
        self.switchboard.ring_seconds = fresh.calls.ring_seconds
        self.switchboard.control = fresh.calls.control
        self.switchboard.rescue = fresh.calls.rescue
        self.switchboard.rescue_music = fresh.calls.rescue_music
        logging.getLogger().setLevel(fresh.log.level.upper())
        self.post(describe(self._info()))
        log.info("reloaded %s", fresh.path)

    def _renew_certificate(self, fresh: Settings) -> None:
        """The certificate that phones are shown is read again; where they connect to stays until a restart."""
        new, old = fresh.provisioning, self.settings.provisioning
        if new.listen != old.listen:
            log.warning("reload: provisioning.listen has changed; that needs a restart")
        elif self.tls is not None:
            try:
                fresh.provisioning_tls()
                assert new.certificate_file is not None
                self.tls.load_cert_chain(new.certificate_file, new.key_file)
            except (ConfigError, OSError) as error:
                log.error("the certificate for phones is not renewed: %s", error)

    def _info(self) -> NodeInfo:
        settings = self.settings
        measured = capacity.kept(settings.node.state)
        before = self.federation.directory.shelves.info(self.federation.me)
        return NodeInfo(
            settings.node.address,
            settings.node.site,
            settings.node.weight or (measured.weight if measured else capacity.UNKNOWN),
            settings.calls.trunks,
            self.key.public,
            settings.asterisk.sip_port,
            settings.asterisk.iax_port,
            __version__,
            settings.phone_ports(),
            settings.asterisk.phone_addresses,
            bool(settings.dns.listen),
            self.room.connection.since or (before.asterisk_since if before else 0),
        )


def _state_folder(settings: Settings) -> Path:
    state = settings.node.state
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{settings.path}: node.state = {state}: {error.strerror}") from None
    return state


async def _listen(runner: web.AppRunner, settings: Settings) -> None:
    host, _, port = settings.http.listen.rpartition(":")
    try:
        await web.TCPSite(runner, host.strip("[]"), int(port)).start()
    except OSError as error:
        raise ConfigError(
            f"{settings.path}: http.listen = {settings.http.listen!r}: {error.strerror or error}; "
            "another program has the port, or the address is not this machine's"
        ) from None
