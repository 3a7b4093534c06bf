"""An operator's machine, in a few lines: what Debian's own files say outside of comments."""

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pbxfed_ari.installing.facts import Asterisk, Interface, Machine
from pbxfed_ari.installing.plan import Plan, Wish, plan
from pbxfed_ari.installing.rules import FILES

DIALPLAN = Path(__file__).parents[2] / "dialplan"
TEMPLATES = {file: (DIALPLAN / file).read_text() for file in FILES}
DEBIAN = {
    "asterisk.conf": "[directories](!)\n",
    "ari.conf": "[general]\nenabled = yes       ; When set to no, ARI support is disabled.\n",
    "extconfig.conf": "[settings]\n",
    "extensions.conf": "[general]\nstatic=yes\n[demo]\nexten => s,1,Wait(1)\n",
    "http.conf": "[general]\nservername=Asterisk\nbindaddr=127.0.0.1\n;",
    "iax.conf": "[general]\nbandwidth=high\ndisallow=lpc10\nencryption=yes\nautokill=yes\n",
    "logger.conf": "[general]\n[logfiles]\nconsole => notice,warning,error\n",
    "modules.conf": "[modules]\nautoload=yes\nnoload => chan_alsa.so\n",
    "pjsip.conf": "; nothing yet\n",
    "res_config_sqlite3.conf": "",
    "rtp.conf": "[general]\nrtpstart=10000\nrtpend=20000\n",
    "sorcery.conf": "[general]\n[test_sorcery_section]\ntest=memory\n",
}
WISH = Wish(name="a", domain="pbx.example", address="10.0.0.11", password="new-password")


def machine(*, more: dict[str, str] | None = None, **changed: Any) -> Machine:
    """Debian's machine, with these texts at the ends of its files, or these facts changed."""
    files = dict(DEBIAN)
    for name, text in (more or {}).items():
        files[name] = files.get(name, "") + text
    found = Machine(
        Asterisk("22.10.1", running=True, pid=100),
        (Interface("eth0", "10.0.0.11", default=True),),
        files=files,
        users=frozenset({"pbxfed"}),
        groups=frozenset({"pbxfed", "asterisk"}),
        shared=True,
        member=True,
    )
    found = replace(found, **changed)
    return replace(found, include=lambda name: _included(found.files, name))


def _included(files: dict[str, str], name: str) -> Sequence[tuple[str, str]]:
    name = name.removeprefix("/etc/asterisk/")
    return [(f"/etc/asterisk/{f}", text) for f, text in sorted(files.items()) if fnmatch(f, name)]


def planned(machine: Machine, **wish: Any) -> Plan:
    return plan(machine, replace(WISH, **wish), TEMPLATES)


def carried_out(before: Machine, made: Plan) -> Machine:
    """The machine with a plan's edits in its files."""
    files = dict(before.files)
    for edit in made.edits:
        files[edit.path.removeprefix("/etc/asterisk/")] = edit.after
    config = files.pop(made.wish.config, before.config)
    found = replace(before, files=files, config=config, password="new-password")
    return replace(found, include=lambda name: _included(files, name))
