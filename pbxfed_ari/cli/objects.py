"""Configuration objects: for each kind a group of commands, made of its description. A new kind needs no word here."""

import re
import secrets
from functools import cache
from pathlib import Path
from typing import Any

import click

from pbxfed_ari.cli import bulk
from pbxfed_ari.cli.daemon import Answer, Daemon, at, done
from pbxfed_ari.cli.options import SECRET, entries_given, field_options, given, key_word
from pbxfed_ari.cli.tables import cell, record, show, table
from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.core.records.objects.kind import Kind

SECRET_BYTES = 12  # of a secret that we make: 96 bits, 16 characters
TRIES = 5  # of a change of a set that others change at the same time
PAGE = "1000"  # objects; a daemon gives no more at once
STALE = 412
EXAMPLES = {
    "extension": "ext add 1001 --name Reception --forward-busy 1002",
    "group": "group add 600 --name Sales --members 1001,1002 --strategy hunt",
    "queue": "queue add 700 --name Support --members 1001,1002 --wait-seconds 300 --otherwise 1003",
    "room": "room add 800 --name Monday --pin 2580 --most 20",
    "service": "service add *97 --context ivr-voicemail --nodes a,b",
    "did": "did add +493012345 --destination 600 --time office --otherwise *97",
    "trunk": "trunk add line --site berlin --endpoint provider --nodes a --patterns _0.",
    "time": "time add office --zone Europe/Berlin --hours 'mon-fri 08:00-18:00'",
    "class": "class add office --deny _0900.,_00. --pstn-calls 2",
    "site": "site add berlin --prefix 71 --calls 20 --codec g729",
}


@cache
def commands() -> dict[str, click.Command]:
    """All groups, by name."""
    return {kind.command: group(kind) for kind in KINDS.values()}


def group(kind: Kind) -> click.Group:
    """The commands of one kind."""
    example = EXAMPLES.get(kind.name, f"{kind.command} list")
    made = click.Group(
        kind.command,
        help=f"{kind.help}\n\n\b\nExample:\n  pbxfed {example}",
        short_help=kind.help.rstrip("."),
    )
    many, one = plural(kind), singular(kind)
    an, word = f"{'an' if one[0] in 'aeiou' else 'a'} {one}", key_word(kind)
    for command in (
        _add(kind, f"Add {an}. What is not given has its default.", word),
        _set(kind, f"Change {an}: only what is given.", word),
        _show(kind, f"Show all that stands of {an}.", word),
        _list(kind, f"List the {many}. Columns in which all have the default are left out."),
        _rm(kind, f"Remove {many}, on every node. Of several all or none is removed.", word),
        bulk.importing(kind, many),
        bulk.exporting(kind, many),
    ):
        made.add_command(command)
    if kind.name == "extension":
        from pbxfed_ari.cli.provisioning import provision

        made.add_command(provision)
    return made


def plural(kind: Kind) -> str:
    """As its help begins: `ring groups`, `PSTN trunks`."""
    said = re.sub(r" \(.*\)", "", kind.help.partition(":")[0])
    return said if said[1:2].isupper() else said[:1].lower() + said[1:]


def singular(kind: Kind) -> str:
    """One of them."""
    return re.sub(r"(ss)es$|s$", r"\1", plural(kind))


# --- the commands


def _add(kind: Kind, text: str, word: str) -> click.Command:
    @click.pass_obj
    def add(path: Path | None, /, key: str, as_json: bool, **values: Any) -> None:
        fields = given(kind, values)
        made = SECRET in kind.known() and SECRET not in fields
        if made:
            fields[SECRET] = secrets.token_urlsafe(SECRET_BYTES)
        where, only_new = at(kind.collection, key), {"If-None-Match": "*"}
        body = done(Daemon(path).ask("PUT", where, fields, only_new)).body
        assert isinstance(body, dict)
        told = f", secret {fields[SECRET]} (not shown again)" if made else ""
        show({**body, SECRET: fields[SECRET]} if made else body, as_json, f"{key} added{told}")

    return _command("add", add, text, [_key(word), *field_options(kind, new=True), _json()])


def _set(kind: Kind, text: str, word: str) -> click.Command:
    @click.pass_obj
    def set_(
        path: Path | None,
        /,
        key: str,
        match: str | None,
        object_id: str | None,
        as_json: bool,
        **values: Any,
    ) -> None:
        entries, fields = entries_given(kind, values), given(kind, values)
        if not fields and not entries:
            known = ", ".join(f"--{name.replace('_', '-')}" for name in kind.known())
            raise click.UsageError(f"nothing to change: give one of {known}")
        daemon, where = Daemon(path), at(kind.collection, key, id=object_id)
        if entries:
            answer = _with_entries(daemon, where, fields, entries, match)
        else:
            answer = done(daemon.ask("PATCH", where, fields, _match(match)))
        show(answer.body, as_json, f"{key} changed")

    found = [_key(word), *field_options(kind, new=False), _match_option(), _id(kind), _json()]
    return _command("set", set_, text, found)


