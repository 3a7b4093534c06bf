"""Calls and transfers amid cuts, deaths, refusals and silence of ARI, lost frames: what one seed makes of it, what must hold.

    python -m tests.stories.storm KIND SEED      one storm, with all that was said and done

Who is ready is rung, in time, and who has answered talks (promises.py). No conversation is cut, no phone rings twice for one
call or for nobody, each call ends with a cause and has one record, and nothing of it is left. What cannot be better is left
out, as docs/limits.md has it: a phone that is rung in the stead of a node out of reach, or by a rescue; what rang while no
daemon saw what came of it, or out of reach of who had let it ring; and the record of who was transferred within the last second
before a kill.
"""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from itertools import count
from random import Random
from typing import Any

from pbxfed_ari.core.calls.lines import SLOW
from pbxfed_ari.core.calls.listening import WHISPERS
from pbxfed_ari.core.calls.setup import LIFE
from pbxfed_ari.core.effects import Effect, Reply
from pbxfed_ari.core.events import AriWasSlow, ListenAsked
from tests.stories.exchange import NOTED, Exchange, Telephony
from tests.stories.lines import Lines, Rooms
from tests.stories.patience import Patience
from tests.stories.pbx import CARRIER, LATE, Attempt, Phone, Ring
from tests.stories.promises import SETTLED, SETTLED_AFAR, Promises

NAMES = "abcd"
SITES = ("one", "one", "two", "two")
GROUP, QUEUE, ROOM = "600", "700", "800"
LINES = {"0301": "a", "0302": "c"}  # numbers of the outside, and whose line leads there
BARRED = "barred"  # from a half of what may be dialed
GHOST = 1.0  # seconds after the end of a call in which a ring that was on its way may begin
SAID_AGAIN = 4.0  # seconds after which SIP says again what nobody has heard
UNDER_WAY = 0.1  # seconds until what has become of a ring is known
RETURNING = 1.0  # seconds until a daemon that comes back has read all
COUNTED = ("_calls", "_facts", "_peers", "_waiting", "_ways")  # by core/lines.py
WEATHER, CALM = 60.0, 75.0  # seconds that a storm lasts; twice after it, until all must be over
ENDS = 15.0  # seconds after which it is looked whether all is
CALLS = 25
LATEST = 30.0  # seconds after which a laden Asterisk reads what has come
FIRST_TICKET = 1_000  # of who asks for somebody to listen in
LASTS = (0.5, 2.0, 5.0, 15.0, 40.0)  # seconds, of cuts and absences


@dataclass(frozen=True)
class Storm:
    """What happens, as the seed chooses."""

    cuts: bool = False
    deaths: bool = False  # of daemons
    crashes: bool = False  # of Asterisks
    firewalls: bool = False  # let one kind of trunk pass no more
    transfers: bool = False
    clocks: bool = False  # of machines are set
    sockets: bool = False  # daemons hear their Asterisks no more for a while
    lines: bool = False  # most call the queue or the group
    rooms: bool = False  # most call the conference room
    drains: bool = False  # nodes are drained, some to the end
    limits: bool = False  # one call at once for an extension, and one of its phones takes no more
    edits: bool = False  # of what is called, at any node, amid calls
    records: bool = False  # some conversations
    old: bool = False  # some nodes know the first fields of a waybill only
    sites: bool = False  # two LANs
    listens: bool = False  # calls are listened in on
    outside: bool = False  # it calls inbound numbers, and is called
    roams: bool = False  # phones register at another node
    slow: bool = False  # Asterisks answer late for a moment: what was bridged is handed over then
    refusals: float = 0.0  # share of ARI's answers: 422, 500, or 404 and 409 of what is there
    silences: float = 0.0  # of those that do not come, whether or not it is done
    frames: float = 0.0  # shares of those that are lost, doubled, overtaken
    laden: bool = False  # Asterisks have so much to do that they read what comes by trunks late

    @property
    def severs(self) -> bool:
        """May who talks lose the other?"""
        return self.cuts or self.deaths or self.crashes or self.firewalls

    @property
    def troubles(self) -> float:
        """Share of what is asked of ARI that it does not grant at once."""
        return self.refusals + self.silences


