"""Fuzzing: frames that an outsider damages, records or makes up; and nonsense that a member seals.

An outsider's frames are counted and change nothing at all. A member is trusted for content, but its mistakes must not raise,
hang, make others talk without bound, or reach what is not its own: whatever it says, its peers go on with one another.

PBXFED_FUZZ is the number of inputs of each kind, PBXFED_FUZZ_SEED the seed; both are printed.
"""

import os
import types
import typing
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from random import Random
from typing import Any

import msgspec
import pytest

from pbxfed_ari.core import messages as m
from pbxfed_ari.core.events import Address, wan
from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.errors import WireError
from pbxfed_ari.links.post import NOTICE, Post
from pbxfed_ari.wire import codec
from pbxfed_ari.wire.codec import MAX_PAYLOAD
from pbxfed_ari.wire.identity import NodeKey
from pbxfed_ari.wire.seal import SALT, Seal
from tests.stories.world import KEY, World

INPUTS = int(os.environ.get("PBXFED_FUZZ", "15000"))
SEED = int(os.environ.get("PBXFED_FUZZ_SEED", "1"))
SECRET = "abcdEFGH1234"
URI = "sip:1001@10.1.0.7:5060"
REPLIES = (
    50  # frames that one frame may cause at once: WINDOW pieces, ENTRIES lineages, some questions
)
_pack = msgspec.msgpack.encode

NUMBERS = (
    0,
    1,
    2,
    7,
    255,
    65_535,
    2**31,
    2**32,
    2**40,
    2**40 - 1,
    2**48,
    2**53 - 1,
    2**53,
    1_800_000_000,
    1_800_000_500,
    2**60,
    2**63,
    2**64 - 1,
    -1,
    -(2**63),
)
TEXTS = (
    "",
    "a",
    "b",
    "c",
    "zz",
    "../x",
    "pf-b",
    "a\nb",
    "\x00",
    "é" * 20,
    "x" * 300,
    "n",
    "l",
    "c1001 " + URI,
    "c1001 ~CgAABxPE",
    "c",
    "10.0.0.3",
    "::1",
    "wan:",
)
BYTES = (
    b"",
    b"\x00",
    b"\xff" * 9,
    b"x" * 9,
    bytes(range(200)),
    _pack("1001"),
    _pack("\n"),
    _pack(-1),
    _pack([[1, 2**63]]),
    _pack([[1_800_000_000, 2**52]]),
    b"\x92\xa1\xff\xa1b" * 5,
    b"\x99\xa810.0.0.1\xa1b\x01\x90\xc4\x20" + bytes(32) + b"\x00\x00\xa0" + b"\x91" * 1_030,
)


def wild(rng: Random) -> Any:
    """Any value that MessagePack knows."""
    match rng.randrange(8):
        case 0 | 1:
            return rng.choice(NUMBERS)
        case 2:
            return rng.choice(TEXTS)
        case 3:
            return rng.choice(BYTES)
        case 4:
            return rng.choice((None, True, False, 1.5, float("nan"), {}, {"a": 1}))
        case 5:
            return [wild(rng) for _ in range(rng.randrange(4))]
        case 6:
            return [rng.choice(NUMBERS)] * rng.randrange(200)
        case _:
            return rng.randrange(2**32)


