"""A vendor: which files its phones ask for, and what stands in them."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from pbxfed_ari.provisioning.sheet import Sheet

MAC = r"(?P<mac>[0-9A-Fa-f]{12})"
XML, TEXT = "application/xml", "text/plain"


class Unfit(ValueError):
    """What a file must say, this vendor's format cannot hold. The operator's to change: the text says what."""


@dataclass(frozen=True, slots=True)
class File:
    """One file, under every name by which it is asked for."""

    pattern: str  # of the whole name
    content_type: str
    render: Callable[[Sheet], str]
    secret: bool = True  # whether the secret stands in it


@dataclass(frozen=True, slots=True)
class Vendor:
    """What is said of a vendor's phones."""

    name: str
    files: tuple[File, ...]
    names: tuple[str, ...]  # by which its phones ask for them, in order; {mac} is the phone's own

    @property
    def macs(self) -> bool:
        """Do its phones say their MAC address in the file's name?"""
        return "{mac}" in self.names[0]

    @property
    def entry(self) -> str:
        """What a phone is given behind the folder's URL: nothing, if it makes the names itself."""
        return "" if self.macs else self.names[0]

    def find(self, name: str, mac: str = "") -> tuple[File, str] | None:
        """The file of this name, and the MAC address in it; None if there is none, or it is another phone's than `mac`."""
        for file in self.files:
            found = re.fullmatch(file.pattern, name)
            if found:
                said = (found.groupdict().get("mac") or "").lower()
                return (file, said) if not mac or said == mac else None
        return None


def line(text: str) -> str:
    """A text on one line: what cannot be printed is left out, and space at its ends."""
    return "".join(c for c in text if c.isprintable()).strip()
