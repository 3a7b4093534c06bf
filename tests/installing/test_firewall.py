"""A packet's way through this machine's own rules, as far as they can be read."""

import json
from typing import Any

import pytest

from pbxfed_ari.installing.firewall import Chains, from_iptables, from_nft, verdict


def nft(*rules: list[dict[str, Any]], policy: str = "drop", more: tuple[Any, ...] = ()) -> Chains:
    """One table whose input chain has these rules."""
    where = {"family": "inet", "table": "filter"}
    hooked = {**where, "name": "input", "type": "filter", "hook": "input", "policy": policy}
    items: list[Any] = [{"metainfo": {}}, {"chain": hooked}, *more]
    items += [{"rule": {**where, "chain": "input", "expr": list(rule)}} for rule in rules]
    return from_nft(json.dumps({"nftables": items}))


def match(left: dict[str, Any], right: object, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def dport(right: object, protocol: str = "udp") -> dict[str, Any]:
    return match({"payload": {"protocol": protocol, "field": "dport"}}, right)


STATE = {"ct": {"key": "state"}}
ACCEPT: dict[str, Any] = {"accept": None}
DROP: dict[str, Any] = {"drop": None}


def test_a_policy_of_drop_is_told_apart_from_what_it_lets_in() -> None:
    """The usual shape: established and loopback first, then ports, ranges and sets."""
    chains = nft(
        [match(STATE, ["established", "related"], "in"), ACCEPT],
        [match({"meta": {"key": "iifname"}}, "lo"), ACCEPT],
        [dport({"set": [5060, {"range": [10000, 20000]}]}), {"counter": {}}, ACCEPT],
        [dport(8781, "tcp"), ACCEPT],
    )
    found = {port: verdict(chains, "udp", port) for port in (5060, 15000, 20001, 8781)}
    assert found == {5060: "accept", 15000: "accept", 20001: "drop", 8781: "drop"}


def test_what_asks_for_more_is_uncertain() -> None:
    """A source, a set: it depends on who asks."""
    source = match({"payload": {"protocol": "ip", "field": "saddr"}}, "10.0.0.0/8")
    assert verdict(nft([source, dport(5060), ACCEPT]), "udp", 5060) == "maybe"
    assert verdict(nft([source, ACCEPT], [dport(5060), ACCEPT]), "udp", 5060) == "maybe"
    assert verdict(nft([source, dport(22, "tcp"), ACCEPT]), "udp", 5060) == "drop"


def test_chains_jump_and_return() -> None:
    """As ufw's and firewalld's do."""
    where = {"family": "inet", "table": "filter"}
    more = (
        {"chain": {**where, "name": "user"}},
        {"rule": {**where, "chain": "user", "expr": [dport(5060), {"return": None}]}},
        {"rule": {**where, "chain": "user", "expr": [{"reject": {}}]}},
    )
    chains = nft([{"jump": {"target": "user"}}], policy="accept", more=more)
    assert verdict(chains, "udp", 5060) == "accept"
    assert verdict(chains, "udp", 5061) == "drop"


def test_no_rules_let_everything_in() -> None:
    """A machine as it comes."""
    assert verdict(from_nft('{"nftables": []}'), "udp", 5060) == "accept"


IPTABLES = """*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -j DROP
COMMIT
*filter
:INPUT DROP [0:0]
:ours - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -m comment --comment "phones and peers" -j ours
-A INPUT -s 10.0.0.0/8 -p udp -m udp --dport 8781 -j ACCEPT
-A ours -p udp -m multiport --dports 5060,10000:20000 -j ACCEPT
COMMIT
"""


@pytest.mark.parametrize(
    ("port", "said"),
    [(5060, "accept"), (10000, "accept"), (4569, "drop"), (8781, "maybe")],
)
def test_iptables_says_the_same_in_other_words(port: int, said: str) -> None:
    """`iptables-save`, other tables passed over."""
    assert verdict(from_iptables(IPTABLES), "udp", port) == said
