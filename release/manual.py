"""The manual pages, made of the command line's own help and of the configuration's keys, so that they never lag behind.

    python -m release.manual FOLDER      writes pbxfed.1 and pbxfed.toml.5

Only what no command knows of itself is written here. The markup is man(7).
"""

import re
import sys
from dataclasses import MISSING, fields
from pathlib import Path

import click

from pbxfed_ari import __version__, config
from pbxfed_ari.cli import OBJECTS, SECTIONS, groups, main

EXIT = (
    ("0", "done"),
    ("1", "refused, or not found"),
    ("2", "wrong usage"),
    ("3", "the daemon cannot be reached"),
)
FILES = (
    ("/etc/pbxfed/pbxfed.toml", "the configuration, see pbxfed.toml(5)"),
    ("/etc/pbxfed/ari.password", "the password of the user in Asterisk's ari.conf"),
    ("/var/lib/pbxfed", "the store, the group's keys and this node's own: as secret as a password"),
    ("/var/lib/asterisk/pbxfed", "what Asterisk and the daemon share: objects, and peers of IAX2"),
)
ENVIRONMENT = (
    ("PBXFED_CONFIG", "the configuration file, if --config does not name it"),
    ("PBXFED_SECRET", "a phone's secret, for add and set"),
    ("NOTIFY_SOCKET, WATCHDOG_USEC", "where systemd hears of readiness, health and life"),
)
SIGNALS = (
    ("SIGTERM, SIGINT", "the peers are told, and the daemon ends; conversations go on"),
    (
        "SIGHUP",
        "the configuration is read anew: [calls], node.weight and log.level; the rest needs a restart",
    ),
)


def commands_page() -> str:
    """pbxfed(1)."""
    top = main.make_context("pbxfed", [], resilient_parsing=True)
    parts = [
        _head("PBXFED", 1, "pbxfed", "federate Asterisk PBXs: any phone on any node"),
        ".SH SYNOPSIS\n.B pbxfed\n[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGS\\fR]",
        ".SH DESCRIPTION",
        _prose(
            "One daemon beside each Asterisk, and they behave as one telephone system: any phone may register on any node, "
            "any extension can be dialed from anywhere, and a node that dies takes nothing with it but the calls that ran "
            "through it.\n\n`pbxfed run` is the daemon; every other command asks it over HTTP. Commands that read print a "
            "table, or JSON with --json."
        ),
        ".SH OPTIONS",
        _options(top, main),
    ]
    for title, names in {**SECTIONS, OBJECTS: sorted(groups())}.items():
        parts.append(f".SH {_text(title.upper())}")
        for name in names:
            command = main.get_command(top, name)
            assert command is not None
            parts.append(_command(top, name, command))
    for title, rows in (
        ("EXIT STATUS", EXIT),
        ("SIGNALS", SIGNALS),
        ("FILES", FILES),
        ("ENVIRONMENT", ENVIRONMENT),
    ):
        parts += [f".SH {title}", *(_item(word, said) for word, said in rows)]
    parts.append(".SH SEE ALSO\n.BR pbxfed.toml (5),\n.BR asterisk (8),\n.BR systemctl (1)")
    return "\n".join(parts) + "\n"


def configuration_page() -> str:
    """pbxfed.toml(5)."""
    parts = [
        _head("PBXFED.TOML", 5, "pbxfed.toml", "configuration of the pbxfed daemon"),
        ".SH SYNOPSIS\n.I /etc/pbxfed/pbxfed.toml",
        ".SH DESCRIPTION",
        _prose(
            "A TOML file. `pbxfed check` says whether it is good, and what is wrong otherwise. On SIGHUP [calls], "
            "node.weight and log.level are read anew; the rest needs a restart. Files with secrets must not be readable for "
            "others."
        ),
    ]
    for section, kind in config.SECTIONS.items():
        parts += [f".SH [{section.upper()}]", _prose(kind.__doc__ or "")]
        for one in fields(kind):
            default = _default(one.default)
            meaning = str(one.metadata["meaning"])
            parts.append(_item(f"{section}.{one.name}", f"{meaning}. {default}"))
    parts.append(".SH SEE ALSO\n.BR pbxfed (1)")
    return "\n".join(parts) + "\n"


def _default(value: object) -> str:
    if value is MISSING:
        return "Needed."
    if value in (None, ""):
        return "Not set by default."
    shown = f"{list(value)}" if isinstance(value, tuple) else str(value)
    shown = shown.lower() if isinstance(value, bool) else shown.replace("'", '"')
    return f"Default: {shown}"


def _command(parent: click.Context, name: str, command: click.Command) -> str:
    """A command, with its options, and those below it."""
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join(command.collect_usage_pieces(context))
    parts = [
        f".SS {_text(context.command_path)} {_text(usage)}",
        _prose(command.help or ""),
        _options(context, command),
    ]
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            parts.append(_command(context, below, found))
    return "\n".join(filter(None, parts))


def _options(context: click.Context, command: click.Command) -> str:
    """What stands in its help; --help itself once, on top."""
    shown = command.get_params(context) if context.parent is None else command.params
    records = [one.get_help_record(context) for one in shown if isinstance(one, click.Option)]
    return "\n".join(_item(*record) for record in records if record)


def _head(title: str, section: int, name: str, purpose: str) -> str:
    return (
        f'.TH {title} {section} "" "pbxfed {__version__}" "pbxfed"\n.SH NAME\n{name} \\- {purpose}'
    )


def _item(word: str, said: str) -> str:
    return f".TP\n.B {_text(word)}\n{_text(' '.join(said.split()))}"


def _prose(text: str) -> str:
    """Paragraphs; those that click is told to leave alone (by a backspace on top) keep their lines."""
    parts = []
    for paragraph in text.strip().split("\n\n"):
        if paragraph.startswith("\b\n"):
            parts.append(f".PP\n.nf\n{_text(paragraph[2:])}\n.fi")
        else:
            parts.append(f".PP\n{_text(' '.join(paragraph.split()))}")
    return "\n".join(parts)


def _text(text: str) -> str:
    """Characters that roff would take for its own are escaped: a backslash, a dash, and a dot or quote that begins a line."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga")
    escaped = escaped.replace("…", "...").replace("^", "\\(ha").replace("~", "\\(ti")
    return re.sub(r"^([.'])", r"\\&\1", escaped, flags=re.MULTILINE)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pbxfed.1").write_text(commands_page())
    (folder / "pbxfed.toml.5").write_text(configuration_page())
