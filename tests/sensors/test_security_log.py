"""Reading Asterisk's security log: what counts, what was forged, and how the file is followed."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pbxfed_ari.core.events import AuthenticationsFailed
from pbxfed_ari.sensors import security_log
from pbxfed_ari.sensors.security_log import SecurityLog, parse

BEGIN = "[2026-11-25 15:10:33.917] SECURITY[9446] res_security_log.c: "
WHO = (
    'EventTV="2026-11-25T15:10:33.917+0000",Severity="Error",Service="PJSIP",EventVersion="1",'
    'AccountID="{account}",SessionID="{call}",LocalAddress="IPV4/UDP/10.77.0.11/5060",'
    'RemoteAddress="{remote}"'
)
CHALLENGE = ',Challenge="1795619433/a2",Response="{response}",ExpectedResponse=""'


def line(
    what: str,
    *,
    remote: str = "IPV4/UDP/203.0.113.9/5060",
    account: str = "1001",
    call: str = "c1",
    response: str = "",
) -> str:
    said = (
        BEGIN + f'SecurityEvent="{what}",' + WHO.format(account=account, call=call, remote=remote)
    )
    return said + (CHALLENGE.format(response=response) if response else "")


def wrong(address: str = "203.0.113.9") -> str:
    return line("ChallengeResponseFailed", remote=f"IPV4/UDP/{address}/5060", response="ab") + "\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (line("ChallengeResponseFailed", response="ab"), ("203.0.113.9", True)),
        (line("InvalidPassword", remote="IPV4/TCP/203.0.113.9/1"), ("203.0.113.9", True)),
        (line("InvalidAccountID"), ("203.0.113.9", False)),
        (line("InvalidAccountID", remote="IPV4/TLS/203.0.113.9/1"), ("203.0.113.9", True)),
        (line("FailedACL", remote="IPV6/WS/2001:db8::7/5060"), ("2001:db8::7", True)),
        (line("ChallengeSent"), None),
        (line("SuccessfulAuth"), None),
        (line("InvalidAccountID", remote="IPV4/UDP/203.0.113.900/5060"), None),
        ("", None),
        ("[2026-11-25 15:10:33.917] NOTICE[1] res_pjsip.c: Request failed", None),
    ],
)
def test_what_counts(text: str, found: tuple[str, bool] | None) -> None:
    """Failures only; proven is what cannot be forged."""
    assert parse(text) == found


def test_with_the_usual_date_and_a_call() -> None:
    """logger.conf may write dates as it likes."""
    text = wrong().replace("[2026-11-25 15:10:33.917]", "[Nov 25 15:10:33]")
    text = text.replace("[9446]", "[9446][C-0000001f]")
    assert parse(text) == ("203.0.113.9", True)


FORGED = 'x",RemoteAddress="IPV4/UDP/10.0.0.5/5060'
ESCAPED = FORGED.replace('"', '\\"')


@pytest.mark.parametrize(
    "text",
    [
        line("InvalidAccountID", account=FORGED),
        line("InvalidAccountID", call=FORGED),
        line("ChallengeResponseFailed", call=FORGED, response="ab"),
        line("ChallengeResponseFailed", response=ESCAPED + '\\",Challenge=\\"1\\",Response=\\"2'),
        line("ChallengeResponseFailed", response="\\\\"),
    ],
)
def test_a_stranger_cannot_have_another_accused(text: str) -> None:
    """Whatever stands in what he may choose."""
    found = parse(text)
    assert found is not None
    assert found[0] == "203.0.113.9"


@pytest.mark.parametrize(
    "text",
    [
        # an account with a line end in it: the Call-ID stands in what looks like a line
        f'",SessionID="1{line("InvalidPassword", remote="IPV4/UDP/10.0.0.5/5060")}',
        f'[1] SECURITY[1]",SessionID="1{line("InvalidPassword", remote="IPV4/UDP/10.0.0.5/5060")}',
        # a Call-ID so long that Asterisk cuts the line, and its end, off: another one's line follows in it
        line("InvalidPassword", call="c" * 9_000)[:8_191]
        + line("ChallengeSent", remote="IPV4/UDP/10.0.0.5/5060"),
    ],
)
def test_what_is_no_whole_line_of_asterisk_accuses_nobody(text: str) -> None:
    """Least of all as proven: a datagram may carry any address."""
    assert parse(text) is None


def test_a_crafted_line_costs_no_more_than_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each address that is not the last one would be tried with all that follows: minutes, of this line."""
    monkeypatch.setattr(security_log, "CUT", 1 << 20)
    forged = ',RemoteAddress="IPV4/UDP/10.0.0.5/1"' * 20_000
    assert parse(line("InvalidPassword", call=f'x"{forged},x="')) == ("203.0.113.9", True)
    assert parse(f'{line("InvalidPassword")}{forged}"') is None