def _with_entries(
    daemon: Daemon,
    where: str,
    fields: dict[str, object],
    entries: dict[str, tuple[list[Any], list[Any]]],
    match: str | None,
) -> Answer:
    """Read, change, write what was read only; again, if somebody else was faster."""
    for _ in range(TRIES):
        read = done(daemon.ask("GET", where))
        assert isinstance(read.body, dict)
        wanted = dict(fields)
        for name, (more, less) in entries.items():
            held = [entry for entry in read.body[name] if entry not in less]
            wanted[name] = [*held, *(e for e in dict.fromkeys(more) if e not in held)]
        answer = daemon.ask("PATCH", where, wanted, _match(match or read.etag))
        if answer.status != STALE or match:
            break
    return done(answer)


def _show(kind: Kind, text: str, word: str) -> click.Command:
    @click.pass_obj
    def show_(path: Path | None, /, key: str, object_id: str | None, as_json: bool) -> None:
        answer = done(Daemon(path).ask("GET", at(kind.collection, key, id=object_id)))
        assert isinstance(answer.body, dict)
        etag = answer.etag.removeprefix("W/").strip('"')
        body = {**answer.body, "etag": etag} if etag else answer.body
        show(body, as_json, record(body))

    return _command("show", show_, text, [_key(word), _id(kind), _json()])


def _list(kind: Kind, text: str) -> click.Command:
    @click.pass_obj
    def list_(path: Path | None, /, find: str | None, as_json: bool) -> None:
        rows = Daemon(path).pages(at(kind.collection, limit=PAGE, q=find))
        show(rows, as_json, table(rows, _columns(kind, rows)))

    find = click.Option(
        ["--find"], metavar="TEXT", help=f"Only those with TEXT in {key_word(kind)} or name."
    )
    return _command("list", list_, text, [find, _json()])


def _rm(kind: Kind, text: str, word: str) -> click.Command:
    @click.pass_obj
    def rm(
        path: Path | None,
        /,
        keys: tuple[str, ...],
        match: str | None,
        object_id: str | None,
        as_json: bool,
    ) -> None:
        if len(keys) > 1 and (match or object_id):
            raise click.UsageError("--match and --id are of one object: remove the others apart")
        daemon = Daemon(path)
        if len(keys) == 1:
            where = at(kind.collection, keys[0], id=object_id)
            body = done(daemon.ask("DELETE", where, headers=_match(match))).body
        else:
            removed = [{"kind": kind.name, kind.key_name: key, "remove": True} for key in keys]
            body = bulk.sent(daemon, at("import"), {"objects": removed})
        show(body, as_json, "\n".join(f"{key} removed" for key in keys))

    keys = click.Argument(["keys"], metavar=f"{word}…", nargs=-1, required=True)
    return _command("rm", rm, text, [keys, _match_option(), _id(kind), _json()])


# --- what they have in common


def _command(
    name: str, callback: Any, text: str, parameters: list[click.Parameter]
) -> click.Command:
    return click.Command(name, callback=callback, help=text, params=parameters)


def _key(word: str) -> click.Argument:
    return click.Argument(["key"], metavar=word)


def _json() -> click.Option:
    return click.Option(["--json", "as_json"], is_flag=True, help="Print JSON, for scripts.")


def _id(kind: Kind) -> click.Option:
    claim = f"One of several that claim {key_word(kind)}, as `pbxfed {kind.command} list` shows."
    return click.Option(["--id", "object_id"], metavar="ID", help=claim)


def _match_option() -> click.Option:
    text = "Only if nobody has changed it since `show` printed this etag."
    return click.Option(["--match"], metavar="ETAG", help=text)


def _match(etag: str | None) -> dict[str, str]:
    """The header that makes an edit one of what was read only."""
    if not etag:
        return {}
    if not re.fullmatch(r"[!-~]{1,200}", etag):
        raise click.UsageError(f"--match {etag[:60]!r}: must be an etag, as `show` prints it")
    return {"If-Match": etag if etag == "*" or '"' in etag else f'"{etag}"'}


def _columns(kind: Kind, rows: list[dict[str, Any]]) -> tuple[str, ...]:
    """Key, name and what is needed always; of the rest what somebody has set; of contested ones how to tell them apart."""
    always = {kind.key_name, "name", "registered", "stands", "callers", *kind.needed}
    defaults = {name: cell(_plain(value)) for name, value in kind.defaults.items()}
    defaults["has_pin"] = cell(False)
    names = [kind.key_name, *(n for n in kind.fields if n in kind.known())]
    if any("registered" in row for row in rows) or (not rows and kind.name == "extension"):
        names.append("registered")
    if kind.name == "room":
        names.append("has_pin")
    if kind.name in ("room", "queue"):
        names += ["stands", "callers"]
    used = [
        name
        for name in names
        if name in always or any(cell(row.get(name)) != defaults[name] for row in rows)
    ]
    contested = any(row.get("state") == "contested" for row in rows)
    return (*used, "state", "id") if contested else tuple(used)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
