"""Endpoints that are no phones. They stay in the node's `pjsip.conf`; a `trunk` object names them to the federation.

We are registered at a trunk; or two of these are so, one of the first two among them: it is reached at a fixed address, it
is known by its address, it wants a secret of us, it is asked for none. Where its calls go, and which site it serves, no file
says: site, nodes and patterns are the operator's.
"""

import re

from pbxfed_ari.core.records.objects.trunk import TRUNK
from pbxfed_ari.importing import rules
from pbxfed_ari.importing.asterisk_conf import Section
from pbxfed_ari.importing.pjsip_sections import Config
from pbxfed_ari.importing.report import Notebook, Object

LONGEST = 32  # characters of a name
MOST_CALLS = 10_000  # of a trunk


def is_trunk(config: Config, endpoint: Section) -> bool:
    """Is this a way out rather than a phone?"""
    signs = (
        any(aor.last("contact") for aor in config.aors(endpoint)),
        config.identified(endpoint),
        bool(endpoint.last("outbound_auth")),
        not endpoint.last("auth"),
    )
    return config.registered(endpoint) or (sum(signs) > 1 and any(signs[:2]))


def candidate(endpoint: Section, names: set[str], book: Notebook) -> list[Object]:
    """The trunk object as far as the file tells it. `names` are those that are taken; its own joins them."""
    try:
        TRUNK.fields["endpoint"].type.check(endpoint.name)
    except ValueError:
        book.add(
            "a trunk",
            "its name has characters that no trunk can name: rename the endpoint, then tell of it",
        )
        return []
    name = _name(endpoint.name, names)
    book.add(
        "a trunk",
        f"it stays in pjsip.conf, by hand; `pbxfed trunk add {name}` tells of it, with the endpoint {endpoint.name}, "
        "and its site, nodes and patterns",
    )
    made: Object = {"trunk": name, "technology": "pjsip", "endpoint": endpoint.name}
    capacity = rules.whole(endpoint.last("device_state_busy_at")) or 0
    return [made | ({"capacity": min(capacity, MOST_CALLS)} if capacity else {})]


def _name(text: str, taken: set[str]) -> str:
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower())[:LONGEST].strip("-") or "trunk"
    name, count = plain, 1
    while name in taken:
        count += 1
        name = f"{plain[: LONGEST - 1 - len(str(count))]}-{count}"
    taken.add(name)
    return name
