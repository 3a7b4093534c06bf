"""All or nothing, on a real disk: written beside, renamed, and undone when anything fails."""

import grp
import os
import pwd
from dataclasses import replace
from pathlib import Path

import pytest

from pbxfed_ari.errors import Refused
from pbxfed_ari.installing import manifest as manifests
from pbxfed_ari.installing import writing
from pbxfed_ari.installing.facts import Asterisk, Machine
from pbxfed_ari.installing.manifest import Entry, Manifest
from pbxfed_ari.installing.plan import Plan, Wish, plan
from tests.installing.samples import DEBIAN, TEMPLATES

ME = pwd.getpwuid(os.geteuid()).pw_name
MINE = grp.getgrgid(os.getegid()).gr_name


class Disk:
    """An operator's folders, under one of the test's."""

    def __init__(self, top: Path) -> None:
        self.etc, self.state, self.config = top / "etc", top / "state", top / "conf" / "pbxfed.toml"
        self.etc.mkdir()
        for name, text in DEBIAN.items():
            (self.etc / name).write_text(text)
        (self.etc / "http.conf").chmod(0o604)
        self.asterisk = Asterisk(
            "22.10.1", etc=str(self.etc), varlib=str(top / "var"), user=ME, group=MINE
        )

    def plan(self) -> Plan:
        files = {
            str(path.relative_to(self.etc)): path.read_text()
            for path in self.etc.rglob("*")
            if path.is_file()
        }
        wish = Wish(
            name="a",
            domain="pbx.example",
            address="10.0.0.11",
            config=str(self.config),
            state=str(self.state),
            password_file=str(self.config.with_name("ari.password")),
            user=ME,
            password="secret",
        )
        machine = Machine(
            self.asterisk, files=files, users=frozenset({ME}), groups=frozenset({MINE})
        )
        return plan(machine, wish, TEMPLATES)

    def all(self) -> dict[str, tuple[bytes, int]]:
        """Every file below the test's folder, with its mode."""
        top = self.etc.parent
        found = [path for path in top.rglob("*") if path.is_file()]
        return {str(p): (p.read_bytes(), p.stat().st_mode) for p in found}

    def folders(self) -> set[Path]:
        return {path for path in self.etc.parent.rglob("*") if path.is_dir()}


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_written_and_taken_back_byte_for_byte(disk: Disk) -> None:
    """Modes and missing newlines, too."""
    before, folders = disk.all(), disk.folders()
    writing.write(disk.plan(), disk.asterisk, lambda undoing: [])
    assert (disk.etc / "http.conf").stat().st_mode & 0o777 == 0o604
    assert disk.config.with_name("ari.password").stat().st_mode & 0o777 == 0o600
    found = writing.load(disk.state)
    assert found is not None
    known = [disk.config, disk.config.with_name("ari.password")]
    assert (
        writing.take_back(disk.state, found, writing.undone(disk.state, found, known), purge=True)
        == []
    )
    assert (disk.all(), disk.folders()) == (before, folders)


def test_when_one_file_fails_none_is_changed(disk: Disk) -> None:
    """The error is told, and the disk is as it was."""
    before, folders = disk.all(), disk.folders()
    made = disk.plan()
    broken = replace(
        made, edits=(*made.edits, replace(made.edits[-1], path="/dev/null/x", secret=True))
    )
    with pytest.raises(OSError, match="Not a directory"):
        writing.write(broken, disk.asterisk, lambda undoing: [])
    assert (disk.all(), disk.folders()) == (before, folders)


def test_when_the_token_is_refused_none_is_changed(disk: Disk) -> None:
    """It is asked for after everything stands ready, and before anything takes its place."""
    before, folders = disk.all(), disk.folders()

    def refuse(undoing: writing.Undoing) -> list[Entry]:
        raise Refused("the inviter says: no")

    with pytest.raises(Refused):
        writing.write(disk.plan(), disk.asterisk, refuse)
    assert (disk.all(), disk.folders()) == (before, folders)


