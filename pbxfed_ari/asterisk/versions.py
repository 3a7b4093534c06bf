"""Which release an Asterisk is, and what that means: too old, with known holes, or able to do more."""

import re

OLDEST = (20, 0, 0)  # older ones have no push configuration for what we push
WANTED = (22, 10, 1)
SEVERAL_VARIABLES = (22, 10, 0)

Version = tuple[int, int, int]


def parse_version(text: str) -> Version | None:
    """The three numbers of a version, as in `22.10.1+dfsg` or `certified/20.7-cert3`; None if there are none."""
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def judge(text: str, version: Version | None) -> list[str]:
    """What the operator should know about this version of Asterisk; the first is fatal if it is too old."""
    if version is None:
        return [f"Asterisk says its version is {text!r}: not understood, taken for a new one"]
    if version < OLDEST:
        return [
            f"Asterisk {text} is too old: 20 or later is needed "
            "(push configuration of PJSIP objects as we use it)"
        ]
    if version < WANTED:
        return [
            f"Asterisk {text} lacks the security fixes of 22.10.1: ARI obeying live_dangerously, and "
            "read-only ARI users that could write over REST-over-WebSocket (GHSA-wcvv-g26m-wx5c)"
        ]
    return []