class Follower:
    """A file, and what came of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: list[AuthenticationsFailed] = []
        self.log = SecurityLog(path, self.found.append)

    def write(self, text: str, mode: str = "a") -> None:
        with self.path.open(mode) as file:
            file.write(text)

    def new(self) -> tuple[tuple[str, int, int], ...]:
        """What a look finds."""
        self.found.clear()
        self.log.look()
        return tuple(one for event in self.found for one in event.found)


@pytest.fixture
def follower(tmp_path: Path) -> Iterator[Follower]:
    found = Follower(tmp_path / "pbxfed-security.log")
    yield found
    found.log.close()


def test_what_stood_there_before_is_of_the_past(follower: Follower) -> None:
    """A restart counts nothing twice."""
    follower.write(wrong())
    assert follower.new() == ()
    follower.write(wrong() * 2 + line("InvalidAccountID") + "\n")
    assert follower.new() == (("203.0.113.9", 2, 1),)
    assert follower.new() == ()


def test_a_line_may_come_in_two_halves(follower: Follower) -> None:
    """It counts once it is whole."""
    follower.write("")
    assert follower.new() == ()
    follower.write(wrong()[:80])
    assert follower.new() == ()
    follower.write(wrong()[80:])
    assert follower.new() == (("203.0.113.9", 1, 0),)


def test_a_file_that_comes_later_is_read_from_its_beginning(follower: Follower) -> None:
    """Until then it is said why nothing is counted."""
    assert follower.new() == ()
    assert follower.log.trouble == "No such file or directory"
    follower.write(wrong())
    assert follower.new() == (("203.0.113.9", 1, 0),)
    assert follower.log.trouble == ""


def test_it_is_followed_through_rotation(follower: Follower) -> None:
    """What was written into the old file before it was let go counts, too."""
    follower.write("")
    follower.new()
    follower.path.rename(follower.path.with_suffix(".1"))
    with follower.path.with_suffix(".1").open("a") as old:
        old.write(wrong("203.0.113.1"))
    follower.write(wrong("203.0.113.2"))
    found = [*follower.new(), *follower.new()]
    assert found == [("203.0.113.1", 1, 0), ("203.0.113.2", 1, 0)]


def test_it_is_followed_through_truncation(follower: Follower) -> None:
    """As logrotate does with `copytruncate`."""
    follower.write("")
    follower.new()
    follower.write(wrong() * 5)
    assert follower.new() == (("203.0.113.9", 5, 0),)
    follower.write(wrong(), "w")
    assert follower.new() == (("203.0.113.9", 1, 0),)


def test_of_a_flood_the_older_part_is_left_out(
    follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls come first; what was left out is told."""
    monkeypatch.setattr(security_log, "BEHIND", 4 * len(wrong()))
    follower.write("")
    follower.new()
    follower.write(wrong() * 100)
    assert follower.new()[0][1] <= 4
    assert follower.log.skipped == 96 * len(wrong())


def test_a_file_that_may_not_be_read_is_named(follower: Follower) -> None:
    """It is asked for again and again, and nothing breaks."""
    os.mkdir(follower.path)
    follower.new()
    assert follower.log.trouble == "Is a directory"
