"""Real daemons: a token makes a member that takes calls, a rotation under load loses nothing, an expelled node is out."""

from __future__ import annotations

import json
import subprocess
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.lab.conftest import Federation, a_lab


@pytest.fixture(scope="module")
def four() -> Iterator[Federation]:
    """Four machines: a, b and c are a federation; d has Asterisk, a configuration, and no key."""
    with a_lab("keys", 4, daemon=False) as lab:
        lab.configure("d", "federation", "key_file", None)
        lab.start_all("abc", "daemon")
        found = Federation(lab, "abc")
        found.until(found.whole)
        yield found


def run(
    federation: Federation, node: str, *argv: str, given: str = ""
) -> subprocess.CompletedProcess[str]:
    return federation.lab.exec(
        node, ["pbxfed", *argv], capture_output=True, text=True, input=given, timeout=60
    )


def invite(federation: Federation, *argv: str, node: str = "a") -> str:
    done = run(federation, node, "invite", *argv)
    assert done.returncode == 0, done
    return done.stdout.strip()


def logged(federation: Federation, node: str, words: str) -> bool:
    return words in (federation.lab.node(node).folder / "log" / "pbxfed.log").read_text()


def altered(token: str, at: int) -> str:
    """Another token with one byte changed, and a checksum that fits."""
    from pbxfed_ari.wire import token as tokens

    data = bytearray(urlsafe_b64decode(token + "=" * (-len(token) % 4))[:-4])
    data[at] ^= 1
    return urlsafe_b64encode(bytes(data) + tokens._checksum(bytes(data))).decode().rstrip("=")


def test_without_a_key_there_is_no_daemon(four: Federation) -> None:
    """And the way to one is said."""
    for command in "check", "run":
        done = run(four, "d", command)
        assert done.returncode == 1
        assert "`pbxfed join TOKEN` brings the keys" in done.stderr


def test_a_token_that_is_late_or_altered_is_refused_and_logged(four: Federation) -> None:
    """The joiner hears the reason, if it has the secret; the inviter's log has it in any case."""
    late = invite(four, "--ttl", "1")
    time.sleep(2.2)
    done = run(four, "d", "join", late)
    assert done.returncode == 1
    assert "the inviter says: the token ended at" in done.stderr
    assert logged(four, "a", "token refused")
    assert logged(four, "a", "the token ended at")

    token = invite(four)
    done = run(four, "d", "join", token[:-3] + ("AAA" if token[-3:] != "AAA" else "BBB"))
    assert (done.returncode, "the token is damaged" in done.stderr) == (1, True)
    said = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for at in said.index(b"\xc4\x10") + 2, len(said) - 5:  # in its secret; in when it ends
        done = run(four, "d", "join", altered(token, at))
        assert done.returncode == 1
    assert "no answer from 10.77.0.11:8781" in done.stderr
    assert logged(four, "a", "the token does not fit")
    assert not (four.lab.node("d").folder / "state" / "keys").exists()


def test_an_invited_machine_becomes_a_member_and_takes_calls(four: Federation) -> None:
    """After a rotation, when no key file lets anybody in; the token works once, and again for the same machine."""
    lab = four.lab
    assert run(four, "b", "keys", "rotate").returncode == 0
    four.add("1001")
    token = invite(four)
    done = run(four, "d", "join", "-", given=token + "\n")
    assert done.returncode == 0, done
    assert "node d is a member of pbxfed.lab" in done.stdout
    assert run(four, "d", "join", token).returncode == 0  # the answer may have been lost
    lab.start("d", "daemon")
    four.names = "abcd"
    four.until(four.whole)
    four.phone("1001", "a", known="abcd")
    four.phone("1004", "d", known="abcd")
    assert lab.call("1001", "1004", hold=0.6).ok
    assert lab.call("1004", "1001", hold=0.6).ok

    state = lab.node("d").folder / "elsewhere"
    done = run(four, "c", "join", token)
    assert "stop the daemon first" in done.stderr
    lab.kill("d", "daemon")
    fresh = lab.node("d").folder / "other.toml"
    text = lab.node("d").config.read_text()
    fresh.write_text(text.replace(str(lab.node("d").folder / "state"), str(state)))
    done = run(four, "d", "--config", str(fresh), "join", token)
    lab.start("d", "daemon")
    assert done.returncode == 1
    assert "the token was used by node d" in done.stderr
    assert logged(four, "a", "the token was used by node d")
    for node in lab.nodes():
        assert token not in node.tail("pbxfed.log", 1_000)
    four.until(four.whole)


