"""The whole lab, as a Python object: what the command line, the tests and the demo use.

    lab = Lab()
    lab.up(nodes=3)
    lab.add_extension("1001", name="Ada", secret="s3cret")
    lab.register("1001", "a")
    print(lab.call("1001", "1002"))
    lab.down()

A Lab object holds nothing that matters: all memory is in the state folder and in the kernel, so a command may
come from another process, and a killed one leaves nothing that the next cannot find and remove.
"""

from __future__ import annotations

import json
import secrets
import signal
import string
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from lab import clock, process, tones
from lab.hub import HUB, KINDS, Hub, settings
from lab.netns import FEDERATION_PORT, Host, Network, Traffic, edge
from lab.node import DOMAIN, Node
from lab.phone import PhoneGroup, PhoneRefused
from lab.places import LabError, Places
from lab.process import Process
from lab.root import ensure_root, remove_tree

MOST_NODES = 99  # addresses .11 to .109; the phones' are 100 above
PARTS = {"all": ("daemon", "asterisk"), "daemon": ("daemon",), "asterisk": ("asterisk",)}
MATCHES = {
    "federation": f"udp dport {FEDERATION_PORT}",
    "multicast": f"ip daddr 224.0.0.0/4 udp dport {FEDERATION_PORT}",
    "sip": "udp dport 5060",
    "all": "",
}

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CallResult:
    """What became of a call. `ok` only if it was answered and both heard each other."""

    ok: bool
    caller: str
    called: str
    nodes: tuple[str | None, str | None]
    trunk: str | None
    setup_ms: float | None
    media: dict[str, bool]
    cause: str | None
    caller_id: dict[str, str] | None = None
    invites: int = 0
    details: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The contract of `call --json`."""
        found = asdict(self)
        return {
            "ok": found.pop("ok"),
            "from": found.pop("caller"),
            "to": found.pop("called"),
            **found,
        }


@dataclass(frozen=True, slots=True)
class Way:
    """The way of a call as the caller's PBX tells it: this node, the node it was bridged to, by which trunk."""

    node: str | None = None
    peer: str | None = None
    trunk: str | None = None


@dataclass(frozen=True, slots=True)
class Dialled:
    """An answered call that goes on until it is hung up."""

    caller: str
    called: str
    id: str
    setup_ms: float
    started: float
    invites_before: int


@dataclass(frozen=True, slots=True)
class Registered:
    """A phone's registration: where, how long it took, under which Contact."""

    extension: str
    node: str
    ms: float
    contact: str