MIXED = "mixed"  # as the seed chooses
SHARE = 0.25  # of all that may happen
STORMS = {
    "calm": Storm(),
    "cuts": Storm(cuts=True),
    "deaths": Storm(deaths=True),
    "crashes": Storm(crashes=True),
    "all": Storm(cuts=True, deaths=True, crashes=True),
    "refusals": Storm(refusals=0.05),
    "silences": Storm(silences=0.05),
    "trouble": Storm(refusals=0.03, silences=0.03, deaths=True, crashes=True),
    "frames": Storm(frames=0.02),
    "transfers": Storm(transfers=True),
    "firewalls": Storm(firewalls=True),
    "clocks": Storm(clocks=True, deaths=True),
    "sockets": Storm(sockets=True),
    "lines": Storm(lines=True),
    "lines amid deaths": Storm(lines=True, deaths=True, sockets=True),
    "lines amid all": Storm(lines=True, cuts=True, crashes=True, sockets=True, refusals=0.02),
    "rooms": Storm(rooms=True, transfers=True),
    "rooms amid all": Storm(rooms=True, deaths=True, cuts=True, crashes=True, refusals=0.02),
    "drains": Storm(drains=True, lines=True, transfers=True),
    "drains amid all": Storm(drains=True, rooms=True, deaths=True, cuts=True),
    "limits": Storm(limits=True, transfers=True, roams=True, slow=True),
    "limits amid deaths": Storm(limits=True, deaths=True, sockets=True),
    "edits": Storm(edits=True, lines=True, transfers=True),
    "edits amid all": Storm(edits=True, lines=True, deaths=True, cuts=True, crashes=True),
    "records": Storm(records=True, transfers=True, deaths=True, crashes=True),
    "old": Storm(old=True, cuts=True, transfers=True),
    "sites": Storm(sites=True, lines=True, rooms=True, transfers=True),
    "sites amid all": Storm(sites=True, cuts=True, deaths=True, crashes=True),
    "sites, roaming": Storm(sites=True, roams=True, cuts=True),
    "listening": Storm(listens=True, transfers=True),
    "listening amid all": Storm(
        listens=True, deaths=True, sockets=True, crashes=True, refusals=0.02
    ),
    "outside": Storm(outside=True, transfers=True, edits=True),
    "outside amid all": Storm(outside=True, deaths=True, crashes=True, cuts=True, sockets=True),
    "transfers amid deaths": Storm(transfers=True, deaths=True),
    "slow": Storm(slow=True, transfers=True),
    "slow amid deaths": Storm(slow=True, deaths=True, sockets=True),
    "roaming": Storm(roams=True, transfers=True),
    "roaming amid cuts": Storm(roams=True, cuts=True),
    "transfers amid all": Storm(transfers=True, cuts=True, refusals=0.02, silences=0.02),
    "laden": Storm(laden=True),
    "laden amid deaths": Storm(laden=True, deaths=True, crashes=True),
    "laden amid all": Storm(laden=True, cuts=True, sockets=True, clocks=True, firewalls=True),
    "laden, transfers": Storm(laden=True, transfers=True, lines=True),
    MIXED: Storm(),
}


def mixture(seed: int) -> Storm:
    """Some of all that may happen, together."""
    rng, some = Random(f"mixture {seed}"), dict[str, Any]()
    for one in fields(Storm):
        if rng.random() < SHARE:
            some[one.name] = True if one.default is False else 0.02
    return Storm(**some)


def play(kind: str, seed: int, log: list[str] | None = None) -> list[str]:
    """What was wrong."""
    return Weather(mixture(seed) if kind == MIXED else STORMS[kind], seed, log).play()


