"""The desk: one token, one machine, in time; and nothing for anybody else."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from pbxfed_ari.core.effects import Note, Reply
from pbxfed_ari.core.events import Address, Admit
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.errors import ConfigError, Refused
from pbxfed_ari.join.desk import INVITATIONS, Desk
from pbxfed_ari.wire import token
from pbxfed_ari.wire.identity import NodeKey
from pbxfed_ari.wire.token import ANSWER, ASK, Answer, Ask, Token
from tests.disks import refusing

A, B, C = (NodeKey(name.encode() * 32, NodeName(name)) for name in "abc")
FROM = ("10.0.0.2", 40_000)
NOW = 1_800_000_000_000
SEEDS = tuple(f"10.0.{i}.1:8781" for i in range(100))


class Rig:
    """A desk, and what it asks of the world."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.admits: list[Admit] = []
        self.sent: list[tuple[bytes, Address]] = []
        self.notes: list[Note] = []
        self.open()

    def open(self) -> None:
        self.desk = Desk(
            self.state,
            A,
            admit=self.admits.append,
            send=lambda frame, to: self.sent.append((frame, to)),
            note=self.notes.append,
            welcome=lambda: Answer(A.signing, domain="pbx.example", seeds=SEEDS),
        )

    def invite(self, ttl: int = 60) -> Token:
        return token.read(self.desk.invite("pbx.example", ("10.0.0.1:8781",), ttl, NOW))

    def ask(
        self, given: Token, key: NodeKey = B, name: str = "b", *, at: int = NOW, wall_ms: int = 0
    ) -> None:
        question = Ask(name, "10.0.0.2", key.signing, key.public, wall_ms=wall_ms)
        frame = token.seal(ASK, given.invitation, given.key, question, key, bytes(12))
        self.desk.receive(frame, FROM, at)

    def decide(self, error: str = "") -> None:
        status = 409 if error else 201
        self.desk.reply(Reply(self.admits[-1].ticket, status, error=error), NOW)

    def answer(self, given: Token) -> Answer:
        frame, to = self.sent.pop()
        assert to == FROM
        assert len(frame) <= 1_400
        return token.open_(ANSWER, frame, given.key, Answer)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_a_token_lets_one_machine_in(rig: Rig) -> None:
    """It hears all that fits a frame, and the operator reads who came."""
    given = rig.invite()
    rig.ask(given)
    assert [(a.name, a.signing) for a in rig.admits] == [("b", B.signing)]
    assert rig.sent == []
    rig.decide()
    answer = rig.answer(given)
    assert answer.error == ""
    assert 0 < len(answer.seeds) < len(SEEDS)
    assert [n.what for n in rig.notes] == ["node invited", "node admitted"]


def test_a_lost_answer_is_given_again_after_a_restart_and_too_late(rig: Rig) -> None:
    """To the same machine only."""
    given = rig.invite()
    rig.ask(given)
    rig.decide()
    rig.open()
    rig.ask(given, at=NOW + 120_000)
    rig.decide()
    assert [rig.answer(given).error for _ in range(2)] == ["", ""]


def test_a_token_is_used_once(rig: Rig) -> None:
    """By who asked first, even before it was let in; not for a second name either."""
    given = rig.invite()
    rig.ask(given)
    rig.ask(given, C, "c")
    assert "the token was used by another machine" in rig.answer(given).error
    rig.decide()
    rig.answer(given)
    rig.ask(given, C, "c")
    assert "the token was used by node b, at 2027-01-15T08:00:00" in rig.answer(given).error
    rig.ask(given, B, "d")
    assert "was used for node b" in rig.answer(given).error
    assert len(rig.admits) == 1
    assert [n.what for n in rig.notes].count("token refused") == rig.desk.refused == 3


def test_a_token_ends(rig: Rig) -> None:
    """The one who comes late hears when."""
    given = rig.invite(60)
    rig.ask(given, at=NOW + 61_000)
    assert "the token ended at 2027-01-15T08:01:00" in rig.answer(given).error
    assert rig.admits == []


