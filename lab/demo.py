"""The demo: a federation of real Asterisks, from nothing, told step by step; then everything is cleaned up.

Each step says what happens, does it, checks it and keeps what was measured. Exit code 0 only if every step held.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

from lab.calls import CallResult
from lab.lab import Lab
from lab.places import CHECKOUT, LOCKS, LabError, Places, locked
from lab.root import ensure_root

PHONES = {
    "1001": ("Reception", "a"),
    "1002": ("Workshop", "a"),
    "1003": ("Sales", "b"),
    "1004": ("Accounts", "b"),
    "1005": ("Store", "c"),
    "1006": ("Director", "c"),
}
SETTLE = 20.0  # seconds within which anything that must come true comes true
HOLD = 1.2  # seconds of each conversation


class StepFailed(Exception):
    """A step did not hold."""


@dataclass
class Demo:
    """The story so far: the lab, and a row for each step."""

    lab: Lab
    rows: list[tuple[str, str, bool]] = field(default_factory=list)

    def step(self, title: str, do: Callable[[], str]) -> bool:
        """Tell, do, keep. A step that fails is told and the story goes on, so that the table is whole."""
        print(f"\n── {title}", flush=True)
        try:
            measured = do()
        except (StepFailed, LabError) as error:
            print(f"   FAILED: {error}", flush=True)
            self.rows.append((title, f"FAILED: {error}", False))
            return False
        print(f"   {measured}", flush=True)
        self.rows.append((title, measured, True))
        return True

    # --- the steps

    def start(self) -> str:
        """Three nodes, from nothing."""
        began = time.monotonic()
        self.lab.up(3)
        for name in "abc":
            self._until(lambda name=name: self._living(name) == 3, f"{name} sees three nodes")  # type: ignore[misc]
        return f"3 Asterisks and 3 daemons, each sees the others, after {time.monotonic() - began:.1f} s"

    def add_extensions(self) -> str:
        """Six extensions on node a; the other nodes learn each from one small frame."""
        before = self.lab.bytes()["a"]["federation"]
        for number, (name, _) in PHONES.items():
            self.lab.add_extension(number, name=name, node="a")
        self._until(lambda: self._extensions("c") == len(PHONES), "c knows six extensions")
        frames = _of(self.lab.http("a", "GET", "/status")[1], "counters", "messages_sent", "Delta")
        sent = self.lab.bytes()["a"]["federation"]["tx_bytes"] - before["tx_bytes"]
        return f"6 extensions known to all; a sent {sent} bytes in all meanwhile, heartbeats included ({frames} deltas so far)"

    def register_phones(self) -> str:
        """Every Asterisk authenticates every phone: two register on each node."""
        took = [self._register(number, home) for number, (_, home) in PHONES.items()]
        self._until(
            lambda: self._where("1006") == ["c"] and self._where("1001", "c") == ["a"],
            "all see them",
        )
        return f"6 phones registered with digest authentication, median {sorted(took)[3]:.1f} ms; no file edited, no reload"

    def call(self, caller: str, called: str, *, trunk: str | None) -> str:
        """A call that must be answered, heard both ways, and have come by this trunk."""
        result = self.lab.call(caller, called, hold=HOLD)
        self._check(result, trunk)
        shown = result.caller_id or {}
        way = (
            f"{result.nodes[0]} → {result.nodes[1]} by {trunk}"
            if trunk
            else f"inside {result.nodes[0]}"
        )
        heard = f"shown as {shown.get('name')} {shown.get('number')}, heard both ways"
        return f"{caller} calls {called} {way}: set up in {result.setup_ms:.1f} ms, {heard}"

    def switch_to_iax(self) -> str:
        """Node c asks to be called by IAX2; the others follow at the next call."""
        self.lab.configure("c", "calls", "trunks", ["iax2", "sip"])
        self._until(lambda: self._trunk_to("1005") == "iax2", "a knows that c prefers IAX2")
        return self.call("1001", "1005", trunk="iax2")

    def move_phone(self) -> str:
        """A phone roams; the very next call must find it, and ring it once."""
        self._register("1003", "c")
        time.sleep(0.25)
        said = self.call("1001", "1003", trunk="iax2")
        if self._where("1003") != ["c"]:
            raise StepFailed(f"1003 stands at {self._where('1003')}, not at c alone")
        return f"250 ms after 1003 moved from b to c, {said}"

    def kill_node(self) -> str:
        """Node b dies outright. Its phone finds its second server by itself."""
        self.lab.register("1004", "b", servers=["c"])
        self.lab.kill("b")
        killed = time.monotonic()
        self._until(
            lambda: self._state("b", "a") == "down" and self._state("b", "c") == "down",
            "b is down for all",
        )
        detected = time.monotonic() - killed
        self._until(lambda: self._where("1004") == ["c"], "1004 stands at c")
        moved = time.monotonic() - killed
        said = self.call("1001", "1004", trunk="iax2")
        return f"b down for all after {detected:.1f} s, its phone 1004 at c after {moved:.1f} s; {said}"

    def kill_daemon(self) -> str:
        """Without its daemon an Asterisk is what it was before: local calls connect."""
        self.lab.kill("a", "daemon")
        return f"daemon of a killed; {self.call('1001', '1002', trunk=None)}"

    def daemon_returns(self) -> str:
        """The daemon comes back and federated calls resume."""
        began = time.monotonic()
        self.lab.start("a", "daemon")
        self._until(
            lambda: self._living("c") == 2 and self._where("1005", "a") == ["c"], "a is back"
        )
        back = time.monotonic() - began
        return f"back after {back:.1f} s, having received only what it missed; {self.call('1002', '1005', trunk='iax2')}"

    def count_bytes(self) -> str:
        """What all of this cost on the wire, by the kernel's counters."""
        traffic = {name: found["federation"] for name, found in self.lab.bytes().items()}
        each = ", ".join(
            f"{name} {t['tx_bytes']} B in {t['tx_frames']} frames"
            for name, t in sorted(traffic.items())
        )
        return f"federation traffic sent since the start: {each}"

    # --- helpers

    def _check(self, result: CallResult, trunk: str | None) -> None:
        if not result.ok:
            raise StepFailed(f"{result.caller} → {result.called}: {result.cause}")
        if result.trunk != trunk:
            raise StepFailed(
                f"{result.caller} → {result.called} came by {result.trunk}, not by {trunk}"
            )
        if result.invites != 1:
            raise StepFailed(f"{result.called} got {result.invites} INVITEs, not one")
        shown = (result.caller_id or {}).get("number"), (result.caller_id or {}).get("name")
        if shown != (result.caller, PHONES[result.caller][0]):
            raise StepFailed(f"{result.called} displayed {shown} for {result.caller}")

    def _register(self, number: str, node: str) -> float:
        """Registers as soon as that node knows the extension; in ms."""
        end = time.monotonic() + 5.0
        while True:
            try:
                return self.lab.register(number, node).ms
            except LabError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + SETTLE
        while not holds():
            if time.monotonic() > end:
                raise StepFailed(f"not within {SETTLE:.0f} s: {what}")
            time.sleep(0.05)

    def _extensions(self, node: str) -> int:
        status, body = self.lab.http(node, "GET", "/extensions")
        return len(body) if status == 200 else 0

    def _living(self, node: str) -> int:
        _, members = self.lab.http(node, "GET", "/members")
        return sum(member["state"] == "alive" for member in members)

    def _state(self, peer: str, node: str) -> str:
        _, members = self.lab.http(node, "GET", "/members")
        return next((str(m["state"]) for m in members if m["node"] == peer), "unknown")

    def _where(self, number: str, node: str = "a") -> list[str]:
        status, body = self.lab.http(node, "GET", f"/where/{number}")
        return [place["node"] for place in body["registrations"]] if status == 200 else []

    def _trunk_to(self, number: str) -> str | None:
        _, body = self.lab.http("a", "GET", f"/route/{number}")
        return str(body["tries"][0]["legs"][0]["trunk"]) if body.get("tries") else None


