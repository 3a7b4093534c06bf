"""Writing a plan, and taking it back. All or nothing: whatever fails, what was done until then is undone.

The manifest is on the disk before anything else is; each file is written beside its place and renamed there. Who is killed in
the middle leaves a manifest that names all that may have been written: `pbxfed init` completes it, `--remove` undoes it.
"""

import grp
import os
import pwd
import shutil
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from pbxfed_ari import __version__
from pbxfed_ari.errors import Refused
from pbxfed_ari.installing import manifest as manifests
from pbxfed_ari.installing.facts import Asterisk
from pbxfed_ari.installing.machine import run, text_of
from pbxfed_ari.installing.manifest import SURROGATES, Entry, Manifest, Undo, digest
from pbxfed_ari.installing.plan import FOLDER, PASSWORD, Edit, Plan
from pbxfed_ari.installing.rules import FILES

Undoing = list[Callable[[], object]]


def load(state: Path) -> Manifest | None:
    """What an earlier `pbxfed init` has written.

    Raises: Refused.
    """
    path = state / manifests.NAME
    text = text_of(path)
    if text is None:
        return None
    if path.is_symlink() or path.stat().st_uid not in (0, os.geteuid()):
        raise Refused(
            f"{path}: is not root's: another user has put it there, and it says what is to be removed; take it away"
        )
    return manifests.read(text, str(path))


def write(plan: Plan, asterisk: Asterisk, belong: Callable[[Undoing], list[Entry]]) -> None:
    """Carry a plan out. `belong` makes the daemon's keys, or brings them, and says which files it wrote beside; how to
    undo that, where it can be undone, it appends to what it is given.

    Raises: Refused, OSError: then nothing has changed.
    """
    state = Path(plan.wish.state)
    old, undoing = load(state), Undoing()
    try:
        _write(plan, asterisk, belong, old, undoing)
    except BaseException:
        for undo in reversed(undoing):
            with suppress(OSError):
                undo()
        raise


def _write(
    plan: Plan,
    asterisk: Asterisk,
    belong: Callable[[Undoing], list[Entry]],
    old: Manifest | None,
    undoing: Undoing,
) -> None:
    wish, state = plan.wish, Path(plan.wish.state)
    made = _missing(Path(folder.path) for folder in plan.folders)
    entries = [
        Entry(
            e.path, e.before is None, "" if e.before is None else digest(e.before), digest(e.after)
        )
        for e in plan.edits
    ]
    config = [] if not wish.joins else [Entry(wish.config, True, "", "")]
    new = Manifest(
        __version__,
        asterisk.etc,
        [*entries, *config],
        made,
        plan.objects,
        wish.user if plan.make_user else "",
        plan.join_group,
        wish.user,
        sorted(wish.accepted),
    )
    _folder(state, undoing)
    _keep(state, old, manifests.joined(old, new), undoing)
    _people(plan, undoing)
    owners = Owners(asterisk, wish.user)
    for folder in plan.folders:
        _folder(Path(folder.path), undoing)
        if folder.path in made or folder.owner != "root":
            linked = folder.owner == "daemon"  # above the others are folders of Asterisk's user
            _give(
                Path(folder.path),
                owners.of(folder.owner),
                folder.mode,
                os.O_DIRECTORY,
                linked=linked,
            )
    fresh = [(_beside(edit, owners, undoing), edit) for edit in plan.edits]
    _shared(Path(plan.objects), owners, undoing)
    brought = belong(undoing)
    for entry in brought:
        undoing.append(lambda path=entry.path: Path(path).unlink(missing_ok=True))  # type: ignore[misc]
    for path, edit in fresh:
        undoing.append(lambda edit=edit: _restore(edit))  # type: ignore[misc]
        path.replace(_real(edit.path))
    new.entries = [*entries, *brought]
    _keep(state, old, manifests.joined(old, new), [])
    _own(state, owners)


