"""XML 1.0, made by the standard library: it escapes; what no XML may hold (§2.2 of its specification) is left out."""

from collections.abc import Iterable
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement


def leaf(parent: Element, tag: str, text: object, **attributes: str) -> Element:
    """An element with a text."""
    made = SubElement(parent, tag, attributes)
    made.text = clean(str(text))
    return made


def attributes(pairs: Iterable[tuple[str, object]]) -> dict[str, str]:
    """Attributes, in order."""
    return {name: clean(str(value)) for name, value in pairs}


def document(root: Element) -> str:
    """The whole file."""
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def clean(text: str) -> str:
    """What may stand in a value: no control characters, none that are no characters."""
    return "".join(c for c in text if c.isprintable() and c not in "\ufffe\uffff")
