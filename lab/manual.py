"""Asterisk's manual, cut to what it starts with.

Asterisk reads the whole at each start, and looks up there what each of its modules can be asked and configured: half of what
a start costs, of hundreds of them. Options of modules must be described, or these are not loaded; whatever else has a name
needs one line, or the log begins with a thousand warnings. What is cut is text for people.
"""

from __future__ import annotations

import xml.etree.ElementTree as Xml
from pathlib import Path

MANUAL = Path("usr/share/asterisk/documentation/core-en_US.xml")
PROSE = {"description", "see-also", "since"}


def cut(root: Path) -> None:
    """Do so in a root folder with an Asterisk in it."""
    manual = Xml.parse(root / MANUAL)
    for part in list(manual.getroot()):
        if part.tag != "configInfo":
            _keep(part, {"synopsis"})
            continue
        for element in part.iter():
            _keep(element, {child.tag for child in element} - PROSE)
    manual.write(root / MANUAL, encoding="utf-8", xml_declaration=True)


def _keep(element: Xml.Element, tags: set[str]) -> None:
    """Of its children those."""
    for child in list(element):
        if child.tag not in tags:
            element.remove(child)
