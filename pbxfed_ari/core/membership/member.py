"""A member: one peer, as seen from here. What makes it pass from state to state is in `members.py`."""

from dataclasses import dataclass, field
from enum import Enum

from pbxfed_ari.core.events import Address
from pbxfed_ari.core.membership.condition import Condition
from pbxfed_ari.core.names import NodeName


class State(Enum):
    """What we hold of a node."""

    NEW = "new"  # introduced, has not yet answered
    ALIVE = "alive"
    ASKING = "asking"  # silent; probed directly
    ASKING_OTHERS = "asking others"
    INDIRECT = "indirect"  # answers others, not us
    SUSPECT = "suspect"
    DOWN = "down"
    LEFT = "left"

    __hash__ = object.__hash__  # Enum's own is written in Python


UP = frozenset({State.ALIVE, State.ASKING, State.ASKING_OTHERS, State.INDIRECT, State.SUSPECT})
REACHABLE = frozenset({State.ALIVE, State.ASKING})


@dataclass(slots=True)
class Member:
    """A peer, as seen from here."""

    name: NodeName
    epoch: int
    address: Address
    site: str
    release: str
    state: State = State.NEW
    incarnation: int = 0
    heard: float = 0.0  # when its last frame came
    since: float = 0.0  # when it entered this state
    version: int = 0  # of its own stream, by its last heartbeat
    vector: int = 0  # its version vector's hash
    condition: Condition = Condition()  # how well it can serve, it says
    deaths: int | None = (
        None  # of its Asterisk, by its first and each later word; None: it has said nothing yet
    )
    relays: bool = False  # it could speak for its site, it says
    away: bool = False  # of another site: its own site's verdict counts, it is not probed
    every: int = 1  # periods between two of its heartbeats to us (core/membership/reach.py)
    due: float = 0.0  # if that is more than one: when the next one is late
    nonce: int = 0  # of the question it was last asked
    deadline: float = field(default=float("inf"))  # when the present state ends by itself
    session: bytes = b""  # the salt of its boot: who else says its name is not it
    told: bool = False  # that it is gone was said; not again until it has lived in between
    served: float = float("-inf")  # when it was last heard with an Asterisk that takes calls

    @property
    def up(self) -> bool:
        """It lives; whether it counts for the ring is its condition's to say."""
        return self.state in UP

    @property
    def reachable(self) -> bool:
        """Calls may be sent there from here."""
        return self.state in REACHABLE
