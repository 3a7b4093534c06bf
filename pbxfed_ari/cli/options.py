"""The fields of a kind as options: their texts come of its description, and its types read what was typed.

What breaks a rule is refused by the daemon, which knows all of them; here only what cannot be read is wrong usage.
"""

from collections.abc import Callable
from typing import Any

import click

from pbxfed_ari.cli.secrets import from_stdin
from pbxfed_ari.core import names
from pbxfed_ari.core.records import patterns
from pbxfed_ari.core.records.objects.fields import (
    Choice,
    Field,
    Flag,
    ListOf,
    Named,
    Type,
    Whole,
    Word,
)
from pbxfed_ari.core.records.objects.kind import Kind

SECRET = "secret"
SECRET_HELP = "The phone's secret; - reads it from standard input.  [$PBXFED_SECRET]"
SECRET_MADE = f"{SECRET_HELP}  Without it one is made, and shown this once."
_READERS: dict[Callable[[str], object], str] = {
    names.extension: "NUMBER",
    names.dialable: "NUMBER",
    names.node_name: "NODE",
    patterns.pattern: "PATTERN",
}


class Typed(click.ParamType[object]):
    """What a field's own type reads from a text."""

    def __init__(self, kind: Type) -> None:
        self.name, self._kind = "value", kind

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """The value to send."""
        if not isinstance(value, str):
            return value
        try:
            return self._kind.parse(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


def key_word(kind: Kind) -> str:
    """What the key of such an object is called on the command line."""
    digits = isinstance(kind.key, Named) or "digits" in getattr(kind.key, "rule", "")
    return "NUMBER" if digits else "NAME"


def field_options(kind: Kind, *, new: bool) -> list[click.Parameter]:
    """An option for each field: the needed ones first, then as they are described. `new`: of an object to be added."""
    known = sorted(kind.known(), key=lambda name: name not in kind.needed)
    found: list[click.Parameter] = []
    for name in known:
        field = kind.fields.get(name)
        if field is None:
            found.append(_secret(SECRET_MADE if new else SECRET_HELP))
            continue
        found.append(_option(kind, name, field, new=new))
        if name in kind.sets and not new:
            found += [_entries("add", name, field), _entries("drop", name, field)]
    return found


def given(kind: Kind, values: dict[str, Any]) -> dict[str, object]:
    """The fields that were given."""
    found = {name: values[_slot(name)] for name in kind.known()}
    if found.get(SECRET) == "-":
        found[SECRET] = from_stdin("Secret")
    if any("\ud800" <= c <= "\udfff" for c in str(found.get(SECRET) or "")):
        raise click.UsageError("the secret must be UTF-8")
    return {name: value for name, value in found.items() if value is not None}


def entries_given(kind: Kind, values: dict[str, Any]) -> dict[str, tuple[list[Any], list[Any]]]:
    """The set fields of which some entries shall be added, and others dropped."""
    found = {
        name: (_flat(values[f"add_{name}"]), _flat(values[f"drop_{name}"])) for name in kind.sets
    }
    both = [name for name, pair in found.items() if any(pair) and values[_slot(name)] is not None]
    if both:
        option = both[0].replace("_", "-")
        raise click.UsageError(
            f"--{option} says all of it: leave out --add-{option} and --drop-{option}"
        )
    return {name: pair for name, pair in found.items() if any(pair)}


def _slot(name: str) -> str:
    return f"field_{name}"


def _option(kind: Kind, name: str, field: Field, *, new: bool) -> click.Option:
    option = "--" + name.replace("_", "-")
    needed = new and name in kind.needed
    text = field.help + (_default(field.type, kind.defaults[name]) if new and not needed else "")
    if isinstance(field.type, Flag):
        switch = f"{option}/--no-{option.removeprefix('--')}"
        return click.Option([switch, _slot(name)], default=None, help=text)
    return click.Option(
        [option, *_other_name(name, field), _slot(name)],
        type=Typed(field.type),
        metavar=_word(name, field.type, field.refers),
        required=needed,
        help=text,
    )


def _entries(verb: str, name: str, field: Field) -> click.Option:
    """An option that adds or drops entries of a set, and leaves the others alone."""
    where = "into" if verb == "add" else "from"
    of = field.type.of if isinstance(field.type, ListOf) else field.type
    return click.Option(
        [f"--{verb}-{name.replace('_', '-')}", f"{verb}_{name}"],
        type=Typed(field.type),
        multiple=True,
        metavar=_word(name, of, field.refers),
        help=f"{'Put' if verb == 'add' else 'Take'} it {where} {name}, leave the others; repeatable.",
    )


def _secret(text: str) -> click.Option:
    return click.Option(
        [f"--{SECRET}", _slot(SECRET)], envvar="PBXFED_SECRET", metavar="SECRET", help=text
    )


def _other_name(name: str, field: Field) -> list[str]:
    """--class, where the field calling_class names one: the shorter is what people type."""
    return [f"--{kind}" for kind in field.refers if name.endswith(f"_{kind}")]


def _default(kind: Type, value: object) -> str:
    """The default as help tells it; that nothing is set needs no word."""
    return "" if value in ("", ()) or value is False else f"  [default: {kind.text(value)}]"


def _word(name: str, kind: Type, refers: tuple[str, ...] = ()) -> str:
    """What stands for a value in help: NUMBER, NODE,… or the choices."""
    if isinstance(kind, ListOf):
        if isinstance(kind.of, Choice):
            return f"{name.removesuffix('s').upper()},…"
        if isinstance(kind.of, Word) and "digits" not in kind.of.rule:
            return f"{name.upper()},…"
        return f"{_word(name.removesuffix('s'), kind.of, refers)},…"
    if isinstance(kind, Choice):
        return f"[{'|'.join(word or '-' for word in kind.words)}]"
    if isinstance(kind, Named):
        return _READERS.get(kind.read, name.upper())
    if isinstance(kind, Whole):
        return "SECONDS" if name.endswith("seconds") or name == "timer" else "N"
    if isinstance(kind, Word):
        return "DIGITS" if "digits" in kind.rule else name.rpartition("_")[2].upper()
    return "TEXT"


def _flat(lists: tuple[list[Any], ...]) -> list[Any]:
    return [entry for one in lists for entry in one]