def well_typed(kind: Any, rng: Random) -> Any:
    """A value of this type, as absurd as the type allows."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _within(args[0], args[1], rng)
    if origin is tuple and args[-1] is Ellipsis:
        return [well_typed(args[0], rng) for _ in range(rng.choice((0, 1, 2, 3, 40)))]
    if origin is tuple:
        return [well_typed(arg, rng) for arg in args]
    if origin in (typing.Union, types.UnionType):
        return well_typed(rng.choice(args), rng)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind, include_extras=True)
        tag = kind.__struct_config__.tag
        head = [] if tag is None else [tag]
        return [*head, *(well_typed(hints[f], rng) for f in kind.__struct_fields__)]
    if kind is int:
        return rng.choice((*NUMBERS, rng.randrange(100)))
    choices: dict[Any, tuple[object, ...]] = {
        str: TEXTS,
        bytes: BYTES,
        bool: (True, False),
        type(None): (None,),
    }
    return rng.choice(choices[kind])


def _within(kind: Any, limits: msgspec.Meta, rng: Random) -> Any:
    """A value at the edge of what is allowed, most of the time."""
    choices: list[Any] = [*(NUMBERS if kind is int else TEXTS)]
    for _ in range(5):
        value = rng.choice(choices)
        try:
            return msgspec.convert(value, typing.Annotated[kind, limits])
        except msgspec.ValidationError:
            continue
    return value


def packed(value: Any) -> Any:
    """As it travels: records are packed (wire/codec.py). What is no message is left as it is."""
    with suppress(ValueError, TypeError, OverflowError):
        message = msgspec.convert(value, m.Delta | m.Piece | m.Pieces)
        return msgspec.msgpack.decode(_pack(codec._packed(message)))
    return value


def mutated(value: Any, rng: Random) -> Any:
    """The same with one thing changed somewhere inside."""
    if not isinstance(value, list) or not value or rng.random() < 0.1:
        if isinstance(value, int) and not isinstance(value, bool) and rng.random() < 0.5:
            return max(-(2**63), min(2**64 - 1, value + rng.choice((-1, 1, 2**20, 2**50))))
        return wild(rng)
    at = rng.randrange(len(value))
    match rng.randrange(8):
        case 0:
            return value[:at] + value[at + 1 :]
        case 1:
            return value[: at + 1] + value[at:]
        case 2:
            return [*value, wild(rng)]
        case _:
            return [*value[:at], mutated(value[at], rng), *value[at + 1 :]]


def swollen(value: Any, rng: Random) -> Any:
    """The same with one of its lists as long as a deflated message allows."""
    if not isinstance(value, list):
        return value
    lists = [at for at, item in enumerate(value) if isinstance(item, list)]
    if not lists:
        return value
    at = rng.choice(lists)
    return [*value[:at], value[at] * rng.choice((1, 30, 800)), *value[at + 1 :]]


def deposes(data: bytes) -> bool:
    """Does this tell a that it has lived later, or has a namesake? It would start again, as it should, and miss the rest."""
    with suppress(WireError):
        match codec.decode(data):
            case m.Lineage(origin):
                return origin == "a"
            case m.SiteReport(nodes=nodes):
                return "a" in [node[0] for node in nodes]
    return False


class Bench:
    """Three nodes that have lived a little: a is fuzzed, b is the member whose words are bent, c is the witness."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.recorded: list[tuple[bytes, Address]] = []
        self.said: list[list[Any]] = []
        self.world = World(seed, "abc", settle=0)
        self.world.network.drop = self._record
        self._live()
        self.restarts: Counter[str] = Counter()  # by reason

    def _record(self, frame: bytes, source: str, to: str) -> bool:
        if to == "10.0.0.1" and len(self.recorded) < 5_000:
            self.recorded.append((frame, (source, m.PORT)))
        return False

    def _live(self) -> None:
        """A little of everything, so that there are real frames of many kinds."""
        world = self.world
        frame = world["b"].post.frame

        def said(message: m.AnyMessage, key: bytes = b"") -> bytes:
            self.said.append(msgspec.msgpack.decode(_pack(message)))
            return frame(message, key)

        world["b"].post.frame = said  # type: ignore[method-assign]
        world.run(2)
        world["a"].edit("1001", name="Reception", secret=SECRET)
        world["b"].edit("1002", name="Workshop", secret=SECRET, devices=2)
        world["b"].register("1002", "sip:1002@10.1.0.8:5060")
        world["c"].register("1001", URI)
        world.run(2)
        world.kill("c")
        world["b"].edit("1003", name="Cellar", secret=SECRET)
        world["b"].remove("1002")
        world.run(4)
        world.boot("c")
        world["c"].register("1001", URI)
        world.run(4)
        assert world.agree()
        world["b"].post.frame = frame  # type: ignore[method-assign]
        world.network.drop = lambda frame, source, to: False

    def state(self) -> object:
        """All that a holds and thinks, in a form that can be compared."""
        federation = self.world["a"].federation
        return (
            federation.directory.streams.vector(),
            federation.directory.catalogue.phones(),
            [(peer.name, peer.epoch, peer.state) for peer in federation.members],
            federation.view.ring.weights,
        )

    def payload(self) -> bytes:
        """What b might say if it were broken."""
        kinds = typing.get_args(m.AnyMessage)
        while True:
            value = self.rng.choice(self.said)
            if self.rng.random() < 0.4:
                value = packed(well_typed(self.rng.choice(kinds), self.rng))
            for _ in range(self.rng.randrange(4)):
                value = mutated(value, self.rng)
            if self.rng.random() < 0.05:
                value = swollen(value, self.rng)
            data = _pack(value)
            if self.rng.random() < 0.05:
                data = data[: self.rng.randrange(len(data) + 1)] + self.rng.randbytes(3)
            if len(data) > 200 or self.rng.random() < 0.05:
                data = codec._deflated(data)
            if len(data) <= MAX_PAYLOAD and (self.rng.random() < 0.01 or not deposes(data)):
                return data

    def frame(self) -> tuple[bytes, Address]:
        """A frame with a true seal around it: of b's session, or of a new one that introduces itself."""
        source = self.rng.choice((("10.0.0.2", m.PORT), ("10.0.0.9", m.PORT), wan()))
        b, payload = self.world["b"], self.payload()
        if self.rng.random() < 0.1:
            salt = self.rng.randbytes(SALT)
            signed = b.key.sign(salt + payload) + payload
            return Seal(KEY, salt).seal(signed, introducing=True), source
        if self.rng.random() < 0.05:
            header = bytes((NOTICE,)) + b.post.seal.salt + b.post.seal.count() + b.key.public
            return header + b.key.wrap(self.world["a"].key.public, payload, header), source
        return b.post.seal.seal(payload), source

    def revive(self) -> None:
        """A node may be told to start again (its name is taken, a later epoch of it is known): so it does."""
        for name in "abc":
            if self.world[name].stopped:
                self.restarts[self.world[name].stopped] += 1
                self.world.boot(name)
                self.world.run(2)

    def works(self) -> None:
        """What b says about itself is its own affair; a and c go on with one another."""
        self.revive()
        assert self.world.run(60, self._talk), "a and c do not understand one another any more"

    def _talk(self) -> bool:
        world, number = self.world, Extension("1001")
        self.revive()
        world.run(2)
        name = f"at {world.now:.0f}"
        if world["a"].edit("1001", name=name, secret=SECRET).error:
            return False
        world.run(3)
        phone = world["c"].federation.view.phone(number)
        return phone is not None and phone.name == name


