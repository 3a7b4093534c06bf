"""The errors, by whose fault they are.

PbxfedError
  ConfigError      the operator's to fix: file, key, value, remedy; nothing was started
  Refused          an edit or a request that breaks a rule: nothing was changed anywhere
  WireError        a peer's frame; dropped and counted, our state untouched
    Malformed  WrongVersion  UnknownKind  BadSeal  BadSignature  Replayed  UnknownSession  UnknownKey  TooBig
  AsteriskError    the PBX refused or is gone; the operator room turns it into an event
    Unreachable  Declined
"""


class PbxfedError(Exception):
    """Anything this project raises on purpose."""


class ConfigError(PbxfedError):
    """The operator's to fix. Nothing was started; the message names file, key, value and remedy."""


class Refused(PbxfedError):
    """The asker's to fix. Nothing was changed; the message names the thing, the value and the rule."""

    def __init__(self, message: str, *, status: int = 422, field: str = "") -> None:
        super().__init__(message)
        self.status = status  # the HTTP status that says the same
        self.field = field  # the field that breaks the rule, if it is one


class WireError(PbxfedError):
    """A peer's or a stranger's frame. It is dropped and counted by `reason`; our state is untouched."""

    reason = "wire"


class Malformed(WireError):
    """The bytes do not decode to a message."""

    reason = "malformed"


class WrongVersion(WireError):
    """The frame speaks a wire version that this release does not."""

    reason = "version"

    def __init__(self, version: int) -> None:
        super().__init__(f"wire version {version}")
        self.version = version


class UnknownKind(WireError):
    """A message kind that a newer release invented: that message is ignored, its sender is not."""

    reason = "kind"


class BadSeal(WireError):
    """The seal does not verify: another federation's key, damage, or forgery."""

    reason = "seal"


class BadSignature(WireError):
    """An introduction that is not signed by the key that it names."""

    reason = "signature"


class Replayed(WireError):
    """The frame's counter was seen before, or is older than the replay window."""

    reason = "replay"


class UnknownSession(WireError):
    """The frame is of a session whose introduction was not heard; the sender is asked for it."""

    reason = "session"


class UnknownKey(WireError):
    """An introduction under a group key that we do not hold: another federation's, or newer or older than all of ours."""

    reason = "key"


class TooBig(WireError):
    """A message that does not fit a frame: ours to split, never sent."""

    reason = "size"


class AsteriskError(PbxfedError):
    """The PBX's side of the house. The caller decides whether to try again."""


class Unreachable(AsteriskError):
    """Asterisk did not answer in time, or not at all; whether the request took effect is unknown."""


class Declined(AsteriskError):
    """Asterisk answered with an error status; the request had no effect."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status