def test_a_removal_that_was_interrupted_is_finished(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest goes last."""
    before, folders = disk.all(), disk.folders()
    writing.write(disk.plan(), disk.asterisk, lambda undoing: [])
    known = [disk.config, disk.config.with_name("ari.password")]
    found = writing.load(disk.state)
    assert found is not None
    with monkeypatch.context() as patch:
        real, left = writing._put, iter(range(3))

        def failing(path: Path, text: str, mode: int, owner: tuple[int, int]) -> None:
            if next(left, None) is None:
                raise OSError("power cut")
            real(path, text, mode, owner)

        patch.setattr(writing, "_put", failing)
        undos = writing.undone(disk.state, found, known)
        with pytest.raises(OSError, match="power cut"):
            writing.take_back(disk.state, found, undos, purge=True)
    assert disk.all() != before
    again = writing.load(disk.state)
    assert again == found
    writing.take_back(disk.state, found, writing.undone(disk.state, found, known), purge=True)
    assert (disk.all(), disk.folders()) == (before, folders)


def test_the_manifest_cannot_make_us_touch_other_files(disk: Disk) -> None:
    """It stands where the daemon's user may write."""
    disk.state.mkdir()
    evil = Manifest("1", str(disk.etc), [Entry("/etc/passwd", True, "", "")])
    (disk.state / manifests.NAME).write_text(manifests.write(evil))
    found = writing.load(disk.state)
    assert found is not None
    with pytest.raises(Refused, match="names /etc/passwd"):
        writing.undone(disk.state, found, [disk.config])


def test_a_manifest_of_another_user_is_not_believed(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names users and folders that root would remove."""
    disk.state.mkdir()
    path = disk.state / manifests.NAME
    elsewhere = path.with_name("elsewhere")
    elsewhere.write_text(manifests.write(Manifest("1", str(disk.etc), [], user="somebody")))
    path.symlink_to(elsewhere)
    with pytest.raises(Refused, match="is not root's"):
        writing.load(disk.state)
    elsewhere.replace(path)
    assert writing.load(disk.state) is not None
    if os.geteuid() == 0:
        os.chown(path, 65_534, 65_534)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 65_534)
    with pytest.raises(Refused, match="is not root's"):
        writing.load(disk.state)


def test_a_link_of_the_operators_stays_a_link(disk: Disk) -> None:
    """Many keep their configuration elsewhere."""
    kept = disk.etc.parent / "kept.conf"
    (disk.etc / "http.conf").rename(kept)
    (disk.etc / "http.conf").symlink_to(kept)
    writing.write(disk.plan(), disk.asterisk, lambda undoing: [])
    assert (disk.etc / "http.conf").is_symlink()
    assert "pbxfed/http.conf" in kept.read_text()


def test_a_link_of_another_user_gives_nothing_away(disk: Disk) -> None:
    """Asterisk's user may write where the shared folder is, and in it: what his link names must not become his."""
    precious = disk.etc.parent / "precious"
    precious.mkdir(mode=0o700)
    (precious / "shadow").touch(mode=0o600)
    home = Path(disk.plan().objects).parent
    home.parent.mkdir(parents=True)
    before, folders = disk.all(), disk.folders()
    home.symlink_to(precious)
    with pytest.raises(Refused, match="is a link"):
        writing.write(disk.plan(), disk.asterisk, lambda undoing: [])
    assert precious.stat().st_mode & 0o7777 == 0o700
    home.unlink()
    assert (disk.all(), disk.folders()) == (before, folders)
    home.mkdir()
    for name in ("objects.sqlite3", "objects.sqlite3-wal"):
        link = home / name
        for put in (link.symlink_to, link.hardlink_to):
            put(precious / "shadow")
            with pytest.raises(Refused, match=name):
                writing.write(disk.plan(), disk.asterisk, lambda undoing: [])
            assert (precious / "shadow").stat().st_mode & 0o777 == 0o600
            link.unlink()
    link.symlink_to(precious / "new")
    with pytest.raises(Refused, match="is a link"):
        writing.write(disk.plan(), disk.asterisk, lambda undoing: [])
    assert not (precious / "new").exists()
