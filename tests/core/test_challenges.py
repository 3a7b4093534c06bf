"""Challenges: what is believed of a session once it has answered, and of nobody else."""

from random import Random

from pbxfed_ari.core.effects import SendTo, Stop
from pbxfed_ari.core.federation.challenges import MOST, Challenges
from pbxfed_ari.core.messages import Probe
from pbxfed_ari.core.names import NodeName

A, B = NodeName("a"), NodeName("b")
SOURCE = ("10.0.0.2", 4570)
STOP = Stop("the name is held")


def asked(challenges: Challenges, who: NodeName = A, epoch: int = 7) -> int:
    """The number that goes to the session."""
    effect = challenges.ask(who, epoch, SOURCE, STOP)
    assert isinstance(effect, SendTo)
    assert isinstance(effect.message, Probe)
    assert effect.address == SOURCE
    return effect.message.nonce


def test_who_answers_is_believed_once() -> None:
    """A second answer is a copy of the first."""
    challenges = Challenges(Random(1))
    nonce = asked(challenges)
    assert nonce in challenges
    assert challenges.answered(nonce, A, 7) == [STOP]
    assert nonce not in challenges


def test_an_answer_of_another_session_ends_the_question_and_says_nothing() -> None:
    """Neither another node's, nor that of another boot of the same one."""
    challenges = Challenges(Random(1))
    assert challenges.answered(asked(challenges), B, 7) == []
    assert challenges.answered(asked(challenges), A, 8) == []
    assert repr(challenges) == "Challenges(0 open)"


def test_the_oldest_question_makes_room() -> None:
    """Recordings can be sent by the thousand; what we keep of them is bounded."""
    challenges = Challenges(Random(1))
    nonces = [asked(challenges) for _ in range(MOST + 1)]
    assert [nonce in challenges for nonce in nonces] == [False] + [True] * MOST
