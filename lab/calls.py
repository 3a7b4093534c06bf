"""Calls between a lab's phones, and what became of them: who was reached, which way, who heard whom."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lab import tones
from lab.phone import Group, PhoneRefused
from lab.phones import Phones, extension_of

HEARD_WITHIN = (
    3.0  # seconds more, in which who talks is heard; a busy machine sends the first sound late
)


@dataclass(frozen=True, slots=True)
class CallResult:
    """What became of a call. `ok` only if it was answered and both heard each other."""

    ok: bool
    caller: str
    called: str
    nodes: tuple[str | None, str | None]
    trunk: str | None
    setup_ms: float | None
    media: dict[str, bool]
    cause: str | None
    caller_id: dict[str, str] | None = None
    invites: int = 0
    details: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The contract of `call --json`."""
        found = asdict(self)
        return {
            "ok": found.pop("ok"),
            "from": found.pop("caller"),
            "to": found.pop("called"),
            **found,
        }


@dataclass(frozen=True, slots=True)
class Way:
    """The way of a call as the caller's PBX tells it: this node, the node it was bridged to, by which trunk."""

    node: str | None = None
    peer: str | None = None
    trunk: str | None = None


@dataclass(frozen=True, slots=True)
class Dialled:
    """An answered call that goes on until it is hung up."""

    caller: str
    called: str
    id: str
    setup_ms: float
    started: float
    invites_before: int