class Owners:
    """User and group ids of who shall own something."""

    def __init__(self, asterisk: Asterisk, user: str) -> None:
        found, daemon = _user(asterisk.user), _user(user)
        group = grp.getgrnam(asterisk.group).gr_gid
        self._of = {
            "root": (0, 0),
            "asterisk": (0, group),
            "daemon": daemon,
            "shared": (found[0], group if asterisk.group != "root" else daemon[1]),
        }

    def of(self, who: str) -> tuple[int, int]:
        """Both ids."""
        return self._of[who]


def _user(name: str) -> tuple[int, int]:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise Refused(f"there is no user {name}: make one, or name another (--user)") from None
    return entry.pw_uid, entry.pw_gid


def _missing(folders: Iterable[Path]) -> list[str]:
    """Those that are not there, and what is not there above them; outer ones first."""
    all_of_them = [one for folder in folders for one in (*reversed(folder.parents), folder)]
    return list(dict.fromkeys(str(one) for one in all_of_them if not one.exists()))


def _folder(path: Path, undoing: Undoing) -> None:
    if not path.is_dir():
        _folder(path.parent, undoing)
        path.mkdir(mode=0o700 if path.name == FOLDER else 0o755)
        undoing.append(path.rmdir)


def _keep(state: Path, old: Manifest | None, new: Manifest, undoing: Undoing) -> None:
    """The manifest, on the disk."""
    path = state / manifests.NAME
    undoing.append(
        lambda: path.unlink() if old is None else _put(path, manifests.write(old), 0o600, (0, 0))
    )
    _put(path, manifests.write(new), 0o600, (0, 0))


def _people(plan: Plan, undoing: Undoing) -> None:
    """The daemon's user, and his group."""
    user, group = plan.wish.user, plan.join_group
    if plan.make_user:
        _must(
            [
                "useradd",
                "--system",
                "--user-group",
                "--home-dir",
                plan.wish.state,
                "--no-create-home",
                "--shell",
                "/usr/sbin/nologin",
                user,
            ]
        )
        undoing.append(lambda: run(["userdel", user]))
    if group:
        _must(["usermod", "--append", "--groups", group, user])
        if not plan.make_user:
            undoing.append(lambda: run(["gpasswd", "--delete", user, group]))


def _must(command: list[str]) -> None:
    done = run(command)
    if done is None or done.returncode:
        said = done.stderr.strip() if done else "there is no such program"
        raise Refused(f"{' '.join(command)}: {said}; or name a user that exists (--user)")


def _beside(edit: Edit, owners: Owners, undoing: Undoing) -> Path:
    """The new text beside its place, with the rights that it shall have."""
    target = _real(edit.path)
    fresh = temporary(target)
    undoing.append(lambda: fresh.unlink(missing_ok=True))
    if edit.his:
        seen = target.stat()
        _fill(fresh, edit.after, stat.S_IMODE(seen.st_mode), (seen.st_uid, seen.st_gid))
    else:
        _fill(fresh, edit.after, edit.mode, owners.of(edit.owner))
    return fresh


def _restore(edit: Edit) -> None:
    path = _real(edit.path)
    if edit.before is None:
        path.unlink(missing_ok=True)
    elif path.exists():
        seen = path.stat()
        _put(path, edit.before, stat.S_IMODE(seen.st_mode), (seen.st_uid, seen.st_gid))


def _shared(path: Path, owners: Owners, undoing: Undoing) -> None:
    """The file of objects, empty, for Asterisk and the daemon."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o660))
        undoing.append(path.unlink)
    for one in path.parent.glob(path.name + "*"):
        _give(one, owners.of("shared"), 0o660)


def _own(state: Path, owners: Owners) -> None:
    """What stands in the state folder is the daemon's; the manifest stays ours."""
    for path in state.iterdir():
        if path.name != manifests.NAME and path.is_file() and not path.is_symlink():
            _give(path, owners.of("daemon"))