def test_a_rotation_under_load_loses_nothing(four: Federation) -> None:
    """50 changes a second, from HTTP at all nodes, while the keys change; nobody is suspected meanwhile."""
    lab = four.lab
    old = {json.dumps(four.get(n, "/keys")[0]["key"]) for n in "abcd"}
    assert len(old) == 1
    four.add("1001")
    sent, rate = 250, 50
    began = time.monotonic()

    def edits(number: int) -> None:
        """Every fourth of them, beside the others: each waits for its answer."""
        for i in range(number, sent, 4):
            time.sleep(max(0.0, began + i / rate - time.monotonic()))
            edit("abcd"[number], f"Name {i}")

    def edit(node: str, name: str) -> None:
        assert lab.http(node, "PATCH", "/extensions/1001", {"name": name})[0] == 200

    with ThreadPoolExecutor(4) as beside:
        editing = [beside.submit(edits, number) for number in range(4)]
        time.sleep(40 / rate)
        assert run(four, "c", "keys", "rotate").returncode == 0
        for one in editing:
            one.result()
    took = time.monotonic() - began
    assert sent / took > 0.5 * rate, f"{sent / took:.0f} changes a second: the load was too light"
    edit("d", "The last")
    four.until(four.whole)
    new = {json.dumps(four.get(n, "/keys")[0]["key"]) for n in "abcd"}
    assert len(new) == 1
    assert new != old
    for name in "abcd":
        four.until(lambda name=name: four.get(name, "/keys")[0]["state"] == "seals")  # type: ignore[misc]
        assert four.get(name, "/extensions/1001")["name"] == "The last"
        assert "down" not in {m["state"] for m in four.get(name, "/members")}


def test_an_expelled_node_is_out_within_five_seconds(four: Federation) -> None:
    """It neither reads nor speaks, serves its own phones, says why it is alone; an invitation brings it back."""
    lab = four.lab
    four.phone("1004", "d", known="abcd")
    done = run(four, "a", "expel", "d", "--yes")
    assert done.returncode == 0, done
    four.until(lambda: "this node was expelled by a" in str(lab.http("d", "GET", "/health")[1]), 5)
    assert lab.http("d", "GET", "/health")[0] == 503
    four.names = "abc"
    four.until(lambda: all(four.state(n, "d") == "unknown" for n in "abc"), 5)
    four.until(lambda: all(four.where("1004", n) == [] for n in "abc"), 5)
    four.until(four.whole)
    assert lab.http("b", "PATCH", "/extensions/1001", {"name": "After"})[0] == 200
    lab.http("d", "PATCH", "/extensions/1001", {"name": "From outside"})
    time.sleep(1)
    assert four.get("c", "/extensions/1001")["name"] == "After"
    assert four.get("d", "/extensions/1001")["name"] == "From outside"
    four.until(lambda: "pf-d" not in lab.asterisk("a", "pjsip show endpoints"))
    assert lab.http("a", "DELETE", "/members/d")[0] == 409
    assert lab.http("a", "DELETE", "/members/a")[0] == 409
    assert lab.http("a", "DELETE", "/members/nobody")[0] == 404

    lab.kill("d", "daemon")
    token = invite(four, node="b")
    done = run(four, "d", "join", token)
    assert "remove node.key" in done.stderr
    (lab.node("d").folder / "state" / "node.key").unlink()
    done = run(four, "d", "join", invite(four, node="b"))
    assert done.returncode == 0, done
    lab.start("d", "daemon")
    four.names = "abcd"
    four.until(four.whole)
    assert "Traceback" not in "".join(node.tail("pbxfed.log", 2_000) for node in lab.nodes())
