"""What is printed: the plan as a diff, the checks, and all of it as JSON."""

import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pbxfed_ari.cli.init.options import Options
from pbxfed_ari.cli.tables import show

if TYPE_CHECKING:
    from pbxfed_ari.installing.facts import Machine
    from pbxfed_ari.installing.judging import Check
    from pbxfed_ari.installing.manifest import Undo
    from pbxfed_ari.installing.plan import Edit, Plan, Wish


def tell(plan: "Plan", machine: "Machine") -> None:
    """What was found, and what would be done."""
    asterisk, wish = machine.asterisk, plan.wish
    state = f"runs as {asterisk.user}" if asterisk.running else "does not run"
    click.echo(f"Asterisk {asterisk.version} {state}, configured in {asterisk.etc}")
    click.echo(f"node {wish.name} at {wish.address}, federation {wish.domain}")
    for edit in plan.edits:
        click.echo(diff(edit), nl=False)
    for line in more(plan):
        click.echo(line)
    for hint in plan.hints:
        click.echo(f"note: {hint}")
    if asterisk.warning:
        click.echo(f"note: {asterisk.warning}")


def more(plan: "Plan") -> list[str]:
    """What is done beside files."""
    wish = plan.wish
    lines = [f"make the system user {wish.user}"] if plan.make_user else []
    lines += [f"put {wish.user} into the group {plan.join_group}"] if plan.join_group else []
    lines += [f"make {plan.objects}, for both users"] if plan.share else []
    if plan.keys:
        lines.append(
            "redeem the token" if wish.joins else f"make the federation's key, in {wish.state}"
        )
    if plan.restart:
        lines.append("restart Asterisk")
    return lines + [f"asterisk -rx '{command}'" for command in plan.reloads if not plan.restart]


def diff(edit: "Edit") -> str:
    """As `diff -u`, but only what is new: beside it in the operator's file may stand a secret. Of ours, that there is one."""
    if edit.secret:
        return f"+++ {edit.path}: a new password, mode {edit.mode:o}\n"
    old, new = (edit.before or "").split("\n"), edit.after.split("\n")
    name = edit.path if edit.before is not None else "/dev/null"
    lines = difflib.unified_diff(old, new, name, edit.path, n=0, lineterm="")
    return "".join(f"{line}\n" for line in lines)


def undo_line(undo: "Undo") -> str:
    """One file, and what becomes of it."""
    what = f"remove {undo.path}" if undo.text is None else f"restore {undo.path}"
    return f"{undo.path}: {undo.note}" if undo.note else what


def end(
    options: Options,
    plan: "Plan",
    machine: "Machine",
    checks: "Sequence[Check]",
    words: str,
    *,
    written: bool = False,
) -> int:
    """The last words: checks, and what to do next; the exit code."""
    edits = [
        {"path": e.path, "action": "make" if e.before is None else "change", "diff": diff(e)}
        for e in plan.edits
    ]
    wish = plan.wish
    body = {
        "node": wish.name,
        "address": wish.address,
        "domain": wish.domain,
        "asterisk": machine.asterisk.version,
        "edits": edits,
        "more": more(plan),
        "notes": plan.hints,
        "conflicts": [],
        "written": written,
        "checks": [row(check) for check in checks],
        "said": words,
    }
    show(body, options.json, "\n".join(filter(None, (check_lines(checks), words))))
    return int(any(check.state == "bad" for check in checks))


def row(check: "Check") -> dict[str, str]:
    """A check, for scripts."""
    return {"name": check.name, "state": check.state, "text": check.text, "remedy": check.remedy}


def check_lines(checks: "Sequence[Check]") -> str:
    """Checks, for people."""
    return "\n".join(
        f"{c.state:4}  {c.name:<11}  {c.text}" + (f"; {c.remedy}" if c.remedy else "")
        for c in checks
    )


def start_line(wish: "Wish") -> str:
    """How the daemon is started here."""
    units = [
        Path(folder) / "pbxfed.service"
        for folder in ("/etc/systemd/system", "/usr/lib/systemd/system")
    ]
    if any(unit.exists() for unit in units):
        return "`systemctl enable --now pbxfed`"
    program = Path(sys.prefix) / "bin" / "pbxfed"  # of this virtual environment
    return f"`runuser -u {wish.user} -- {program if program.exists() else 'pbxfed'} run`"
