"""Many objects at once: a file comes in whole or not at all, and goes out as CSV or JSON."""

import json
from pathlib import Path
from typing import IO, Any

import click

from pbxfed_ari.cli import foreign
from pbxfed_ari.cli.daemon import BULK_SECONDS, JSON, REFUSED, Body, Daemon, at, done, fail
from pbxfed_ari.cli.tables import show
from pbxfed_ari.core.records.objects.kind import Kind

CSV = "text/csv"
STDIN = "<stdin>"
FORMATS = ("csv", "json")
COUNTS = ("added", "changed", "removed", "unchanged")


def importing(kind: Kind, many: str) -> click.Command:
    """The command `import`."""

    @click.pass_obj
    def import_(
        path: Path | None,
        /,
        file: IO[bytes],
        form: str | None,
        dry_run: bool,
        as_json: bool,
        source: str | None = None,
        renumber: bool = False,
        site: str = "",
    ) -> None:
        name = getattr(file, "name", STDIN)
        if (renumber or site) and source is None:
            raise click.UsageError("--renumber and --site need --from")
        if source is not None and form is not None:
            raise click.UsageError("--format and --from exclude one another")
        content = file.read()
        query = {"dry_run": "true" if dry_run else None}
        if source is not None:
            _from_elsewhere(
                Daemon(path),
                foreign.read(source, content, name, Daemon(path), renumber=renumber, site=site),
                dry_run=dry_run,
                as_json=as_json,
            )
            return
        form = form or _format_of(name)
        if form == "csv":
            where = at("import", kind=kind.name, **query)
            body = sent(Daemon(path), where, Body(content, f"{CSV}; charset=utf-8"))
        else:
            where = at("import", **query)
            body = sent(Daemon(path), where, {"objects": _objects(kind, content, name)})
        lines = _differences(body) if dry_run else []
        show(body, as_json, "\n".join([*lines, _summary(body, dry_run=dry_run)]))

    return click.Command(
        "import",
        callback=import_,
        short_help=f"Add and change many {many} at once, from a file.",
        help=(
            f"Add and change many {many} at once, from FILE (- is standard input): all of it or nothing.\n\n"
            f"CSV begins with a line of names: {kind.key_name}, then any of "
            f"{', '.join(kind.known())}. What a file does not name stays as it is. JSON is what "
            f"`pbxfed {kind.command} export --format json` writes."
        ),
        params=[
            click.Argument(["file"], type=click.File("rb")),
            _format("As what to read it.  [as the name of FILE ends]"),
            click.Option(
                ["--dry-run"], is_flag=True, help="Show what would change; change nothing."
            ),
            *(_foreign_options() if kind.name == "extension" else []),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON, for scripts."),
        ],
    )


def _foreign_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--from", "source"],
            type=click.Choice(foreign.SOURCES),
            help="FILE is another PBX's: an Asterisk's pjsip.conf, or FreePBX's Bulk Handler export of extensions. "
            "What cannot be carried over is told.",
        ),
        click.Option(
            ["--renumber"],
            is_flag=True,
            help="Numbers that are taken get new ones: one prefix for all if there is a free one.",
        ),
        click.Option(
            ["--site"],
            default="",
            metavar="NAME",
            help="The site that they belong to; made if need be. Its phones go on dialing the old, short numbers.",
        ),
    ]


def _from_elsewhere(
    daemon: Daemon, found: foreign.Foreign, *, dry_run: bool, as_json: bool
) -> None:
    """What another PBX had; secrets that had to be made are printed, this once, if they count."""
    where = at("import", dry_run="true" if dry_run else None)
    body = sent(daemon, where, {"objects": found.objects})
    made = {} if dry_run else found.made
    lines = [*found.report, *(_differences(body) if dry_run else [])]
    lines += [f"{number}: secret {secret} (not shown again)" for number, secret in made.items()]
    if dry_run and found.made:
        lines.append(f"{len(found.made)} secrets would be made: {', '.join(found.made)}")
    shown = {**body, "report": found.report, "secrets": made}
    show(shown, as_json, "\n".join([*lines, _summary(body, dry_run=dry_run)]))


def exporting(kind: Kind, many: str) -> click.Command:
    """The command `export`."""

    @click.pass_obj
    def export(path: Path | None, /, form: str | None, digests: bool = False) -> None:
        if digests and form != "json":
            raise click.UsageError("--digests needs --format json")
        if form == "json":
            secrets = "digests" if digests else None
            where, accept = at("export", kind=kind.name, secrets=secrets), JSON
        else:
            where, accept = at(kind.collection), CSV
        for block in Daemon(path).blocks(where, accept):
            click.echo(block, nl=False)

    digests = click.Option(
        ["--digests"],
        is_flag=True,
        help="With the digests of the secrets, for another federation of the same domain; "
        "needs an admin's token. Keep it as safe as a secret.",
    )
    hidden = any(field.hidden for field in kind.fields.values())
    return click.Command(
        "export",
        callback=export,
        help=f"Write all {many}, as CSV or JSON. `import` takes back what stands there; secrets are left out.",
        params=[_format("As what to write them.  [default: csv]"), *([digests] if hidden else [])],
    )


def sent(daemon: Daemon, where: str, body: object) -> dict[str, Any]:
    """The answer to many edits."""
    found = done(daemon.ask("POST", where, body, seconds=BULK_SECONDS)).body
    assert isinstance(found, dict)
    return found


def _format(text: str) -> click.Option:
    return click.Option(["--format", "form"], type=click.Choice(FORMATS), help=text)


def _format_of(name: str) -> str:
    ending = Path(name).suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise click.UsageError(f"{name}: is it csv or json? Say so with --format")
    return ending


def _objects(kind: Kind, content: bytes, name: str) -> list[dict[str, Any]]:
    """The objects of a JSON file: an export's, or a plain list; all of this kind."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        fail(f"{name}: not JSON: {error}", REFUSED)
    if isinstance(found, dict):
        found = found.get("objects")
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        fail(f'{name}: must be a list of objects, or {{"objects": [...]}}', REFUSED)
    for i, one in enumerate(found, 1):
        if one.setdefault("kind", kind.name) != kind.name:
            fail(f"{name}: object {i}: kind = {one['kind']!r}: must be {kind.name}", REFUSED)
    return found


def _summary(body: dict[str, Any], *, dry_run: bool) -> str:
    counts = [f"{body[what]} {what}" for what in COUNTS if body.get(what)]
    said = ", ".join(counts) or "nothing in it"
    return f"{said}; nothing was changed, this was a dry run" if dry_run else said


def _differences(body: dict[str, Any]) -> list[str]:
    """What would change, object by object and field by field."""
    lines: list[str] = []
    for one in body["objects"]:
        lines.append(f"{one['kind']} {one['key']}: {one['what']}")
        lines += [f"  {name}: {_change(*pair)}" for name, pair in one["changes"].items()]
    return lines


def _change(before: object, after: object) -> str:
    """`'' → 'Sales'`; of what is hidden only that it changes."""
    return f"{_said(before)} → {_said(after)}" if before is not None else "set anew"


def _said(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return repr(value)
