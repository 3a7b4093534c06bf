"""What went wrong at Asterisk, as a line of the log, and as the cause of a call's end. Pure."""

from pbxfed_ari.core.effects import Note
from pbxfed_ari.errors import Unreachable

FAILURE = 38  # Q.850: network out of order; the caller hears a failure, not "no answer"
CONGESTION = 42  # Q.850: switching equipment congestion; the caller may ask another node


def trouble(what: str, error: Exception, **fields: str) -> Note:
    """A warning, with Asterisk's own words."""
    return Note(what, (*fields.items(), ("error", str(error))), "warning")


def cause_of(error: Exception) -> int:
    """Whoever does not answer in time has too much to do; whoever declines would do so again."""
    return CONGESTION if isinstance(error, Unreachable) else FAILURE