class Lab:
    """One lab. `extra` adds text to Asterisk's files: keys `pjsip.conf`, or `a/pjsip.conf` for one node."""

    def __init__(
        self,
        places: Places | None = None,
        *,
        extra: Mapping[str, str] | None = None,
        say: Say = lambda text: None,
    ) -> None:
        self.places = places or Places.default()
        self.network = Network(self.places.prefix)
        self._extra = dict(extra or {})
        self._say = say

    # --- the whole -------------------------------------------------------------------------------

    def up(
        self,
        nodes: int = 3,
        *,
        sites: int = 1,
        daemon: bool = True,
        wan: str | None = None,
        nat: Sequence[str] = (),
    ) -> None:
        """Make the lab and start every node. Leftovers of a crashed lab are removed first.

        Args:
            nodes: how many; they are named a, b, c …
            sites: main, branch1, branch2 …, each a LAN; nodes are dealt to them in turn.
            daemon: start pbxfed beside each Asterisk.
            wan: how the daemons of the sites meet: `zenoh` (the default if there are several), `nats` or `none`.
            nat: sites that stand behind one address of the router: they can dial out and not be dialled.

        Raises:
            LabError: a lab is running here already, or a node does not start.
        """
        kind = wan or ("zenoh" if sites > 1 else "none")
        _check(nodes, sites, kind, nat)
        plan = [_plan(index, sites) for index in range(nodes)]
        root = ensure_root()
        with self.places.lock():
            if self._running():
                raise LabError(f"a lab is running in {self.places.state}: `down` first")
            self._sweep()
            self.places.state.mkdir(parents=True)
            self.places.key_file.touch(mode=0o600)
            self.places.key_file.write_text(secrets.token_hex(32) + "\n")
            record = {"root": str(root), "sites": sites, "daemon": daemon, "plan": plan}
            record |= {"wan": kind, "nat": list(nat)}
            self._save({**record, "extensions": {}, "phones": {}})
            members, hub = self.nodes(), self.hub()
            behind = [one["site_number"] for one in plan if one["site"] in nat]
            self.network.build(self._hosts(), self._lans(), sorted(set(behind)))
            self._say(
                f"network: {nodes} nodes on {sites} site{'s' * (sites > 1)}, prefix {self.places.prefix}"
            )
            if hub is not None:
                hub.start()
                self._say(f"hub: {hub.url}")
            for node in members:
                node.write(self._extra)
            self._each(members, lambda node: self._start(node, ("asterisk",)))
            if daemon:
                self._each(members, lambda node: self._start(node, ("daemon",)))
            self._save({**self._load(), "complete": True})

    def down(self) -> None:
        """Remove everything: processes, namespaces, state folder."""
        with self.places.lock():
            self._sweep()

    def hub(self) -> Hub | None:
        """The host where the sites meet, if they meet at one."""
        record = self._load()
        if record["wan"] != "nats":
            return None
        lan, prefix = record["sites"], self.places.prefix
        host = Host(f"{prefix}-{HUB}", f"n-{HUB}", lan, f"10.77.{lan}.4")
        return Hub(host, self.places)

    def _lans(self) -> int:
        """How many LANs the router joins: the sites, and the hub's own."""
        record = self._load()
        return int(record["sites"]) + int(record["wan"] == "nats")

    def _hosts(self) -> list[Host]:
        hub = self.hub()
        hosts = [host for node in self.nodes() for host in (node.host, node.phones)]
        return [*hosts, hub.host] if hub else hosts

    def _running(self) -> bool:
        """A lab runs if it was completed and anything of it still lives."""
        if not self.places.record.exists() or not self._load().get("complete"):
            return False
        return bool(self.network.leftovers())

    def _sweep(self) -> None:
        """Remove whatever carries our name: recorded processes, then anything in our namespaces."""
        if self.places.run.is_dir():
            for record in self.places.run.iterdir():
                process.kill_recorded(record)
        for pid in self.network.pids():
            if found := Process.of(pid):
                found.signal(signal.SIGKILL, wait=10)
        self.network.remove()
        if self.places.state.exists():
            remove_tree(self.places.state)

    def status(self) -> dict[str, Any]:
        """The contract of `status --json`."""
        record, hub = self._load(), self.hub()
        up = {True: "up", False: "down"}
        return {
            "domain": DOMAIN,
            "wan": {
                "link": record["wan"],
                "nat": record["nat"],
                "hub": {"address": hub.host.address, "state": up[hub.up()]} if hub else None,
            },
            "nodes": [
                {
                    "name": node.name,
                    "site": node.site,
                    "address": node.host.address,
                    "asterisk": up[node.asterisk_up()],
                    "daemon": up[node.daemon_up()],
                }
                for node in self.nodes()
            ],
            "phones": [
                {
                    "extension": number,
                    "node": self._node_at(phone["server"]),
                    "address": self.node(record["phones"][number]["home"]).phones.address,
                    "registered": phone["server"] is not None,
                    "contact": phone["contact"],
                    "invites": phone["invites"],
                    "calls": phone["calls"],
                    "moves": [
                        {**m, "from": self._node_at(m["from"]), "to": self._node_at(m["to"])}
                        for m in phone["moves"]
                    ],
                }
                for number, phone in sorted(self._phones().items())
            ],
        }

    # --- nodes -----------------------------------------------------------------------------------

    def nodes(self) -> list[Node]:
        """The nodes of this lab, in order."""
        record = self._load()
        return [self._member(one, record) for one in record["plan"]]

    def node(self, name: str) -> Node:
        """One node by its name."""
        record = self._load()
        for one in record["plan"]:
            if one["name"] == name:
                return self._member(one, record)
        names = ", ".join(one["name"] for one in record["plan"])
        raise LabError(f"no node {name}: there are {names}")

    def _member(self, one: Mapping[str, Any], record: Mapping[str, Any]) -> Node:
        name, number, index = one["name"], one["site_number"], one["index"]
        prefix = self.places.prefix
        return Node(
            name=name,
            site=one["site"],
            host=Host(f"{prefix}-{name}", f"n-{name}", number, one["address"]),
            phones=Host(
                f"{prefix}-{name}-phones", f"p-{name}", number, f"10.77.{number}.{111 + index}"
            ),
            places=self.places,
            root=self.places.state.__class__(record["root"]),
            wan=settings(record["wan"], record["plan"], record["nat"], name, self.hub()),
        )

    def start(self, node: str, what: str = "all") -> None:
        """Start what does not run of a node: `asterisk`, `daemon` or `all`; or the `hub`."""
        hub = self.hub()
        if node == HUB and hub:
            hub.start()
            return
        parts = PARTS[what]
        if what == "all" and not self._load()["daemon"]:
            parts = ("asterisk",)
        with self.places.lock():
            self._start(self.node(node), [part for part in ("asterisk", "daemon") if part in parts])

    def kill(self, node: str, what: str = "all") -> None:
        """Kill -9 a node's `asterisk`, `daemon` or `all`; or the `hub`."""
        hub = self.hub()
        with self.places.lock():
            if node == HUB and hub:
                hub.kill()
                return
            for part in PARTS[what]:
                self.node(node).kill(part)

    def _start(self, node: Node, parts: Sequence[str]) -> None:
        for part in parts:
            took = node.start_asterisk() if part == "asterisk" else node.start_daemon()
            if took:
                self._say(f"{node.name}: {part} up in {took:.1f} s")

    def _each(self, nodes: Iterable[Node], do: Callable[[Node], object]) -> None:
        with ThreadPoolExecutor(8) as pool:
            for _ in pool.map(do, nodes):
                pass

    def configure(self, node: str, section: str, key: str, value: Any) -> None:
        """Change a setting of a node's daemon; it reads its file again (SIGHUP). None removes the key."""
        with self.places.lock():
            self.node(node).configure(section, key, value)

    def set_clock(self, node: str, seconds: int) -> None:
        """A node's daemon believes that it is so many seconds later: from its next start on, then at once."""
        clock.set_wrong(self.node(node).clock, seconds)

    def http(self, node: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Ask a node's daemon over HTTP: status and decoded answer."""
        return self.node(node).http(method, path, body)

    def asterisk(self, node: str, command: str) -> str:
        """Ask a node's Asterisk, as `asterisk -rx` does, in a millisecond or two."""
        return self.node(node).asterisk(command)

    def exec(
        self, node: str, argv: Sequence[str], **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as that node would; `options` are subprocess.run's."""
        member = self.node(node)
        options = {"text": True, "check": False, "env": member.environment(), **options}
        # `env` looks the program up in the node's PATH; `ip` would look in ours
        command = ["ip", "netns", "exec", member.host.namespace, "env", *argv]
        done: subprocess.CompletedProcess[str] = subprocess.run(command, **options)
        return done

    def pbxfed(self, node: str, *argv: str, check: bool = True) -> str:
        """Run the daemon's command line on a node and return what it printed."""
        done = self.exec(node, ["pbxfed", *argv], capture_output=True)
        if check and done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise LabError(f"{node}: pbxfed {' '.join(argv)}: exit {done.returncode}: {said}")
        return done.stdout

    def logs(self, node: str, lines: int = 40) -> str:
        """The ends of a node's logs."""
        member = self.node(node)
        names = ("pbxfed.log", "full", "console")
        return "\n".join(f"==> {node}: {name}\n{member.tail(name, lines)}" for name in names)

    # --- the network -----------------------------------------------------------------------------

    def cut(self, *nodes: str) -> None:
        """Pull the nodes' cables (not their phones'). `site:NAME` cuts a site off from the others, `hub` the hub."""
        with self.places.lock():
            for name in nodes:
                kind, _, site = name.partition(":")
                self.network.cut(
                    edge(self._site_number(site)) if kind == "site" else self._host(name).port
                )

    def heal(self) -> None:
        """Plug every cable in again."""
        with self.places.lock():
            self.network.heal(self._hosts(), self._lans())

    def drop(
        self,
        target: str,
        match: str = "federation",
        *,
        outgoing: bool = False,
        count: int | None = None,
        percent: float = 100,
    ) -> None:
        """Lose frames at the switch port of a node (`a`) or of its phones (`phones:a`).

        Args:
            target: `a`, `phones:a`, or `hub`.
            match: `federation`, its `multicast`, `sip`, `all`, or any nft expression, as `udp dport 12000`.
            outgoing: what the target sends, instead of what it would receive.
            count: only the next so many that match.
            percent: or so many of a hundred, by chance.
        """
        expression = MATCHES.get(match, match)
        self.network.drop(
            self._host(target), expression, outgoing=outgoing, count=count, percent=percent
        )

    def undrop(self, target: str) -> None:
        """Lose nothing more at a target's switch port."""
        self.network.undrop(self._host(target))

    def dropped(self, target: str) -> int:
        """How many frames a target's rules have swallowed so far."""
        return self.network.dropped(self._host(target))

    def bytes(self) -> dict[str, Any]:
        """Per node: all frames of its interface; at its switch port the federation's datagrams, and the WAN link's frames."""
        counted = self.network.counted()
        return {
            node.name: {
                **asdict(self.network.traffic(node.host)),
                "federation": asdict(counted[node.host.port][0]),
                "wan": asdict(counted[node.host.port][1]),
            }
            for node in self.nodes()
        }

    def edge_bytes(self) -> dict[str, Traffic]:
        """Per site: the WAN link's frames between its switch and the router, TCP's acknowledgements included."""
        counted = self.network.counted()
        sites = {one["site"]: int(one["site_number"]) for one in self._load()["plan"]}
        seen = {
            site: counted[edge(number)][1] for site, number in sites.items() if self._lans() > 1
        }
        # what enters the switch at the router's port is what the site receives
        return {
            site: Traffic(at.rx_bytes, at.rx_frames, at.tx_bytes, at.tx_frames)
            for site, at in seen.items()
        }

    def _host(self, target: str) -> Host:
        hub = self.hub()
        if target == HUB and hub:
            return hub.host
        kind, _, name = target.rpartition(":")
        node = self.node(name)
        return node.phones if kind == "phones" else node.host

    def _site_number(self, site: str) -> int:
        for one in self._load()["plan"]:
            if one["site"] == site:
                return int(one["site_number"])
        raise LabError(f"no site {site}")

    # --- phones ----------------------------------------------------------------------------------

    def add_extension(
        self, extension: str, *, name: str = "", secret: str = "", node: str | None = None
    ) -> str:
        """Add an extension to the federation through a node's command line; return its secret."""
        secret = secret or secrets.token_hex(8)
        via = node or next((one.name for one in self.nodes() if one.daemon_up()), "a")
        self.pbxfed(via, "ext", "add", extension, "--name", name or extension, "--secret", secret)
        self.remember_extension(extension, secret, name=name)
        return secret

    def remember_extension(self, extension: str, secret: str, *, name: str = "") -> None:
        """Let the lab's phones know the secret of an extension that was made by other means."""
        with self.places.lock():
            record = self._load()
            record["extensions"][extension] = {"secret": secret, "name": name or extension}
            self._save(record)

    def register(
        self,
        extension: str,
        node: str,
        *,
        secret: str | None = None,
        servers: Sequence[str] = (),
        same_contact: bool = True,
        home: str | None = None,
        expires: int | None = None,
        keepalive: float | None = None,
        patience: float | None = None,
        timeout: float = 5.0,
    ) -> Registered:
        """Register a phone at a node; one that is registered elsewhere moves, without a word there.

        Args:
            extension: `1001`, or `1001/2` for a second phone with the same number.
            node: the registrar.
            secret: by default the one the lab remembers.
            servers: nodes to go to, in order and round again, when `node` falls silent.
            same_contact: keep the Contact URI of the last registration, or be a new device.
            home: the node whose phone group it stands in; by default the first it registers at.
            expires: seconds that are asked of the registrar (300).
            keepalive: seconds between two questions to a server, if there is a second one (0.5).
            patience: seconds of silence after which a server counts as dead (2).
            timeout: seconds to wait for this registration.

        Raises:
            PhoneRefused: with the SIP status, as `401: wrong secret`.
        """
        group, number, known = self._stand(extension, home or node, secret)
        addresses = [self.node(name).host.address for name in dict.fromkeys([node, *servers])]
        answer = group.ask(
            "register",
            phone=extension,
            secret=known["secret"],
            name=known["name"],
            index=number,
            servers=addresses,
            same_contact=same_contact,
            expires=expires,
            keepalive=keepalive,
            dead_after=patience,
            timeout=timeout,
        )
        return Registered(extension, node, round(answer["ms"], 2), answer["contact"])

    def _stand(
        self, extension: str, home: str, secret: str | None
    ) -> tuple[PhoneGroup, int, dict[str, Any]]:
        """Find a phone's place in the lab, or give it one; start its group."""
        self.node(home)
        with self.places.lock():
            record = self._load()
            number = extension_of(extension)
            known = record["extensions"].setdefault(number, {"secret": None, "name": number})
            if secret is not None:
                known["secret"] = secret
            if known["secret"] is None:
                raise LabError(f"the lab does not know the secret of {extension}: give --secret")
            phone = record["phones"].setdefault(
                extension, {"home": home, "index": len(record["phones"])}
            )
            self._save(record)
            group = self.group(phone["home"])
            group.start()
        return group, phone["index"], known

    def unregister(self, extension: str) -> None:
        """Let a phone sign off properly."""
        self._group_of(extension).ask("unregister", phone=extension)

    def unplug(self, extension: str) -> None:
        """Let a phone vanish without a word; registering it again plugs it in."""
        self._group_of(extension).ask("unplug", phone=extension)

    def manners(
        self,
        extension: str,
        *,
        answer_after_ms: float | None = 0,
        refuse: str | None = None,
        send_to: str | None = None,
        early: bool = False,
    ) -> None:
        """What a phone does when called: answer after a while (None: ring on), or refuse (`486 Busy Here`).

        `send_to`: the number in the Contact of a refusal, as with `302 Moved Temporarily`; `early`: speak while it rings.
        """
        self._group_of(extension).ask(
            "manners",
            phone=extension,
            answer_after_ms=answer_after_ms,
            refuse=refuse,
            send_to=send_to,
            early=early,
        )

    def phone(self, extension: str) -> dict[str, Any]:
        """One phone's state: server (an address or None), contact, hertz, invites, calls, moves."""
        found = {p["extension"]: p for p in self._group_of(extension).ask("status")["phones"]}
        if extension not in found:
            raise LabError(f"phone {extension} is unplugged")
        return dict(found[extension])

    def calls_of(self, extension: str, since: float = 0.0) -> list[dict[str, Any]]:
        """The calls that a phone made and got since a moment (time.time())."""
        answer = self._group_of(extension).ask("calls", phone=extension, since=since)
        return list(answer["calls"])

    def group(self, home: str) -> PhoneGroup:
        """The phones at home at one node."""
        return PhoneGroup(home, self.node(home).phones, DOMAIN, self.places)

    def _group_of(self, extension: str) -> PhoneGroup:
        phone = self._load()["phones"].get(extension)
        if phone is None:
            raise LabError(f"there is no phone {extension}: register it first")
        return self.group(phone["home"])

    def _phones(self) -> dict[str, dict[str, Any]]:
        """Every phone that is plugged in, by extension."""
        homes = {phone["home"] for phone in self._load()["phones"].values()}
        groups = [group for home in homes if (group := self.group(home)).running()]
        return {p["extension"]: p for group in groups for p in group.ask("status")["phones"]}

    def _node_at(self, address: str | None) -> str | None:
        return next((node.name for node in self.nodes() if node.host.address == address), None)

    # --- calls -----------------------------------------------------------------------------------

    def call(
        self, caller: str, called: str, *, hold: float = 1.5, timeout: float = 40.0
    ) -> CallResult:
        """Call, talk for a while, hang up; tell what became of it."""
        before, invites = time.time(), self._invites(called)
        try:
            dialled = self.dial(caller, called, timeout=timeout)
        except PhoneRefused as refusal:
            return self._failed(caller, called, str(refusal), before, invites)
        until = time.monotonic() + hold
        way = self.way(caller, patience=min(hold, 0.3))
        time.sleep(max(0.0, until - time.monotonic()))
        return self.finish(dialled, way=way)

    def dial(self, caller: str, called: str, *, timeout: float = 40.0) -> Dialled:
        """Call and leave it open. Raises PhoneRefused with the SIP status if nobody answers."""
        invites = self._invites(called)
        started = time.time()
        answer = self._group_of(caller).ask(
            "dial", phone=caller, number=called, timeout=timeout, patience=timeout + 10
        )
        return Dialled(caller, called, answer["call"], answer["setup_ms"], started, invites)

    def way(self, caller: str, *, patience: float = 0.3) -> Way:
        """Which way a phone's present call takes, by its PBX's own account.

        Under load the 200 may leave before the legs are bridged: it is asked again for `patience` seconds.
        """
        node = self._node_at(self.phone(caller)["server"])
        deadline = time.monotonic() + patience
        while node is not None:
            bridged, found = self._way_now(node, caller)
            if bridged or time.monotonic() >= deadline:
                return found
            time.sleep(0.02)
        return Way()

    def _way_now(self, node: str, caller: str) -> tuple[bool, Way]:
        """Whether a phone's leg is bridged at all, and the way it has taken."""
        rows = [
            line.split("!")
            for line in self.asterisk(node, "core show channels concise").splitlines()
        ]
        rows = [row for row in rows if len(row) >= 13]
        bridges = {
            row[12]
            for row in rows
            if row[0].startswith(f"PJSIP/{extension_of(caller)}-") and row[12]
        }
        for row in rows:
            if row[12] in bridges:
                for start, name in (("PJSIP/pf-", "sip"), ("IAX2/pf-", "iax2")):
                    if row[0].startswith(start):
                        peer = row[0].removeprefix(start).rpartition("-")[0]
                        return True, Way(node, peer, name)
        return bool(bridges), Way(node, node)

    def listen(
        self, dialled: Dialled, *, last_seconds: float = 10.0
    ) -> tuple[dict[str, bool], Any]:
        """Who has heard whom in a call, and the called phone's side of it (None if no phone was found)."""
        theirs = self._other_side(dialled, last_seconds)
        spoken = theirs["hertz"] if theirs else self._hertz(dialled.called)
        ours = self._group_of(dialled.caller).ask(
            "call",
            phone=dialled.caller,
            call=dialled.id,
            tones=[spoken] if spoken else [],
            last_seconds=last_seconds,
        )
        return {
            "a_to_b": theirs is not None and _enough(theirs, self._hertz(dialled.caller)),
            "b_to_a": _enough(ours, spoken),
        }, theirs

    def hang_up(self, dialled: Dialled) -> None:
        """Let the caller hang up."""
        self.end(dialled.caller, dialled.id)

    def end(self, phone: str, call: str) -> None:
        """Let a phone hang up a call of its own."""
        self._group_of(phone).ask("hang_up", phone=phone, call=call)

    def hold(self, phone: str, call: str, on: bool = True) -> None:
        """Let a phone put a call of its own on hold, or talk again."""
        self._group_of(phone).ask("hold", phone=phone, call=call, on=on)

    def transfer(self, phone: str, call: str, number: str, *, other: str | None = None) -> int:
        """Let a phone transfer a call blindly, or to the other side of its `other` call; the REFER's status.

        Raises PhoneRefused, with the SIP status.
        """
        answer = self._group_of(phone).ask(
            "transfer", phone=phone, call=call, number=number, other=other
        )
        return int(answer["status"])

    def press(self, phone: str, call: str, keys: str) -> None:
        """Let a phone press keys in a call."""
        self._group_of(phone).ask("press", phone=phone, call=call, keys=keys)

    def hears(self, phone: str, call: str, other: str, *, seconds: float = 0.5) -> bool:
        """Does a phone hear another one in this call, within the next seconds?"""
        answer = self._group_of(phone).ask(
            "listen", phone=phone, call=call, tone=self._hertz(other), seconds=seconds
        )
        return bool(answer["heard"] >= tones.ENOUGH)

    def finish(self, dialled: Dialled, *, way: Way | None = None) -> CallResult:
        """Judge an open call by what was heard, then hang it up."""
        media, theirs = self.listen(dialled)
        self.hang_up(dialled)
        missing = [way.replace("_", " ") for way, heard in media.items() if not heard]
        return CallResult(
            ok=not missing,
            caller=dialled.caller,
            called=dialled.called,
            nodes=(way.node, way.peer) if way else (None, None),
            trunk=way.trunk if way else None,
            setup_ms=dialled.setup_ms,
            media=media,
            cause=f"answered, but nothing heard from {' and '.join(missing)}" if missing else None,
            caller_id={"name": theirs["name"], "number": theirs["other"]} if theirs else None,
            invites=self._invites(dialled.called) - dialled.invites_before,
            details={"answered_by": theirs["phone"] if theirs else None},
        )

    def _failed(
        self, caller: str, called: str, cause: str, since: float, invites: int
    ) -> CallResult:
        rang = [] if self._absent(called) else self.calls_of(called, since)
        rang = [call for call in rang if call["incoming"]]
        return CallResult(
            ok=False,
            caller=caller,
            called=called,
            nodes=self._where(caller, called),
            trunk=None,
            setup_ms=None,
            media={"a_to_b": False, "b_to_a": False},
            cause=cause,
            caller_id={"name": rang[-1]["name"], "number": rang[-1]["other"]} if rang else None,
            invites=self._invites(called) - invites,
        )

    def _other_side(self, dialled: Dialled, last_seconds: float) -> dict[str, Any] | None:
        """The incoming call, at whichever phone, in which the caller's tone was heard; else the likeliest."""
        tone = self._hertz(dialled.caller)
        request: dict[str, Any] = {"since": dialled.started - 0.001, "tones": [tone]}
        likely: list[dict[str, Any]] = []
        for group, phone in self._candidates(dialled.called):
            calls = group.ask("calls", phone=phone, last_seconds=last_seconds, **request)["calls"]
            answered: list[dict[str, Any]] = [
                c for c in calls if c["incoming"] and c["answered_at"]
            ]
            answered.sort(
                key=lambda c: (
                    _enough(c, tone),
                    c["other"] == extension_of(dialled.caller),
                    c["started"],
                )
            )
            if answered and _enough(answered[-1], tone):
                return answered[-1]
            likely += [
                c
                for c in answered
                if c["phone"] == dialled.called or c["other"] == extension_of(dialled.caller)
            ]
        return likely[0] if likely else None

    def _candidates(self, called: str) -> list[tuple[PhoneGroup, str | None]]:
        """First the phone with the number dialled, then every other."""
        homes = sorted({phone["home"] for phone in self._load()["phones"].values()})
        first = [] if self._absent(called) else [(self._group_of(called), called)]
        return [*first, *((self.group(home), None) for home in homes if self.group(home).running())]

    def _absent(self, extension: str) -> bool:
        phone = self._load()["phones"].get(extension)
        if phone is None or not (group := self.group(phone["home"])).running():
            return True
        return extension not in group.ask("ping")["phones"]

    def _hertz(self, extension: str) -> int:
        phone = self._load()["phones"].get(extension)
        return tones.frequency(phone["index"]) if phone else 0

    def _invites(self, extension: str) -> int:
        return 0 if self._absent(extension) else int(self.phone(extension)["invites"])

    def _where(self, caller: str, called: str) -> tuple[str | None, str | None]:
        first, second = (
            None if self._absent(number) else self._node_at(self.phone(number)["server"])
            for number in (caller, called)
        )
        return first, second

    # --- memory ----------------------------------------------------------------------------------

    def _load(self) -> dict[str, Any]:
        try:
            record: dict[str, Any] = json.loads(self.places.record.read_text())
        except FileNotFoundError:
            raise LabError(f"no lab in {self.places.state}: `up` first") from None
        return record

    def _save(self, record: Mapping[str, Any]) -> None:
        temporary = self.places.record.with_suffix(".new")
        temporary.write_text(json.dumps(record, indent=1))
        temporary.replace(self.places.record)


def _check(nodes: int, sites: int, wan: str, nat: Sequence[str]) -> None:
    """Raises: LabError, if there cannot be such a lab."""
    if not 1 <= nodes <= MOST_NODES or not 1 <= sites <= nodes:
        raise LabError(
            f"nodes = {nodes}, sites = {sites}: 1 to {MOST_NODES} nodes on at most as many sites"
        )
    if wan not in KINDS:
        raise LabError(f"wan = {wan}: must be one of {', '.join(KINDS)}")
    names = [_site(number) for number in range(sites)]
    if unknown := set(nat) - set(names):
        raise LabError(f"nat = {', '.join(sorted(unknown))}: the sites are {', '.join(names)}")
    if wan == "zenoh" and not set(names) - set(nat):
        raise LabError("nat: with zenoh one site at least must be such as others can dial")


def _site(number: int) -> str:
    return f"branch{number}" if number else "main"


def _plan(index: int, sites: int) -> dict[str, Any]:
    """A node's name and site: a, b, … z, aa, ab …, dealt over the sites in turn."""
    letters = string.ascii_lowercase
    name = letters[index] if index < 26 else letters[index // 26 - 1] + letters[index % 26]
    number = index % sites
    return {
        "index": index,
        "name": name,
        "site": _site(number),
        "site_number": number,
        "address": f"10.77.{number}.{11 + index}",
    }


def extension_of(phone: str) -> str:
    """The extension of a phone: `1001` of its first device `1001` and of its second, `1001/2`."""
    return phone.partition("/")[0]


def _enough(call: Mapping[str, Any], hertz: int) -> bool:
    return bool(call["heard"].get(str(hertz), 0.0) >= tones.ENOUGH)