def _of(body: dict[str, object], *path: str) -> object:
    found: object = body
    for name in path:
        found = found.get(name, 0) if isinstance(found, dict) else 0
    return found


def main() -> int:
    """Tell the story. 0 only if every step held and nothing is left behind."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)
    print("pbxfed: three Asterisks become one telephone system.", flush=True)
    places = Places(CHECKOUT / ".lab-demo")  # not the operator's own lab
    demo = Demo(Lab(places, say=lambda text: print(f"   {text}", flush=True)))
    ensure_root()  # what takes its time on a fresh machine is not part of the story
    with locked(LOCKS / f"pbxfed-demo-{places.prefix}"):
        began = time.monotonic()
        demo.lab.down()  # what a killed demo left
        try:
            tell(demo)
        except KeyboardInterrupt:
            demo.rows.append(("interrupted", "stopped by a signal", False))
        finally:
            print("\n── Everything is taken down", flush=True)
            demo.lab.down()
        seconds = time.monotonic() - began
    print(_table(demo.rows), flush=True)
    good = all(held for *_, held in demo.rows)
    print(f"\n{'Every step held' if good else 'NOT every step held'}; {seconds:.0f} s.", flush=True)
    return 0 if good else 1


def tell(demo: Demo) -> None:
    """The steps, in order. Without nodes there is no story."""
    if not demo.step("Three nodes start from nothing", demo.start):
        return
    demo.step("Six extensions are added on node a", demo.add_extensions)
    demo.step("Phones register on a, b and c", demo.register_phones)
    demo.step("A call inside a", lambda: demo.call("1001", "1002", trunk=None))
    demo.step("A call from a to c, by SIP", lambda: demo.call("1001", "1005", trunk="sip"))
    demo.step("The same by IAX2, because c now asks for it", demo.switch_to_iax)
    demo.step("A phone moves from b to c", demo.move_phone)
    demo.step("Node b is killed outright", demo.kill_node)
    demo.step("The daemon on a is killed", demo.kill_daemon)
    demo.step("The daemon on a returns", demo.daemon_returns)
    demo.step("What it cost on the wire", demo.count_bytes)


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _table(rows: list[tuple[str, str, bool]]) -> str:
    width = max((len(title) for title, *_ in rows), default=0)
    lines = [
        f"{'ok  ' if held else 'FAIL'}  {title.ljust(width)}  {measured}"
        for title, measured, held in rows
    ]
    return "\n" + "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
