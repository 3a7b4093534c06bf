"""What went wrong at Asterisk, as a line of the log, and as the cause of a call's end. Pure."""

from pbxfed_ari.core.effects import Note
from pbxfed_ari.core.routing.tries import ASK_ANOTHER, FAILED
from pbxfed_ari.errors import Unreachable


def trouble(what: str, error: Exception, **fields: str) -> Note:
    """A warning, with Asterisk's own words."""
    return Note(what, (*fields.items(), ("error", str(error))), "warning")


def cause_of(error: Exception) -> int:
    """Whoever does not answer in time has too much to do; whoever declines would do so again."""
    return ASK_ANOTHER if isinstance(error, Unreachable) else FAILED
