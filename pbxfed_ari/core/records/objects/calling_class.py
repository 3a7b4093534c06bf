"""A calling class: who may dial what. It holds for every number that is dialed, forwarded to or transferred to."""

from dataclasses import dataclass
from typing import Annotated

from pbxfed_ari.core.records import patterns
from pbxfed_ari.core.records.objects.fields import LABEL, PATTERNS, Field, Whole
from pbxfed_ari.core.records.objects.kind import Item, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class CallingClass(Item):
    """A calling class as it stands in the book."""

    allow: Annotated[
        tuple[str, ...],
        Field(2, PATTERNS, "What may be dialed, as dialplan patterns; empty: everything."),
    ] = ()
    deny: Annotated[
        tuple[str, ...],
        Field(3, PATTERNS, "What may not; a more particular pattern of `allow` is an exception."),
    ] = ()
    pstn_calls: Annotated[
        int,
        Field(
            4,
            Whole(0, 1_000),
            "Calls to the outside at once, for each extension; 0: no limit. Counted by the node that it calls from, and "
            "by the one whose trunk is used.",
        ),
    ] = 0
    pstn_per_hour: Annotated[
        int,
        Field(
            5,
            Whole(0, 10_000),
            "Calls to the outside within an hour, for each extension; 0: no limit. Counted likewise.",
        ),
    ] = 0

    def allows(self, number: str) -> tuple[bool, str]:
        """May this number be dialed, and which pattern says so?"""
        allow, deny = patterns.best(self.allow, number), patterns.best(self.deny, number)
        if self.allow and allow is None:
            return False, f"class {self.key} does not allow {number}"
        if deny is None:
            return True, f"class {self.key} allows it"
        if allow is not None and patterns.particular(allow) < patterns.particular(deny):
            return True, f"class {self.key} allows {allow}"
        return False, f"class {self.key} denies {deny}"

    def bars(self, digits: str, number: str) -> str:
        """Which pattern keeps these digits from being sent for a number that may be dialed? "" if none does.

        A more particular pattern of `allow` is an exception for what is sent, and for what was dialed.
        """
        deny = patterns.best(self.deny, digits)
        if deny is None:
            return ""
        allow = [found for n in (digits, number) if (found := patterns.best(self.allow, n))]
        if any(patterns.particular(one) < patterns.particular(deny) for one in allow):
            return ""
        return f"class {self.key} denies {deny}"


CLASS = Kind(
    "class",
    b"c",
    CallingClass,
    key=LABEL,
    key_name="class",
    collection="classes",
    help="Calling classes: who may dial what, and how much of it (against toll fraud).",
    example={"class": "office", "deny": ["_0900."], "pstn_calls": 2},
)
