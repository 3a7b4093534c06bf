"""Would this machine's own firewall let a packet in? A reading of what `nft -j list ruleset` or `iptables-save` says.

A packet is walked through the chains of the input hook as the kernel would: each chain's rules in order, then its policy; one
drop is the end, an accept ends only its own chain. A rule that asks for something that we do not know (a source, a set) makes
the answer uncertain from there on, never wrong: MAYBE.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

ACCEPT, DROP, MAYBE = "accept", "drop", "maybe"


@dataclass(slots=True)
class Rule:
    """One rule: what it asks of a packet, and what it says then."""

    protocol: str = ""  # empty: any
    ports: list[tuple[int, int]] = field(default_factory=list)  # from, to; empty: any
    never: bool = False  # it cannot match a new packet from outside
    unknown: bool = False  # it asks something more
    verdict: str = ""  # accept, drop, return, or the chain to jump to; empty: it only counts

    def matches(self, protocol: str, port: int) -> bool:
        """Does a new packet to this port fit, as far as we know?"""
        if self.never or self.protocol not in ("", protocol):
            return False
        return not self.ports or any(low <= port <= high for low, high in self.ports)


@dataclass(slots=True)
class Chain:
    """A chain of rules; `policy` only where packets begin."""

    rules: list[Rule] = field(default_factory=list)
    policy: str = ""


Chains = dict[str, Chain]


def verdict(chains: Chains, protocol: str, port: int) -> str:
    """Accept, drop or maybe."""
    found = [
        _walk(chains, name, protocol, port, set()) or chain.policy
        for name, chain in chains.items()
        if chain.policy
    ]
    return DROP if DROP in found else MAYBE if MAYBE in found else ACCEPT


def _walk(chains: Chains, name: str, protocol: str, port: int, above: set[str]) -> str:
    """What a chain says, empty if nothing."""
    if name not in chains or name in above:
        return ""
    sure = True
    for rule in chains[name].rules:
        if not rule.matches(protocol, port):
            continue
        said = rule.verdict
        if said not in ("", ACCEPT, DROP, "return"):
            said = _walk(chains, said, protocol, port, above | {name})
        if rule.unknown or said == MAYBE:
            sure = sure and not said
        elif said == "return":
            return "" if sure else MAYBE
        elif said:
            return said if sure else MAYBE
    return "" if sure else MAYBE


# --- nftables


def from_nft(text: str) -> Chains:
    """The chains that packets to this machine go through.

    Raises: ValueError, if it is no ruleset.
    """
    chains: Chains = {}
    for item in json.loads(text).get("nftables", []):
        if (chain := item.get("chain")) and chain.get("family") in ("ip", "inet"):
            hooked = chain.get("hook") == "input" and chain.get("type") == "filter"
            name = _name(chain, chain["name"])
            chains.setdefault(name, Chain()).policy = chain.get("policy", ACCEPT) if hooked else ""
        if (rule := item.get("rule")) and rule.get("family") in ("ip", "inet"):
            name = _name(rule, rule["chain"])
            chains.setdefault(name, Chain()).rules.append(_nft_rule(rule))
    return chains


def _name(one: dict[str, Any], chain: str) -> str:
    return f"{one['family']} {one['table']} {chain}"


def _nft_rule(rule: dict[str, Any]) -> Rule:
    made = Rule()
    for part in rule.get("expr", []):
        kind, what = next(iter(part.items())) if isinstance(part, dict) else ("", {})
        if kind == "match":
            _nft_match(made, what)
        elif kind in ("accept", "drop", "return"):
            made.verdict = kind
        elif kind == "reject":
            made.verdict = DROP
        elif kind in ("jump", "goto"):
            made.verdict = _name(rule, what["target"])
        elif kind not in ("counter", "log"):
            made.unknown = True
    return made


def _nft_match(made: Rule, what: dict[str, Any]) -> None:
    left, right, equal = what.get("left", {}), what.get("right"), what.get("op") in ("==", "in")
    meta = left.get("meta", {}).get("key")
    payload = left.get("payload", {})
    if not equal:
        made.unknown = True
    elif payload.get("field") == "dport" and (ports := _ports(right)) is not None:
        made.protocol, made.ports = payload["protocol"].replace("th", ""), ports
    elif (meta == "l4proto" or payload.get("field") == "protocol") and isinstance(right, str):
        made.protocol = right
    elif left.get("ct", {}).get("key") == "state":
        made.never = "new" not in (
            right.get("set", []) if isinstance(right, dict) else _list(right)
        )
    elif meta in ("iifname", "iif") and right == "lo":
        made.never = True
    else:
        made.unknown = True


def _ports(right: object) -> list[tuple[int, int]] | None:
    items = right["set"] if isinstance(right, dict) and "set" in right else [right]
    ports: list[tuple[int, int]] = []
    for item in items:
        if isinstance(item, int):
            ports.append((item, item))
        elif isinstance(item, dict) and isinstance(item.get("range"), list):
            ports.append((item["range"][0], item["range"][1]))
        else:
            return None
    return ports


def _list(one: object) -> list[object]:
    return one if isinstance(one, list) else [one]


# --- iptables


def from_iptables(text: str) -> Chains:
    """The filter table of `iptables-save`."""
    chains: Chains = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif table == "filter" and line.startswith(":"):
            name, policy = line[1:].split()[:2]
            hooked = name == "INPUT"
            chains[name] = Chain(policy=policy.lower() if hooked else "")
        elif table == "filter" and line.startswith("-A "):
            name, rule = _iptables_rule(line.split())
            chains.setdefault(name, Chain()).rules.append(rule)
    return chains


def _iptables_rule(words: list[str]) -> tuple[str, Rule]:
    made, rest = Rule(), iter(words[2:])
    for word in rest:
        if word in ("-p", "-j", "-g", "-i", "-m", "--dport", "--dports", "--state", "--ctstate"):
            _iptables_option(made, word, next(rest, ""))
        elif word in ("--comment", "--reject-with", "--log-prefix", "--log-level"):
            _skip_text(rest)
        else:
            made.unknown = True
    return words[1], made


def _iptables_option(made: Rule, word: str, value: str) -> None:
    if word == "-p":
        made.protocol = value
    elif word in ("-j", "-g"):
        known = {"ACCEPT": ACCEPT, "DROP": DROP, "REJECT": DROP, "RETURN": "return", "LOG": ""}
        made.verdict = known.get(value, value)
    elif word == "-i":
        made.never, made.unknown = value == "lo", made.unknown or value != "lo"
    elif word in ("--state", "--ctstate"):
        made.never = "NEW" not in value.split(",")
    elif word != "-m":
        found = [re.fullmatch(r"(\d+)(?::(\d+))?", part) for part in value.split(",")]
        made.ports = [(int(m[1]), int(m[2] or m[1])) for m in found if m]
    elif value not in ("udp", "tcp", "state", "conntrack", "multiport", "comment"):
        made.unknown = True


def _skip_text(rest: Iterable[str]) -> None:
    """Pass over an argument, which may stand in quotes and hold blanks."""
    words = iter(rest)
    first = next(words, "")
    if first.startswith('"') and (len(first) == 1 or not first.endswith('"')):
        for word in words:
            if word.endswith('"'):
                return