def test_who_has_a_wrong_clock_sets_it_first(rig: Rig) -> None:
    """With both times; the token is still good. Releases that do not tell theirs are let in."""
    given = rig.invite()
    for wrong in 61_000, -61_000:
        rig.ask(given, wall_ms=NOW + wrong)
        said = rig.answer(given).error
        assert "clocks far apart: there it is 2027-01-15T0" in said
        assert "here 2027-01-15T08:00:00" in said
    assert rig.admits == []
    rig.ask(given, C, "c", wall_ms=NOW + 59_000)
    assert [a.name for a in rig.admits] == ["c"]


def test_a_key_that_nothing_can_be_sealed_for_is_refused(rig: Rig) -> None:
    """A point of small order: 32 bytes like any other, and every later rotation would fail on it."""
    given = rig.invite()
    question = Ask("b", "10.0.0.2", B.signing, bytes(32))
    frame = token.seal(ASK, given.invitation, given.key, question, B, bytes(12))
    rig.desk.receive(frame, FROM, NOW)
    assert rig.answer(given).error == "the node's public key is none"
    assert rig.admits == []


def test_what_the_federation_refuses_is_told_and_may_be_mended(rig: Rig) -> None:
    """Another name and another key, with the same token: nobody has used it."""
    given = rig.invite()
    rig.ask(given, B, "a")
    rig.decide("node name 'a': another node has it")
    assert "another node has it" in rig.answer(given).error
    rig.ask(given, C, "b")
    rig.decide()
    assert rig.answer(given).error == ""
    rig.ask(given, B, "b")
    assert "the token was used by node b" in rig.answer(given).error


def test_frames_of_who_has_no_token_of_ours_get_nothing(rig: Rig) -> None:
    """No answer, no admission, and one line in the log for many."""
    given = rig.invite()
    rig.notes.clear()
    other = Token(1, "x", (), bytes(8), bytes(16), b"", 0)
    altered = replace(given, secret=bytes(16))
    for _ in range(100):
        rig.ask(other)
        rig.ask(altered)
        rig.desk.receive(bytes((ASK,)), FROM, NOW)
    rig.ask(given, B, "../b")
    assert (rig.admits, rig.sent) == ([], [])
    assert len(rig.notes) == 1
    assert rig.desk.refused == 301


@pytest.mark.parametrize(
    "change",
    [{"domain": "pbx.exampla"}, {"addresses": ()}, {"fingerprint": b"f"}, {"expires": 1 << 32}],
)
def test_a_token_in_which_anything_was_altered_is_refused_and_logged(
    rig: Rig, change: dict[str, object]
) -> None:
    """Not only its secret: else who meddled with the rest would have used it up for somebody."""
    given = rig.invite()
    rig.ask(replace(given, **change))
    assert (rig.admits, rig.sent, rig.desk.refused) == ([], [], 1)
    assert dict(rig.notes[-1].fields)["why"] == "the token does not fit"
    rig.ask(given)
    assert len(rig.admits) == 1


def test_the_file_is_private_and_a_damaged_one_is_named(rig: Rig) -> None:
    """Who reads it could come in."""
    rig.invite()
    path = rig.state / INVITATIONS
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("[")
    with pytest.raises(ConfigError, match="open invitations end with it"):
        rig.open()


def test_what_a_full_disk_does_not_keep_is_not_given_out(rig: Rig) -> None:
    """Else a token would be good twice after a restart. Who asks hears whose disk it is, and may ask again."""
    given = rig.invite()
    with refusing():
        with pytest.raises(Refused, match="make room") as refused:
            rig.invite()
        assert refused.value.status == 507
        rig.ask(given)
        assert "make room on the disk of the node that invites" in rig.answer(given).error
        assert rig.admits == []
    rig.open()
    rig.ask(given)
    rig.decide()
    assert rig.answer(given).domain == "pbx.example"
