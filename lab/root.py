"""The root folder with a real Asterisk in it: made once, then only read.

Debian stable carries no Asterisk; sid does, and `mmdebstrap` makes a root folder of it in half a minute. The
folder is cached under a name that hashes its recipe, so a changed recipe makes a new one. It is built under
another name and renamed when whole: a cached root is complete or it is not there.

Each process sees the root through mounts in a namespace of its own: the root read-only, the lab's state folder
at /lab. The mounts die with the process.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lab import manual
from lab.places import LOCKS, LabError, locked

SUITE = "sid"
PACKAGES = ("asterisk", "baresip-core")
APT_OPTIONS = (
    'Acquire::Check-Valid-Until "false"',  # the mirror may be a frozen one
    'APT::Install-Recommends "false"',
)
TOOLS = {"mmdebstrap": "mmdebstrap", "ip": "iproute2", "nft": "nftables", "unshare": "util-linux"}
# Not in the PATH of who became root by `su` without `-`
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
INSIDE = "/lab"  # where the state folder appears to a process in the root

# The shell that prepares the mounts and then becomes the program: $1 root, $2 state, $3 hosts, the rest is the program.
MOUNTS = """set -e
root=$1 state=$2 hosts=$3; shift 3
mount --make-rprivate /
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount --bind "$state" "$root/lab"
mount --bind "$hosts" "$root/etc/hosts"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
exec chroot "$root" "$@"
"""


def cache() -> Path:
    """The folder of cached roots."""
    return Path(os.environ.get("PBXFED_LAB_CACHE") or "/var/cache/pbxfed-lab")


def root_path(packages: Sequence[str] = PACKAGES) -> Path:
    """Where the root of the present recipe is, or will be."""
    recipe = [SUITE, *packages, *APT_OPTIONS, MOUNTS.split("exec")[0]]
    if packages == PACKAGES:
        recipe.append(Path(manual.__file__).read_text())
    return cache() / f"root-{hash_of(*recipe)}"


def hash_of(*recipe: str) -> str:
    """What tells a recipe from another one, in a name."""
    return hashlib.sha256("\n".join(recipe).encode()).hexdigest()[:12]


def ensure_root(packages: Sequence[str] = PACKAGES) -> Path:
    """Return the root folder with these packages in it, after making it if this machine has none.

    The lab's own has an Asterisk that starts sooner; what others ask for is as Debian has it.
    """
    ensure_tools()

    def build(root: Path, lock: int, what: str) -> None:
        debian(root, SUITE, packages, lock, what)
        (root / "lab").mkdir()
        (root / "etc" / "hosts").touch()
        if packages == PACKAGES:
            manual.cut(root)

    return kept(root_path(packages), "a root folder with Asterisk", build)


def kept(folder: Path, what: str, build: Callable[[Path, int, str], None]) -> Path:
    """Return a folder of the cache, after making it if it is not there: beside its place, and moved there when it is whole.

    `build` gets the unfinished folder, the lock, which its worker must inherit, and `what` is made.
    """
    if folder.is_dir():
        return folder
    cache().mkdir(parents=True, exist_ok=True)

    def waiting() -> None:
        _progress("waiting for another builder of a root folder\n")

    with locked(cache() / "building.lock", waiting) as lock:
        if not folder.is_dir():
            for leftover in cache().glob("building-*"):
                remove_tree(leftover)
            begun = time.monotonic()
            unfinished = folder.with_name(f"building-{os.getpid()}")
            build(unfinished, lock, what)
            unfinished.replace(folder)
            _progress(f"made {folder} in {time.monotonic() - begun:.0f} s\n")
    return folder


def debian(root: Path, suite: str, packages: Sequence[str], lock: int, what: str) -> None:
    """Make a minimal Debian with these packages.

    The worker inherits the lock: should we be killed, the next builder waits until the orphan has ended.
    """
    begun = time.monotonic()
    log = cache() / f"{hash_of(suite, *packages)}.log"
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}"]
    command += [f"--aptopt={option}" for option in APT_OPTIONS]
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [*command, suite, str(root)],
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
        )
        try:
            while worker.poll() is None:
                _progress(f"making {what}: {time.monotonic() - begun:.0f} s")
                time.sleep(0.5)
        finally:
            if worker.poll() is None:
                worker.terminate()
                worker.wait()
    if worker.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise LabError(f"mmdebstrap failed ({worker.returncode}), see {log}:\n{tail}")


def forbid_starts(root: Path) -> None:
    """Let nothing be started in a root by being installed."""
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)


def run_in(root: Path, *argv: str) -> str:
    """Run a program of a root, in it; processes that it leaves end with it."""
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c"]
    mounts = 'mount -t proc proc "$1/proc" && exec chroot "$@"'
    done = subprocess.run(
        [*apart, mounts, "inside", str(root), *argv], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LabError(f"{shlex.join(argv)} failed in {root}:\n{done.stderr[-2000:]}")
    return done.stdout


def _progress(text: str) -> None:
    """Rewrite one line on a terminal; elsewhere print whole lines only."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
    elif text.endswith("\n") or text.endswith(": 0 s"):
        sys.stderr.write(text.rstrip() + "\n")
    sys.stderr.flush()


def ensure_tools(tools: Mapping[str, str] = TOOLS) -> None:
    """Install the host programs the lab needs, if any is missing; `tools` are programs and their packages.

    They are found afterwards, whatever this process was started with.
    """
    if os.geteuid():
        raise LabError("the lab needs root: it makes network namespaces and mounts")
    path = os.environ.get("PATH", os.defpath).split(":")
    os.environ["PATH"] = ":".join([*path, *(folder for folder in SBIN if folder not in path)])
    if not _missing(tools):
        return
    with locked(LOCKS / "pbxfed-apt"):  # of two testers that lack something, apt would refuse one
        _install(_missing(tools))


def _missing(tools: Mapping[str, str]) -> list[str]:
    return sorted({package for tool, package in tools.items() if not shutil.which(tool)})


def _install(missing: Sequence[str]) -> None:
    if not missing:
        return
    sys.stderr.write(f"installing {' '.join(missing)}\n")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
    for command in (["apt-get", "update", "-q"], install):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"apt-get could not install {' '.join(missing)}:\n{done.stderr[-2000:]}")


def inside(root: Path, state: Path, hosts: Path, argv: Sequence[str]) -> list[str]:
    """Wrap a command so that it runs in the root, with the state folder at /lab and this file as /etc/hosts."""
    shell = ["unshare", "--mount", "sh", "-c", MOUNTS, "lab"]
    return [*shell, str(root), str(state), str(hosts), *argv]


def remove_tree(folder: Path) -> None:
    """Remove a folder, unless something is mounted in it: then it would be somebody's data."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if Path(line.split()[1].replace("\\040", " ")).is_relative_to(folder):
            raise LabError(f"{line.split()[1]} is a mount: not removing {folder}")
    shutil.rmtree(folder)
