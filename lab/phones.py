"""The phones of a lab, whatever kind of lab it is: where each stands, where it registers, what it does when called."""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.members import Members
from lab.phone import Group
from lab.places import LabError


@dataclass(frozen=True, slots=True)
class Registered:
    """A phone's registration: where, how long it took, under which Contact."""

    extension: str
    node: str
    ms: float
    contact: str


class Phones(Members):
    """What can be done to phones. They stand in groups; the lab remembers in which, and with what secret."""

    domain: str  # of the federation

    @abstractmethod
    def group(self, home: str) -> Group:
        """The phones at home at one node."""

    def add_extension(
        self, extension: str, *, name: str = "", secret: str = "", node: str | None = None
    ) -> str:
        """Add an extension to the federation through a node's command line; return its secret."""
        secret = secret or secrets.token_hex(8)
        via = node or next((one.name for one in self.nodes() if one.daemon_up()), "a")
        self.pbxfed(via, "ext", "add", extension, "--name", name or extension, "--secret", secret)
        self.remember_extension(extension, secret, name=name)
        return secret

    def remember_extension(self, extension: str, secret: str, *, name: str = "") -> None:
        """Let the lab's phones know the secret of an extension that was made by other means."""
        with self.places.lock():
            record = self._load()
            record["extensions"][extension] = {"secret": secret, "name": name or extension}
            self._save(record)

    def register(
        self,
        extension: str,
        node: str,
        *,
        secret: str | None = None,
        servers: Sequence[str] = (),
        same_contact: bool = True,
        home: str | None = None,
        transport: str | None = None,
        timers: Mapping[str, float] | None = None,
        timeout: float = 5.0,
    ) -> Registered:
        """Register a phone at a node; one that is registered elsewhere moves, without a word there.

        At the domain instead of a node it finds its servers by DNS (RFC 3263), of which it asks the nodes.

        Args:
            extension: `1001`, or `1001/2` for a second phone with the same number.
            node: the registrar, or the domain.
            secret: by default the one the lab remembers.
            servers: nodes to go to, in order, when `node` falls silent; with the domain, those whose DNS is asked (all).
            same_contact: keep the Contact URI of the last registration, or be a new device.
            home: the node whose phone group it stands in; by default the first it registers at, with the domain the first.
            transport: `udp` (the default) or `tcp`; with the domain, by default as NAPTR says.
            timers: those of lab/transactions.py that shall be other than they are, in seconds.
            timeout: seconds to wait for this registration.

        Raises:
            PhoneRefused: with the SIP status, as `401: wrong secret`.
        """
        names = [one.name for one in self.nodes()]
        located = node == self.domain
        group, number, known = self._stand(
            extension, home or (names[0] if located else node), secret
        )
        asked = (servers or names) if located else dict.fromkeys([node, *servers])
        answer = group.ask(
            "register",
            phone=extension,
            secret=known["secret"],
            name=known["name"],
            index=number,
            servers=[self.node(name).address for name in asked],
            domain=node if located else None,
            transport=transport,
            same_contact=same_contact,
            timers=dict(timers or {}),
            timeout=timeout,
        )
        at = self._node_at(answer["server"]) or answer["server"]
        return Registered(extension, at, round(answer["ms"], 2), answer["contact"])

    def _stand(
        self, extension: str, home: str, secret: str | None
    ) -> tuple[Group, int, dict[str, Any]]:
        """Find a phone's place in the lab, or give it one; start its group."""
        self.node(home)
        with self.places.lock():
            record = self._load()
            number = extension_of(extension)
            known = record["extensions"].setdefault(number, {"secret": None, "name": number})
            if secret is not None:
                known["secret"] = secret
            if known["secret"] is None:
                raise LabError(f"the lab does not know the secret of {extension}: give --secret")
            phone = record["phones"].setdefault(
                extension, {"home": home, "index": len(record["phones"])}
            )
            self._save(record)
            group = self.group(phone["home"])
            group.start()
        return group, phone["index"], known

    def unregister(self, extension: str) -> None:
        """Let a phone sign off properly."""
        self._group_of(extension).ask("unregister", phone=extension)

    def unplug(self, extension: str) -> None:
        """Let a phone vanish without a word; registering it again plugs it in."""
        self._group_of(extension).ask("unplug", phone=extension)

    def manners(
        self,
        extension: str,
        *,
        answer_after_ms: float | None = 0,
        refuse: str | None = None,
        send_to: str | None = None,
        early: bool = False,
        ring_after_ms: float = 0,
    ) -> None:
        """What a phone does when called: answer after a while (None: ring on), or refuse (`486 Busy Here`) after that while.

        `send_to`: the number in the Contact of a refusal, as with `302 Moved Temporarily`; `early`: speak while it rings;
        `ring_after_ms`: until then nothing is heard of it, as of one that must be woken; a refusal at once comes then.
        """
        self._group_of(extension).ask(
            "manners",
            phone=extension,
            answer_after_ms=answer_after_ms,
            refuse=refuse,
            send_to=send_to,
            early=early,
            ring_after_ms=ring_after_ms,
        )

    def speaks(self, extension: str, *codecs: str) -> None:
        """Which codecs a phone knows from its next call on, best first: PCMU, PCMA."""
        self._group_of(extension).ask("speaks", phone=extension, codecs=codecs)

    def phone(self, extension: str) -> dict[str, Any]:
        """One phone's state: server (an address or None), contact, hertz, invites, calls, moves."""
        found = {p["extension"]: p for p in self._group_of(extension).ask("status")["phones"]}
        if extension not in found:
            raise LabError(f"phone {extension} is unplugged")
        return dict(found[extension])

    def calls_of(self, extension: str, since: float = 0.0) -> list[dict[str, Any]]:
        """The calls that a phone made and got since a moment (time.time())."""
        answer = self._group_of(extension).ask("calls", phone=extension, since=since)
        return list(answer["calls"])

    def _group_of(self, extension: str) -> Group:
        phone = self._load()["phones"].get(extension)
        if phone is None:
            raise LabError(f"there is no phone {extension}: register it first")
        return self.group(phone["home"])

    def _phones(self) -> dict[str, dict[str, Any]]:
        """Every phone that is plugged in, by extension."""
        groups = [group for group in self._groups() if group.running()]
        return {p["extension"]: p for group in groups for p in group.ask("status")["phones"]}

    def _groups(self) -> list[Group]:
        """The groups in which phones stand; phones of two homes may share one."""
        homes = sorted({phone["home"] for phone in self._load()["phones"].values()})
        return list(dict.fromkeys(self.group(home) for home in homes))

    def _phones_told(self) -> list[dict[str, Any]]:
        """The phones, as `status --json` tells them."""
        homes = {number: phone["home"] for number, phone in self._load()["phones"].items()}
        return [
            {
                "extension": number,
                "node": self._node_at(phone["server"]),
                "address": self.group(homes[number]).address,
                "registered": phone["server"] is not None,
                "contact": phone["contact"],
                "invites": phone["invites"],
                "calls": phone["calls"],
                "moves": [
                    {**m, "from": self._node_at(m["from"]), "to": self._node_at(m["to"])}
                    for m in phone["moves"]
                ],
            }
            for number, phone in sorted(self._phones().items())
        ]


def extension_of(phone: str) -> str:
    """The extension of a phone: `1001` of its first device `1001` and of its second, `1001/2`."""
    return phone.partition("/")[0]