@pytest.fixture(scope="module")
def bench() -> Bench:
    print(f"fuzz: {INPUTS} inputs of each kind, seed {SEED}")
    return Bench(SEED)


def outsiders(bench: Bench) -> Iterator[tuple[bytes, Address]]:
    """Recorded frames, damaged in every way; made-up ones; frames of another key."""
    rng = bench.rng
    key = NodeKey(bytes(32), NodeName("b"))
    stranger = Post(Seal(bytes(32), rng.randbytes(SALT)), key, who=lambda _: None)
    hello = m.Hello("b", 7, "10.0.0.9", m.PORT, signing=key.signing, public=key.public)
    others = [stranger.frame(hello), stranger.frame(m.Probe(1))]
    notice = stranger.frame(m.Refusal(bench.world["a"].key.public, "expelled"))
    for _ in range(INPUTS):
        frame, source = rng.choice(bench.recorded)
        match rng.randrange(8):
            case 0:
                frame = frame[: rng.randrange(len(frame))]
            case 1 | 2:
                at = rng.randrange(len(frame) * 8)
                damaged = bytearray(frame)
                damaged[at // 8] ^= 1 << at % 8
                frame = bytes(damaged)
            case 3:
                frame = rng.randbytes(rng.randrange(1_500))
            case 4:
                frame = frame + rng.randbytes(
                    rng.randrange(1, 60_000 if rng.random() < 0.01 else 90)
                )
            case 5:
                frame = frame[:20] + rng.choice(bench.recorded)[0][20:] + b"!"
            case 6:
                frame = bytes((rng.choice((0x11, 0x12)),)) + rng.randbytes(rng.randrange(100))
            case _:
                frame = rng.choice((frame, notice, *others))
        yield frame, source if rng.random() < 0.5 else ("192.0.2.1", m.PORT)


def test_frames_of_outsiders_change_nothing(bench: Bench) -> None:
    """Wrong key, replayed, truncated, flipped, oversized, random: dropped, counted by reason."""
    a = bench.world["a"]
    before, dropped = bench.state(), sum(a.post.dropped.values())
    sent = a.world.network.frames["10.0.0.1"]
    for number, (frame, source) in enumerate(outsiders(bench)):
        try:
            a.receive(frame, source)
        except Exception as error:
            raise AssertionError(f"seed {SEED}, frame {number}: {frame.hex()}") from error
    assert bench.state() == before
    assert sum(a.post.dropped.values()) - dropped == INPUTS
    assert set(a.post.dropped) <= {"malformed", "version", "session", "seal", "replay", "key"}
    assert a.world.network.frames["10.0.0.1"] - sent <= 20, "strangers must not make us talk"
    bench.works()


def test_nonsense_of_a_member_raises_nothing_and_does_not_spread(bench: Bench) -> None:
    """Wild numbers, wrong names, empty and endless lists under a good seal."""
    world, network = bench.world, bench.world.network
    for number in range(INPUTS):
        frame, source = bench.frame()
        before = network.frames["10.0.0.1"]
        try:
            world["a"].receive(frame, source)
            replies = network.frames["10.0.0.1"] - before
            assert replies <= REPLIES, f"{replies} frames in answer to one"
            if number % 100 == 99:
                world.run(0.05)
            if number % 5_000 == 4_999:
                bench.works()
            bench.revive()
        except Exception as error:
            raise AssertionError(f"seed {SEED}, message {number}") from error
    bench.works()
    print(f"fuzz: nodes told to start again: {dict(bench.restarts)}")