def _give(
    path: Path, owner: tuple[int, int], mode: int = -1, flags: int = 0, *, linked: bool = False
) -> None:
    """It becomes somebody's; never what another user, who may write beside it, has put in its place as a link.

    Raises: Refused, OSError.
    """
    nofollow = 0 if linked else os.O_NOFOLLOW
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | nofollow | flags)
    except OSError as error:
        if path.is_symlink():
            raise Refused(
                f"{path}: is a link, which another user may have put there: take it away"
            ) from None
        raise error
    try:
        seen = os.fstat(handle)
        if not stat.S_ISDIR(seen.st_mode) and seen.st_nlink > 1:
            raise Refused(f"{path}: is a file by another name, too: take it away")
        os.fchown(handle, *owner)
        if mode >= 0:
            os.fchmod(handle, mode)
    finally:
        os.close(handle)


# --- files


def temporary(path: Path) -> Path:
    """Where a file is written before it takes its place."""
    return path.with_name(f".{path.name}.pbxfed-new")


def _real(path: str) -> Path:
    """The file itself, where an operator has put a link."""
    return Path(path).resolve()


def _fill(path: Path, text: str, mode: int, owner: tuple[int, int]) -> None:
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(text.encode(errors=SURROGATES))
        os.fchown(file.fileno(), *owner)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())


def _put(path: Path, text: str, mode: int, owner: tuple[int, int]) -> None:
    """The file says this, wholly or not at all."""
    fresh = temporary(path)
    _fill(fresh, text, mode, owner)
    fresh.replace(path)


# --- and back


def undone(state: Path, found: Manifest, known: Iterable[Path]) -> list[Undo]:
    """How to take everything back. `known` are the daemon's own files.

    Raises: Refused, if a file is none that `pbxfed init` writes.
    """
    texts = {}
    for entry in found.entries:
        _allowed(found, state, entry.path, known)
        text = text_of(Path(entry.path))
        if text is not None:
            texts[entry.path] = text
    return manifests.undo(found, texts)


def take_back(state: Path, found: Manifest, undos: Iterable[Undo], *, purge: bool) -> list[str]:
    """Do it; what could not be removed is returned. Without `purge` state, keys and the daemon's user stay.

    Raises: OSError; a second try goes on where it ended.
    """
    for entry in found.entries:
        temporary(_real(entry.path)).unlink(missing_ok=True)
    for undo in undos:
        path = _real(undo.path)
        if undo.text is None:
            path.unlink(missing_ok=True)
        elif text_of(path) != undo.text:
            seen = path.stat()
            _put(path, undo.text, stat.S_IMODE(seen.st_mode), (seen.st_uid, seen.st_gid))
    shared = Path(found.objects).parent
    kept = [] if purge else [str(state), str(shared)]
    left = [folder for folder in reversed(found.folders) if folder not in kept]
    if not purge:
        _keep(state, found, msgspec.structs.replace(found, entries=[]), [])
        return [folder for folder in left if not _empty(Path(folder))]
    if shared.name == FOLDER:
        shutil.rmtree(shared, ignore_errors=True)
    if found.user:
        run(["userdel", found.user])
    elif found.group:
        run(["gpasswd", "--delete", found.daemon, found.group])
    shutil.rmtree(state, ignore_errors=True)
    return [folder for folder in left if not _empty(Path(folder))]


def _empty(folder: Path) -> bool:
    """Remove a folder that is empty; whether it is gone."""
    with suppress(OSError):
        folder.rmdir()
    return not folder.exists()


def _allowed(found: Manifest, state: Path, path: str, known: Iterable[Path]) -> None:
    """The manifest stands in a folder that the daemon's user may write: nothing but what `init` writes is touched."""
    etc = Path(found.etc)
    ours = [etc / FOLDER / file for file in FILES] + [etc / PASSWORD, *known]
    if Path(path) not in ours + [etc / file for file in FILES]:
        raise Refused(
            f"{state / manifests.NAME}: names {path}, which `pbxfed init` does not write: nothing was changed"
        )
