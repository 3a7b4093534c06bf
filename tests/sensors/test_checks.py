"""Checks: real commands, as operators write them, and as they should not."""

import asyncio
import errno
import os
import sys
from pathlib import Path

import pytest

from pbxfed_ari.core.membership.health import Reading
from pbxfed_ari.sensors.checks import MOST, Check
from pbxfed_ari.sensors.command import SHELL, Command

LIMIT = "exit code 0"


def check(*argv: str, timeout: float = 10.0) -> Check:
    return Check(Command("fax", argv, 30.0, timeout, 5))


def shell(text: str, timeout: float = 10.0) -> Check:
    return check(*SHELL, text, timeout=timeout)


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("exit 0", Reading(0.0, "exit code 0", LIMIT)),
        ("echo all well; exit 0", Reading(0.0, "exit code 0, says 'all well'", LIMIT)),
        (
            "echo; echo no carrier >&2; echo x; exit 2",
            Reading(1.0, "exit code 2, says 'no carrier'", LIMIT),
        ),
        ("kill -9 $$", Reading(1.0, "killed by signal 9", LIMIT)),
        ("printf 'a\\033[31mb\\377'; exit 1", Reading(1.0, "exit code 1, says 'a?[31mb�'", LIMIT)),
        ("cat; exit 3", Reading(1.0, "exit code 3", LIMIT)),  # no input
    ],
)
async def test_the_exit_code_decides_and_the_first_line_says_why(
    text: str, reading: Reading
) -> None:
    """Made harmless: it goes to logs and terminals."""
    assert await shell(text).read() == reading


async def test_arguments_are_no_shell_text() -> None:
    """Nothing is expanded, unless that was asked for."""
    found = await check(
        sys.executable, "-c", "import sys; print(sys.argv[1])", "$HOME; `id`"
    ).read()
    assert found.said == "exit code 0, says '$HOME; `id`'"


async def test_what_cannot_be_run_has_failed() -> None:
    """With the name, and the reason."""
    found = await check("/no/such/check").read()
    assert found == Reading(1.0, "/no/such/check cannot be run: No such file or directory", LIMIT)


async def test_what_cannot_be_watched_is_not_left_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many open files, or a kernel that is too old."""

    def refuse(pid: int) -> int:
        (tmp_path / "pids").write_text(str(pid))
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pidfd_open", refuse)
    found = await shell("sleep 600").read()
    assert found == Reading(1.0, "/bin/sh cannot be run: Too many open files", LIMIT)
    await gone(tmp_path / "pids")


async def test_a_command_that_hangs_is_cut_off_with_all_that_it_has_begun(tmp_path: Path) -> None:
    """Its children too: they are of its process group."""
    pids = tmp_path / "pids"
    text = f"echo waiting; sleep 600 & echo $! $$ > {pids}; wait"
    found = await shell(text, timeout=0.3).read()
    assert found == Reading(1.0, "did not end within 0.3 s, cut off, says 'waiting'", LIMIT)
    await gone(pids)


async def test_a_command_that_prints_without_end_is_cut_off(tmp_path: Path) -> None:
    """Long before its timeout, and without its megabytes in our memory."""
    pids = tmp_path / "pids"
    found = await shell(f"echo $$ > {pids}; exec yes", timeout=600).read()
    assert found == Reading(1.0, f"printed more than {MOST >> 10} kB, cut off", LIMIT)
    await gone(pids)


async def test_megabytes_printed_by_one_that_ends_well_count_as_failed_too() -> None:
    """Whether they come before or after its end is nobody's luck."""
    found = await shell("head -c 3000000 /dev/zero; exit 0").read()
    assert found.value == 1.0


async def test_what_a_command_leaves_behind_is_killed_and_holds_nothing_up(tmp_path: Path) -> None:
    """A child in the background has the output open still."""
    pids = tmp_path / "pids"
    began = asyncio.get_running_loop().time()
    found = await shell(f"sleep 600 & echo $! > {pids}; exit 0", timeout=600).read()
    assert found == Reading(0.0, "exit code 0", LIMIT)
    assert asyncio.get_running_loop().time() - began < 60
    await gone(pids)


async def test_a_command_that_closes_its_output_and_hangs_is_cut_off() -> None:
    """Silence is no end."""
    found = await shell("exec >&- 2>&-; sleep 600", timeout=0.3).read()
    assert found == Reading(1.0, "did not end within 0.3 s, cut off", LIMIT)


async def test_nothing_is_left_open() -> None:
    """A check runs every minute for years."""
    await shell("echo x").read()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        await shell("sleep 600 & echo x").read()
        await shell("yes").read()
    await asyncio.sleep(0)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_one_that_cannot_be_killed_is_not_begun_again() -> None:
    """Else a dead NFS server costs a process a minute."""
    one = shell("exit 0")
    one._running = asyncio.get_running_loop().create_future()
    assert (await one.read()).said == "the last run hangs in the kernel and cannot be killed"
    one._running.set_result(0)
    assert (await one.read()).value == 0.0


async def gone(pids: Path) -> None:
    """These processes are no more, or zombies that nobody has collected yet."""
    for pid in await asyncio.to_thread(lambda: pids.read_text().split()):
        for _ in range(500):
            if not await asyncio.to_thread(_lives, pid):
                break
            await asyncio.sleep(0.01)
        else:
            raise AssertionError(f"{pid} lives")


def _lives(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
