"""What went wrong at Asterisk, as a line of the log. Pure."""

from pbxfed_ari.core.effects import Note


def trouble(what: str, error: Exception, **fields: str) -> Note:
    """A warning, with Asterisk's own words."""
    return Note(what, (*fields.items(), ("error", str(error))), "warning")
