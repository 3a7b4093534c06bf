"""Condition: how well a node can serve, as it says of itself; and what follows, alike on every node.

                         ring    DNS for phones          routes
    well                 in      by its site             as they come
    poorly (1 … 4)       in      weight falls with it    as they come
    drains               out     priority 30             after others that could do the same; its own phones are called
    sick (5 … 10)        out     if there is nobody      likewise
    no Asterisk          out     if there is nobody      skipped

What is placed (the home of a number, a room, a registration) goes where the ring says, so it leaves who is sick or drains. What
is there already, a phone that stands registered, is called there: nobody else can. If nobody is well the ring holds all that
live: a poor home is better than none.
"""

from msgspec import Struct

DRAINS = 16  # in a word, beside `sick`
DIED, DEATHS = 32, 4  # in a word: how often its Asterisk has died, modulo DEATHS
WORST = 10  # of `sick`: cannot serve
SICK = 5  # from here on a node is left alone


class Condition(Struct, frozen=True):
    """What a heartbeat says of its sender, and a site report of each node."""

    ready: bool = True  # its Asterisk takes calls
    sick: int = 0  # tenths of its health that are missing (core/membership/health.py), 0 to WORST
    drains: bool = False  # it is to be left by and by, on purpose
    deaths: int = (
        0  # of its Asterisk since the daemon's boot, modulo DEATHS: what was in setup there is lost
    )

    @property
    def serves(self) -> bool:
        """Can it be expected to do what it is asked?"""
        return self.ready and self.sick < SICK

    @property
    def takes(self) -> bool:
        """May something new be placed there?"""
        return self.serves and not self.drains

    def weight(self, capacity: int) -> int:
        """Of the capacity of a node what it has left, at least 1."""
        return max(1, capacity * (WORST - self.sick) // WORST)

    @property
    def word(self) -> int:
        """All but `ready`, in seven bits, as it travels."""
        return self.sick | (DRAINS if self.drains else 0) | self.deaths * DIED

    @classmethod
    def of(cls, ready: bool, word: int) -> "Condition":
        """What a peer says; what a newer release adds above seven bits is ignored."""
        return cls(ready, min(word % DRAINS, WORST), bool(word & DRAINS), word // DIED % DEATHS)

    def __str__(self) -> str:
        words = [
            *(["no Asterisk"] if not self.ready else []),
            *(
                [f"{'sick' if self.sick >= SICK else 'poorly'} {self.sick}/{WORST}"]
                if self.sick
                else []
            ),
            *(["drains"] if self.drains else []),
        ]
        return ", ".join(words) or "well"
