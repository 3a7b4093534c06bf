"""What another PBX has: a pjsip.conf or a FreePBX export becomes extensions, with a report of what could not be carried."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pbxfed_ari.cli.daemon import REFUSED, Daemon, at, fail
from pbxfed_ari.errors import PbxfedError

SOURCES = ("pjsip.conf", "freepbx")
SECRET_BYTES = 12  # of a secret that we make
PAGE = "1000"
NAMED = 8  # clashes that one line names


@dataclass(frozen=True, slots=True)
class Foreign:
    """What to import, what to tell, and the secrets that had to be made."""

    objects: list[dict[str, Any]]
    report: list[str]
    made: dict[str, str]


def read(
    source: str, content: bytes, name: str, daemon: Daemon, *, renumber: bool, site: str
) -> Foreign:
    """The extensions of such a file. Exits with 1 if it cannot be read, or clashes and shall not be renumbered."""
    from pbxfed_ari.importing import freepbx, pjsip_conf
    from pbxfed_ari.importing import renumber as numbers
    from pbxfed_ari.importing.report import lines

    try:
        text = content.decode("utf-8-sig")
        if source == "freepbx":
            imported = freepbx.read(text, file=name)
        else:
            realm = _domain(daemon)
            folder = Path(name).parent
            imported = pjsip_conf.read(
                text, realm=realm, file=name, include=lambda glob: _included(folder, glob)
            )
        prefixes = {s["site"]: s["prefix"] for s in daemon.pages(at("sites", limit=PAGE))}
        own = prefixes.get(site, "")
        proposal = numbers.propose(imported.objects, _known(daemon), [*prefixes.values()], own)
        if proposal.clashes and not renumber:
            fail(_clash(proposal.clashes, proposal.mapping, proposal.prefix, site), REFUSED)
        imported = numbers.apply(imported, proposal, site=site)
    except UnicodeDecodeError as error:
        fail(f"{name}: not UTF-8 at byte {error.start}", REFUSED)
    except PbxfedError as error:
        fail(str(error), REFUSED)
    made = {number: secrets.token_urlsafe(SECRET_BYTES) for number in imported.without_secret()}
    objects = [_with_secret(one, made) for one in imported.objects]
    if site:
        described: dict[str, Any] = {"kind": "site", "site": site}
        objects.insert(0, described | ({"prefix": proposal.prefix} if proposal.prefix else {}))
    report = lines(imported.notes)
    report += [
        f"{name}: {trunk['endpoint']} is a trunk: pbxfed trunk add {trunk['trunk']} --endpoint "
        f"{trunk['endpoint']} --site SITE --nodes NODE --patterns PATTERNS"
        for trunk in imported.trunks
    ]
    return Foreign(objects, report, made)


def _with_secret(one: dict[str, Any], made: dict[str, str]) -> dict[str, Any]:
    number = str(one["extension"])
    more = {"secret": made[number]} if number in made else {}
    return {"kind": "extension", **one, **more}


def _domain(daemon: Daemon) -> str:
    status = daemon.get("/status")
    assert isinstance(status, dict)
    return str(status["domain"])


def _known(daemon: Daemon) -> dict[str, str]:
    """Every number that somebody has, and what he is."""
    found: dict[str, str] = {}
    for collection, key in (
        ("extensions", "extension"),
        ("groups", "number"),
        ("services", "number"),
    ):
        rows = daemon.pages(at(collection, limit=PAGE))
        found |= {str(row[key]): collection.removesuffix("s") for row in rows}
    return found


def _included(folder: Path, glob: str) -> Sequence[tuple[str, str]]:
    """The files that an #include names, beside the one that is read."""
    pattern = Path(glob).relative_to("/") if glob.startswith("/") else Path(glob)
    base = Path("/") if glob.startswith("/") else folder
    return [(str(f), f.read_text(errors="replace")) for f in sorted(base.glob(str(pattern)))]


def _clash(clashes: dict[str, str], mapping: dict[str, str], prefix: str, site: str) -> str:
    """Which numbers are taken, and what would be proposed."""
    taken = ", ".join(f"{n} ({kind})" for n, kind in list(clashes.items())[:NAMED])
    more = f" and {len(clashes) - NAMED} more" if len(clashes) > NAMED else ""
    some = ", ".join(f"{old} → {new}" for old, new in list(mapping.items())[:NAMED])
    said = f"put {prefix} before all of them ({some}, …)" if prefix else f"new numbers: {some}"
    place = "" if site else " --site SITE"
    return f"numbers that are taken: {taken}{more}; proposed: {said}; to do so: --renumber{place}"