class Calls(Phones):
    """A call is made by a phone, judged by what both phones heard, and its way is told by the caller's PBX."""

    def call(
        self, caller: str, called: str, *, hold: float = 1.5, timeout: float = 40.0
    ) -> CallResult:
        """Call, talk for a while, hang up; tell what became of it."""
        before, invites = time.time(), self._invites(called)
        try:
            dialled = self.dial(caller, called, timeout=timeout)
        except PhoneRefused as refusal:
            return self._failed(caller, called, str(refusal), before, invites)
        time.sleep(hold)
        return self.finish(dialled, ways=True)

    def dial(
        self, caller: str, called: str, *, timeout: float = 40.0, diversion: str = ""
    ) -> Dialled:
        """Call and leave it open; `diversion`: who has sent the call on, as the caller's phone says in each INVITE.

        Raises PhoneRefused with the SIP status if nobody answers.
        """
        invites = self._invites(called)
        started = time.time()
        answer = self._group_of(caller).ask(
            "dial",
            phone=caller,
            number=called,
            timeout=timeout,
            patience=timeout + 10,
            diversion=diversion,
        )
        return Dialled(caller, called, answer["call"], answer["setup_ms"], started, invites)

    def way(self, caller: str, *, patience: float = 0.3) -> Way:
        """Which way a phone's present call takes, by its PBX's own account.

        The 200 may leave before the legs are bridged: it is asked again for `patience` seconds.
        """
        node = self._node_at(self.phone(caller)["server"])
        deadline = time.monotonic() + patience
        while node is not None:
            bridged, found = self._way_now(node, caller)
            if bridged or time.monotonic() >= deadline:
                return found
            time.sleep(0.02)
        return Way()

    def _way_now(self, node: str, caller: str) -> tuple[bool, Way]:
        """Whether a phone's leg is bridged at all, and the way it has taken."""
        rows = [
            line.split("!")
            for line in self.asterisk(node, "core show channels concise").splitlines()
        ]
        rows = [row for row in rows if len(row) >= 13]
        bridges = {
            row[12]
            for row in rows
            if row[0].startswith(f"PJSIP/{extension_of(caller)}-") and row[12]
        }
        for row in rows:
            if row[12] in bridges:
                for start, name in (("PJSIP/pf-", "sip"), ("IAX2/pf-", "iax2")):
                    if row[0].startswith(start):
                        peer = row[0].removeprefix(start).rpartition("-")[0]
                        return True, Way(node, peer, name)
        return bool(bridges), Way(node, node)

    def listen(
        self, dialled: Dialled, *, last_seconds: float = 10.0, within: float = HEARD_WITHIN
    ) -> tuple[dict[str, bool], Any]:
        """Who has heard whom lately, and the called phone's side of the call (None if no phone was found).

        As long as one is not heard it is listened on, for so many seconds more; not in a call that is over.
        """
        until = time.monotonic() + within
        while True:
            media, theirs, over = self._heard(dialled, last_seconds)
            if all(media.values()) or over or time.monotonic() >= until:
                return media, theirs
            time.sleep(0.2)

    def _heard(self, dialled: Dialled, last_seconds: float) -> tuple[dict[str, bool], Any, bool]:
        """The same now, and whether the caller's side is over."""
        theirs = self._other_side(dialled, last_seconds)
        spoken = theirs["hertz"] if theirs else self._hertz(dialled.called)
        ours = self._group_of(dialled.caller).ask(
            "call",
            phone=dialled.caller,
            call=dialled.id,
            tones=[spoken] if spoken else [],
            last_seconds=last_seconds,
        )
        return (
            {
                "a_to_b": theirs is not None and _enough(theirs, self._hertz(dialled.caller)),
                "b_to_a": _enough(ours, spoken),
            },
            theirs,
            ours["state"] == "ended",
        )

    def hang_up(self, dialled: Dialled) -> None:
        """Let the caller hang up."""
        self.end(dialled.caller, dialled.id)

    def end(self, phone: str, call: str, *, cause: int = 0) -> None:
        """Let a phone hang up a call of its own; `cause`: Q.850, as a gateway says it."""
        self._group_of(phone).ask("hang_up", phone=phone, call=call, cause=cause)

    def hold(self, phone: str, call: str, on: bool = True) -> None:
        """Let a phone put a call of its own on hold, or talk again."""
        self._group_of(phone).ask("hold", phone=phone, call=call, on=on)

    def transfer(self, phone: str, call: str, number: str, *, other: str | None = None) -> int:
        """Let a phone transfer a call blindly, or to the other side of its `other` call; the REFER's status.

        Raises PhoneRefused, with the SIP status.
        """
        answer = self._group_of(phone).ask(
            "transfer", phone=phone, call=call, number=number, other=other
        )
        return int(answer["status"])

    def press(self, phone: str, call: str, keys: str, *, info: bool = False) -> None:
        """Let a phone press keys in a call: by RFC 4733, or by SIP INFO."""
        self._group_of(phone).ask("press", phone=phone, call=call, keys=keys, info=info)

    def hears(
        self,
        phone: str,
        call: str,
        other: str,
        *,
        seconds: float = 3.0,
        share: float = tones.SHARE,
    ) -> bool:
        """Does a phone come to hear another one in this call, within the next seconds? `share`: of what it hears."""
        answer = self._group_of(phone).ask(
            "listen",
            phone=phone,
            call=call,
            tone=self._hertz(other),
            seconds=seconds,
            enough=tones.ENOUGH,
            share=share,
        )
        return bool(answer["heard"] >= tones.ENOUGH)

    def finish(self, dialled: Dialled, *, ways: bool = False) -> CallResult:
        """Judge an open call by what was heard, then hang it up. `ways`: tell the way that it took, too."""
        media, theirs = self.listen(dialled)
        way = self.way(dialled.caller) if ways else Way()
        self.hang_up(dialled)
        missing = [way.replace("_", " ") for way, heard in media.items() if not heard]
        return CallResult(
            ok=not missing,
            caller=dialled.caller,
            called=dialled.called,
            nodes=(way.node, way.peer),
            trunk=way.trunk,
            setup_ms=dialled.setup_ms,
            media=media,
            cause=f"answered, but nothing heard from {' and '.join(missing)}" if missing else None,
            caller_id={"name": theirs["name"], "number": theirs["other"]} if theirs else None,
            invites=self._invites(dialled.called) - dialled.invites_before,
            details={"answered_by": theirs["phone"] if theirs else None},
        )

    def _failed(
        self, caller: str, called: str, cause: str, since: float, invites: int
    ) -> CallResult:
        rang = [] if self._absent(called) else self.calls_of(called, since)
        rang = [call for call in rang if call["incoming"]]
        return CallResult(
            ok=False,
            caller=caller,
            called=called,
            nodes=self._where(caller, called),
            trunk=None,
            setup_ms=None,
            media={"a_to_b": False, "b_to_a": False},
            cause=cause,
            caller_id={"name": rang[-1]["name"], "number": rang[-1]["other"]} if rang else None,
            invites=self._invites(called) - invites,
        )

    def _other_side(self, dialled: Dialled, last_seconds: float) -> dict[str, Any] | None:
        """The incoming call, at whichever phone, in which the caller's tone was heard; else the likeliest."""
        tone = self._hertz(dialled.caller)
        request: dict[str, Any] = {"since": dialled.started - 0.001, "tones": [tone]}
        likely: list[dict[str, Any]] = []
        for group, phone in self._candidates(dialled.called):
            calls = group.ask("calls", phone=phone, last_seconds=last_seconds, **request)["calls"]
            answered: list[dict[str, Any]] = [
                c for c in calls if c["incoming"] and c["answered_at"]
            ]
            answered.sort(
                key=lambda c: (
                    _enough(c, tone),
                    c["other"] == extension_of(dialled.caller),
                    c["started"],
                )
            )
            if answered and _enough(answered[-1], tone):
                return answered[-1]
            likely += [
                c
                for c in answered
                if c["phone"] == dialled.called or c["other"] == extension_of(dialled.caller)
            ]
        return likely[0] if likely else None

    def _candidates(self, called: str) -> list[tuple[Group, str | None]]:
        """First the phone with the number dialled, then every other."""
        first = [] if self._absent(called) else [(self._group_of(called), called)]
        return [*first, *((group, None) for group in self._groups() if group.running())]

    def _absent(self, extension: str) -> bool:
        phone = self._load()["phones"].get(extension)
        if phone is None or not (group := self.group(phone["home"])).running():
            return True
        return extension not in group.ask("ping")["phones"]

    def _hertz(self, extension: str) -> int:
        phone = self._load()["phones"].get(extension)
        return tones.frequency(phone["index"]) if phone else 0

    def _invites(self, extension: str) -> int:
        return 0 if self._absent(extension) else int(self.phone(extension)["invites"])

    def _where(self, caller: str, called: str) -> tuple[str | None, str | None]:
        first, second = (
            None if self._absent(number) else self._node_at(self.phone(number)["server"])
            for number in (caller, called)
        )
        return first, second


def _enough(call: Mapping[str, Any], hertz: int) -> bool:
    return bool(call["heard"].get(str(hertz), 0.0) >= tones.ENOUGH)
