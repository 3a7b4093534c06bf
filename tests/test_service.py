"""What systemd hears: once that we are ready, then often enough that we live, and nothing at all where nobody listens."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pbxfed_ari.service import ServiceManager

ME = 4711
Heard = list[list[str]]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def heard(manager: socket.socket) -> Heard:
    found: Heard = []
    while True:
        try:
            found.append(manager.recv(4_096).decode().split("\n"))
        except BlockingIOError:
            return found


def service(manager: socket.socket, **more: str) -> ServiceManager:
    return ServiceManager({"NOTIFY_SOCKET": manager.getsockname(), **more}, ME)


def test_ready_is_said_once_and_at_once(manager: socket.socket) -> None:
    """`systemctl start` waits for it; what comes later is that we live, and a status that has changed."""
    told = service(manager, WATCHDOG_USEC="30000000", WATCHDOG_PID="4711")
    told.turned(100.0, False, lambda: "joining")
    told.turned(100.5, False, lambda: "joining")
    told.turned(101.0, True, lambda: "healthy\nas can be")
    told.turned(101.5, True, lambda: "healthy as can be")
    told.turned(106.0, True, lambda: "healthy as can be")
    told.turned(111.0, True, lambda: "Asterisk is gone")

    assert heard(manager) == [
        ["WATCHDOG=1", "STATUS=joining"],
        ["WATCHDOG=1", "READY=1", "STATUS=healthy as can be"],
        ["WATCHDOG=1"],
        ["WATCHDOG=1", "STATUS=Asterisk is gone"],
    ]


def test_an_impatient_watchdog_hears_us_three_times_as_often_as_it_must(
    manager: socket.socket,
) -> None:
    """One word may be late."""
    told = service(manager, WATCHDOG_USEC="3000000")
    for now in (10.0, 10.9, 11.0, 11.9, 12.0):
        told.turned(now, True, lambda: "")

    assert heard(manager) == [["WATCHDOG=1", "READY=1"], ["WATCHDOG=1"], ["WATCHDOG=1"]]


def test_a_watchdog_of_another_process_is_not_ours(manager: socket.socket) -> None:
    """A variable that was inherited: only who it names is watched."""
    told = service(manager, WATCHDOG_USEC="3000000", WATCHDOG_PID="1")
    told.turned(10.0, True, lambda: "")
    told.turned(16.0, True, lambda: "")

    assert heard(manager) == [["READY=1"]]


def test_the_end_is_told_with_its_reason(manager: socket.socket) -> None:
    """It stands in `systemctl status`."""
    service(manager).stopping("another node has our name")

    assert heard(manager) == [["STOPPING=1", "STATUS=stops: another node has our name"]]


def test_an_abstract_socket_is_found() -> None:
    """Containers have those."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0pbxfed-test-notify")
        ServiceManager({"NOTIFY_SOCKET": "@pbxfed-test-notify"}, ME).stopping("")

        assert listening.recv(100) == b"STOPPING=1\nSTATUS=stops"


def test_without_a_service_manager_nothing_is_asked() -> None:
    """Started by hand."""
    told = ServiceManager({}, ME)
    told.turned(10.0, True, lambda: pytest.fail("nobody wants to know"))
    told.stopping("")


def test_a_socket_that_is_gone_is_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls are worth more than words about them."""
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "none")}, ME).stopping("")

    assert "No such file" in caplog.text