class Weather:
    """One storm."""

    def __init__(self, storm: Storm, seed: int, log: list[str] | None = None) -> None:
        self.storm, self.rng = storm, Random(f"storm {seed}")
        modes = [self.rng.choice(("handover", "bridge")) for _ in NAMES]
        sites = dict(zip(NAMES, SITES, strict=True)) if storm.sites else None
        self.world = Telephony(seed, NAMES, control=modes, sites=sites)
        self.world.log = log
        network = self.world.network
        network.loss = network.doubled = network.overtaken = storm.frames
        self.refused: Counter[object] = Counter()
        self.asked: list[tuple[int, Exchange]] = []  # who shall listen in, and where
        self.troubled: dict[str, list[float]] = {name: [] for name in NAMES}
        self.phones = self._people()

    def play(self) -> list[str]:
        """It comes and goes; who talks then hangs up, and all must be over."""
        world, rng = self.world, self.rng
        world.run(2.0)
        world.watch()
        world.faults = self._refuse
        storm, often = self.storm, list[tuple[int, Callable[[], None]]]()
        often += [
            (CALLS * (8 if storm.laden else 1), self._call),
            (6 * storm.clocks, self._set_clock),
        ]
        often += [(20 * storm.transfers, self._transfer), (30 * storm.slow, self._slow)]
        often += [(12 * storm.roams, self._roam), (8 * storm.drains, self._drain)]
        often += [(15 * storm.edits, self._edit), (30 * storm.listens, self._listen)]
        often += [(12 * storm.firewalls, self._firewall), (8 * storm.laden, self._lade)]
        for times, do in often:
            for _ in range(times):
                world.after(rng.random() * WEATHER, do)
        happen: list[Callable[[], None]] = []
        happen += [self._cut] * 3 * storm.cuts + [self._death] * 3 * storm.deaths
        happen += [self._crash] * storm.crashes + [self._deafen] * 3 * storm.sockets
        for _ in range(rng.randrange(2, 8) if happen else 0):
            world.after(rng.random() * WEATHER, rng.choice(happen))
        world.run(WEATHER)
        world.heal()
        world.faults = lambda node, effect: ""
        for name in NAMES:
            world.lade(name, None, LATEST)
            self._mend(name)
            world[name].connect()
            world.undrain(name)
        world.run(CALM)
        for phone in self.phones:
            world.hang_up(phone)
        ended = world.now
        while world.now < ended + CALM and (world.now == ended or self._left()):
            world.run(ENDS)
        wrong = [*world.wrong, *self._rings(), *self._ends(), *self._left(), *self._records()]
        wrong += [*self._recordings(), *self._listeners(), *self._twice()]
        wrong += Patience(world).broken() if storm.laden else []
        return [*wrong, *Promises(world).broken(), *Lines(world).broken(), *Rooms(world).broken()]

    # --- who is there, and what happens

    def _people(self) -> list[Phone]:
        world, rng, admin = self.world, self.rng, self.world["a"]
        numbers, out = (
            [str(1000 + n) for n in range(1, 49 if self.storm.laden else 13)],
            [*LINES] if self.storm.outside else [],
        )
        phones: list[Phone] = []
        for number in numbers:
            rings = rng.choice((0, 0, 5))
            admin.edit(number, create=True, secret="secret-12345", ring_seconds=rings, devices=2)
        world.run(1.0)  # who is nobody yet cannot register
        for number in numbers:
            manners = ("answers", "rings", "busy", "declines", rng.choice(numbers))
            manner, after = rng.choices(manners, (8, 3, 1, 1, 1))[0], rng.choice((0.3, 1, 3, 8))
            phones.append(world.add(number, rng.choice(NAMES), manner, after))
        if rng.random() < 0.5:
            first = rng.choice(phones)
            phones.append(world.add(first.number, rng.choice(NAMES), "rings", first.after))
        for number in rng.sample(numbers, 4):
            way = rng.choice(("busy", "no_answer", "unreachable", "always"))
            others = [n for n in (*numbers, *out) if n != number]
            forwards: dict[str, Any] = {f"forward_{way}": rng.choice(others)}
            admin.edit(number, **forwards)
        hunt, members = rng.choice(("all", "hunt", "random")), rng.sample(numbers, 4)
        admin.put("group", GROUP, create=True, members=members, strategy=hunt, ring_seconds=5)
        queue: dict[str, Any] = {"members": rng.sample(numbers, 3), "wait_seconds": 30}
        if self.storm.lines:
            queue["strategy"] = rng.choice(("round_robin", "hunt", "all"))
            queue["otherwise"] = rng.choice(("", numbers[0]))
        admin.put("queue", QUEUE, create=True, **queue)
        if self.storm.rooms:
            admin.put("room", ROOM, create=True)
        for number, line in LINES.items() if self.storm.outside else ():
            trunk: dict[str, Any] = {"nodes": [line], "patterns": [number], "endpoint": CARRIER}
            admin.put("trunk", f"by-{line}", create=True, site="main", **trunk)
            to = rng.choice([*numbers, GROUP])
            admin.put("did", f"+49{number}", create=True, destination=to)
            manner, after = rng.choice(("answers", "rings", "busy")), rng.choice((0.3, 1, 3, 8))
            phones.append(world.add_outside(number, line, manner, after))
        if self.storm.edits:
            admin.put("class", BARRED, create=True, deny=["_0.", "_100[1-6]"])
        for number in numbers if self.storm.limits else ():
            admin.edit(number, call_limit=1)
        for number in rng.sample(numbers, 6) if self.storm.records else ():
            admin.edit(number, record=True)
        if self.storm.old:
            world.old = {name: rng.randrange(3, 9) for name in rng.sample(NAMES, 2)}
        return phones

    def _call(self) -> None:
        world, rng = self.world, self.rng
        free = [p for p in self.phones if not p.dialogs and p.channel is None and not p.at.dead]
        if not free:
            return
        phone = rng.choice(free)
        others = [p.number for p in self.phones if p.number != phone.number]
        laden = [p.number for p in self.phones if p.at.laden and p.at is not phone.at]
        others = laden if laden and rng.random() < 0.7 else others
        lines = [GROUP, QUEUE, QUEUE] * 8 if self.storm.lines else [GROUP, GROUP, QUEUE]
        lines += [ROOM] * 16 * self.storm.rooms
        dids = [f"+49{number}" for number in LINES]
        attempt = world.dial(phone, rng.choice(dids if phone.outside else [*others, *lines]))
        patience = rng.choice((1.0, 3.0, 10.0, 40.0, 90.0))
        world.after(patience, lambda: self._hang_up(phone, attempt))

    @property
    def _own(self) -> list[Phone]:
        """That are not outside."""
        return [phone for phone in self.phones if not phone.outside]

    def _hang_up(self, phone: Phone, attempt: Attempt) -> None:
        if phone.attempt is attempt:
            self.world.hang_up(phone)

    def _transfer(self) -> None:
        """Blind; or a phone that was called asks another first, whom it connects with its caller if he answers."""
        world, rng = self.world, self.rng
        talking = [phone for phone in self._own if len(world.talks(phone)) == 1]
        if not talking:
            return
        taken = (ring for one in self._all if one.number == QUEUE for ring in one.rings)
        if any(abs(world.now - ring.answered) < UNDER_WAY for ring in taken):
            return  # who transfers as a member answers has given his place up
        phone = rng.choice(talking)
        others = [p for p in self.phones if p.number != phone.number]
        ready = [p for p in others if not p.dialogs and p.channel is None]
        number = rng.choice(ready or others).number
        if self.storm.rooms and rng.random() < 0.3:
            number = ROOM
        if phone.channel is not None or rng.random() < 0.5:
            world.transfer(phone, number)
            return
        attempt = world.dial(phone, number)
        world.after(6.0, lambda: self._connect(phone, attempt))

    def _connect(self, phone: Phone, attempt: Attempt) -> None:
        if phone.attempt is attempt and len(self.world.talks(phone)) == 2:
            self.world.transfer(phone)
        else:
            self._hang_up(phone, attempt)

    def _set_clock(self) -> None:
        """By seconds, as after a boot; or by an hour, by hand."""
        name = self.rng.choice(NAMES)
        step = self.rng.choice((-3_600, -60, -8, -2, 2, 8, 60, 3_600))
        self.world.note(f"clock of {name} set by {step} s")
        self.world.set_clock(name, step)

    def _cut(self) -> None:
        world, rng = self.world, self.rng
        some = rng.sample(NAMES, rng.choice((1, 1, 2)))
        if self.storm.sites and rng.random() < 0.5:
            some = list(NAMES[:2])  # a whole site
        one_way, lasts = rng.random() < 0.2, rng.choice(LASTS)
        world.note(f"cut: {some}{' one way' if one_way else ''} for {lasts} s")
        world.cut(some, one_way=one_way)
        world.after(lasts, world.heal)

    def _firewall(self) -> None:
        """Between a and b, or c and d: what was found out of the one kind matters when it is the other one's turn."""
        kind, (one, other) = (
            self.rng.choice(("sip", "iax2")),
            self.rng.choice((("a", "b"), ("c", "d"))),
        )
        lasts = self.rng.choice(LASTS)
        self.world.note(f"{kind} blocked between {one} and {other} for {lasts} s")
        self.world.block(kind, one, other)
        self.world.after(lasts, partial(self.world.block, kind, one, other, on=False))

    def _death(self) -> None:
        world, name = self.world, self.rng.choice(NAMES)
        if not world[name].stopped:
            self.troubled[name].append(world.now)
            world.kill(name)
            lasts = self.rng.choice(LASTS)
            world.after(lasts, partial(self._mend, name))

    def _deafen(self) -> None:
        world, name = self.world, self.rng.choice(NAMES)
        if not world[name].stopped:
            self.troubled[name].append(world.now)
            world.deafen(name)
            world.after(self.rng.choice(LASTS), world[name].connect)

    def _roam(self) -> None:
        """A phone registers at another node, maybe amid a call; the one where it was hears of that from there."""
        world, rng = self.world, self.rng
        idle = [p for p in self._own if not p.dialogs and p.channel is None]
        some = idle if rng.random() < 0.5 else self._own
        name, phone = rng.choice(NAMES), rng.choice(some or self._own)
        if name != phone.at.name:
            world.note(f"{phone} registers at {name}")
            world.move(phone, name)

    def _listen(self) -> None:
        """Somebody shall hear a call that goes on, and be heard or not."""
        world, rng = self.world, self.rng
        living = [node for node in world.nodes.values() if not node.stopped]
        talking = [(node, call) for node in living for call in node.switchboard if call.answered]
        found = [(node, call.id) for node, call in talking if not call.bill or rng.random() < 0.1]
        idle = [p for p in self.phones if not p.dialogs and p.channel is None]
        ready = [p for p in idle if p.manner == "answers" and p.after < 3]
        if found:
            node, call = rng.choice(found)
            number = rng.choice(ready or self.phones).number
            heard_by, ticket = rng.choice([*WHISPERS]), FIRST_TICKET + len(self.asked)
            self.asked.append((ticket, node))
            node.handle(ListenAsked(ticket, call, number, heard_by, world.fresh_id()))

    def _drain(self) -> None:
        """For a while; some have an end, at which calls that are left are ended, and some come back while they drain."""
        world, name, lasts = self.world, self.rng.choice(NAMES), self.rng.choice(LASTS)
        ends = self.rng.random() < 0.3
        if not world[name].stopped:
            world.drain(name, int(lasts), ends=ends)
            world.after(2 * lasts, partial(world.undrain, name))

    def _edit(self) -> None:
        """At any node; a group or queue that is dropped is there again after a while."""
        world, rng = self.world, self.rng
        numbers = [phone.number for phone in self._own]
        kinds = [("group", GROUP), ("queue", QUEUE), ("extension", rng.choice(numbers))]
        kinds += [("did", f"+49{number}") for number in LINES if self.storm.outside]
        kind, key = rng.choice(kinds)
        fields: dict[str, Any] = {"members": rng.sample(numbers, 3), "ring_seconds": 4}
        if kind == "extension":
            way = rng.choice(("always", "busy", "no_answer"))
            fields = {f"forward_{way}": rng.choice(("", *numbers)), "dnd": rng.random() < 0.3}
            fields["calling_class"] = rng.choice(("", BARRED))
            world.barred |= {key} if fields["calling_class"] else set()
        elif kind == "did":
            fields = {"destination": rng.choice((GROUP, *numbers))}
        node, drop = world[rng.choice(NAMES)], kind != "extension" and rng.random() < 0.3
        if node.stopped:
            return
        world.edited.add(key)
        world.note(f"{kind} {key} of {node.name}: {'dropped' if drop else fields}")
        if drop:
            node.drop(kind, key)
            world.after(rng.choice(LASTS), partial(node.put, kind, key, create=True, **fields))
        else:
            node.put(kind, key, **fields)

    def _slow(self) -> None:
        """For CALM seconds (core/calls/lines.py) it makes no bridges: one try may be bridged, and the next handed over."""
        name = self.rng.choice(NAMES)
        self.world.note(f"asterisk {name} is slow")
        self.world[name].handle(AriWasSlow(SLOW))

    def _lade(self) -> None:
        """Some of what comes is read soon, and some after so long; or all of it at once, when it is over."""
        world, rng = self.world, self.rng
        name, lasts = rng.choice(NAMES), rng.choice(LASTS[2:])
        longest = rng.choice((5.0, 12.0, LATEST))
        over, share = world.now + lasts, rng.choice((0.2, 0.5, 0.8))
        if rng.random() < 0.2:
            lasts = min(lasts, LATEST)
            world.lade(name, lambda: max(0.0, over - world.now), 0.0)
        else:
            world.lade(name, partial(self._waits, share, longest), longest)
        world.note(f"asterisk {name} has much to do for {lasts} s")
        world.after(lasts, partial(world.lade, name, None, longest))

    def _waits(self, share: float, longest: float) -> float:
        return self.rng.uniform(3.0, longest) if self.rng.random() < share else self.rng.random()

    def _crash(self) -> None:
        world, name = self.world, self.rng.choice(NAMES)
        if not world.pbxs[name].dead:
            self.troubled[name].append(world.now)
            world.kill_asterisk(name, surely=self.rng.random() < 0.5)
            lasts = self.rng.choice(LASTS)
            world.after(lasts, partial(self._mend, name))

    def _mend(self, name: str) -> None:
        if self.world.pbxs[name].dead:
            self.world.start_asterisk(name)
        if self.world[name].stopped:
            self.world.start(name)

    def _refuse(self, node: Exchange, effect: Effect) -> str:
        """What is asked for a third time is granted: else it stays, and nobody could help."""
        asked = (node.name, effect)
        self.refused[asked] += 1
        if self.refused[asked] > 2 or (chance := self.rng.random()) >= self.storm.troubles:
            return ""
        ways = ("declined", "absent") if chance < self.storm.refusals else ("silent", "lost")
        return self.rng.choice(ways)

    # --- what must hold

    def _rings(self) -> list[str]:
        wrong: list[str] = []
        for one in self._all:
            rung: dict[str, Ring] = {}
            for ring in one.rings:
                said = f"{_named(one)}: {ring.phone} at {ring.at:.3f}"
                before = rung.get(ring.phone.uri)
                rung[ring.phone.uri] = ring
                if ring.anew and self.storm.severs:
                    continue
                over = one.ended is not None and ring.at > one.ended + GHOST
                untold = one.number == QUEUE and self._untold(one)
                if one.cause and over and not (untold or self._unheard(one, ring)):
                    wrong.append(f"ghost: {said}, ended at {one.ended:.3f}")
                if before and one.number != QUEUE and not self._excused(one, before, ring):
                    wrong.append(f"second ring: {said}, first at {before.at:.3f}")
        return wrong

    def _unheard(self, one: Attempt, ring: Ring) -> bool:
        """Could nobody tell the phone's node of its end: no daemon has sent it, or nothing passed between the two since?

        What an Asterisk alone has sent has no date: it rings for a moment, if it is heard so late, or longer, if that one hears
        nothing of it.
        """
        began, ended, here = one.began, one.ended or self.world.now, one.caller.was_at(one.began)
        way = self.world.history.of["way", frozenset((here, ring.by))]
        laden = self.world.history.of["laden", ring.by].touch(ring.at, ring.at)  # reads CANCEL late
        under_way = UNDER_WAY + LATE * laden
        short = ring.until - ring.at < under_way or way.touch(ring.at, ring.at)
        alone = self.world.was_alone(here, began) and short
        return ring.unasked or alone or way.fill(ended, max(ended, ring.at - SAID_AGAIN))

    def _untold(self, one: Attempt) -> bool:
        """May the node of the queue not have heard of its end: by no way, or of nobody?"""
        ended = one.ended or self.world.now
        return self.storm.cuts or self.world.was_alone(one.caller.was_at(one.began), ended)

    def _excused(self, one: Attempt, before: Ring, ring: Ring) -> bool:
        names = {one.caller.was_at(one.began), one.at.name, before.by, ring.by}
        since, until = before.until - RETURNING, before.until + UNDER_WAY
        deaf = any(self.world.history.of["deaf", name].touch(since, until) for name in names)
        bridge = [name for name in names if self.world.control[name] == "bridge"]  # Dial tells it
        away = any(self.world.was_away(name, since, until) for name in bridge)
        away |= any(self.world.was_killed(name, since, before.until + NOTED) for name in bridge)
        moved = self.world.history.of["moved", ring.phone.uri].touch(ring.at - SETTLED, ring.at)
        instead = (ring.instead or before.instead) and (self.storm.severs or moved)
        vague = self._vague(one, before, ring)
        known = not (ring.unasked or self._unknown(one, before))
        return deaf or away or instead or vague or not known

    def _vague(self, one: Attempt, before: Ring, ring: Ring) -> bool:
        """Has its phone sent on whom it may not send: its own caller, or a group's? He is looked for as if it was not there."""
        to, here = ring.phone.manner, one.at.name
        vague = to == one.caller.number or (one.number == GROUP and to.isdigit())
        return vague and (ring.by != before.by or self.world.was_away(here, before.at, ring.at))

    def _unknown(self, one: Attempt, ring: Ring) -> bool:
        """Could who let it ring not know of it: was there no way from the phone's node as long as one waits for a word?

        It may never have rung, or for a blink: of a cut between sites one hears late. So it is rung when its node is back, in a
        group in turn after another one.
        """
        way = self.world.history.of["way", frozenset((one.at.name, ring.by))]
        rang = ring.at + UNDER_WAY  # until then nothing is said of it
        at, laden = ring.at, self.world.history.of["laden", ring.by]  # it was given up just then
        late = laden.touch(at, at) or (self.storm.sites and way.touch(at - SETTLED_AFAR, at))
        blink = late and ring.until < rang
        return blink or way.fill(rang, max(rang, min(ring.until, ring.at + LIFE)))

    def _ends(self) -> list[str]:
        return [f"no end: {_named(one)}" for one in self._all if one.ended is None]

    @property
    def _all(self) -> list[Attempt]:
        return [*self.world.attempts, *self.world.transferred]

    def _left(self) -> list[str]:
        wrong: list[str] = []
        for name, pbx in self.world.pbxs.items():
            if pbx.channels or pbx.bridges:
                left = [(c.name, c.place, c.args) for c in pbx.channels.values()]
                wrong.append(f"left at {name}: {left} {list(pbx.bridges)}")
            node = self.world[name]
            calls, usage = node.switchboard.calls, node.switchboard.usage
            ways = ("_calls", "_by_key", "_by_leg", "_by_id", "put", "listening")
            kept = {
                **{what: getattr(calls, what) for what in ways},
                **{what: getattr(calls.agenda, what) for what in ("calls", "_due", "_heap")},
                **{what: getattr(usage, what) for what in COUNTED},
                "rooms": calls.attendance._rooms,
                "listeners": node.switchboard._supervision._listeners,
                "notes": self.world.notes[name],
                "stands": node.federation.directory.shelves.places,
            }
            found = {what: list(one) for what, one in kept.items() if one}
            wrong += [f"left in the switchboard of {name}: {found}"] if found else []
        wrong += [] if self.world.agree() else ["the nodes do not know the same"]
        return [*wrong, *(f"left: {p}" for p in self.phones if p.dialogs or p.channel)]

    def _records(self) -> list[str]:
        """One of each; none, perhaps, if it began or ended when its daemon was not there."""
        kept = [one for of in self.world.records.values() for one in of if not one.peer]
        dialed = {(one.caller.number, one.wall_ms, one.number) for one in self.world.attempts}
        came = [
            one for one in kept if one.by and (one.caller, one.began_ms, one.number) not in dialed
        ]
        found = Counter((one.caller, one.began_ms) for one in kept if one not in came)
        wrong: list[str] = []
        for one in self.world.attempts:
            times, ended = found[one.caller.number, one.wall_ms], one.ended or self.world.now
            near = any(
                one.began - 45 < at < ended + 2
                for at in self.troubled[one.caller.was_at(one.began)]
            )
            if times > 1 or (times == 0 and not near):
                wrong.append(f"{times} records: {_named(one)}, ended at {ended:.3f}")
        heard = self.world.sent
        unnoted = sum(self.world.was_killed(name, at, at + NOTED) for name, at in heard)
        if not len(heard) - unnoted <= len(came) <= len(heard):
            wrong.append(f"{len(heard)} were transferred, and {len(came)} have records")
        return wrong

    def _twice(self) -> list[str]:
        """A phone that would have rung for a call that it rings for already."""
        return [
            f"twice: {_named(one)}: {ring.phone} at {ring.at:.3f}, rings from {before.at:.3f}"
            for one, before, ring in self.world.twice
            if one.number != QUEUE and not self._excused(one, before, ring)
        ]

    def _listeners(self) -> list[str]:
        """Who asks for somebody to listen in is answered once, if his daemon lives."""
        wrong: list[str] = []
        for ticket, node in self.asked:
            said = [e for e in node.effects if isinstance(e, Reply) and e.ticket == ticket]
            if len(said) > 1 or not (said or node.stopped):
                wrong.append(f"{len(said)} answers to {ticket}, who asked {node.name} to listen")
        return wrong

    def _recordings(self) -> list[str]:
        """Each that was made is named by one record, and no others; and who wants one has it."""
        marked = {
            p.number for p in self.phones if getattr(self.world.item(p.number), "record", False)
        }
        made, wrong = self.world.recorded, list[str]()
        kept = [one for of in self.world.records.values() for one in of if one.recording]
        said = Counter(one.recording for one in kept)
        wrong += [f"not made: {one}" for one in kept if one.answered and one.recording not in made]
        for name, one in made.items():
            near = any(one.began - 45 < at for of in self.troubled.values() for at in of)
            if said[name] > 1 or (said[name] == 0 and not near):
                wrong.append(f"{said[name]} records name {name}: {_named(one)}")
        for one, phone, at, talks in self.world.answers:
            asked = any(r.phone is phone and r.answered == at and not r.unasked for r in one.rings)
            wants = marked & {one.caller.number, one.number, phone.number}
            alone = self.world.was_alone(one.at.name, one.began)
            if talks and asked and wants and not alone and one not in made.values():
                wrong.append(f"not recorded: {_named(one)}, answered by {phone} at {at:.3f}")
        return wrong


def _named(one: Attempt) -> str:
    return f"{one.caller} → {one.number} at {one.began:.3f}"


def search(kind: str, seeds: range) -> tuple[int, list[str]]:
    """How many were played, and what was wrong."""
    wrong: list[str] = []
    for seed in seeds:
        command = f"python -m tests.stories.storm {kind} {seed}"
        try:
            wrong += [f"FAILED {command}: {one[:300]}" for one in play(kind, seed)]
        except Exception as error:
            wrong.append(f"FAILED {command}: {type(error).__name__}: {error}")
    return len(seeds), wrong


if __name__ == "__main__":
    told: list[str] = []
    for number, line in zip(count(1), [*play(sys.argv[1], int(sys.argv[2]), told)], strict=False):
        told.append(f"{number}. {line}")
    print(*told, sep="\n")
