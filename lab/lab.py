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
import string
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from lab import clock
from lab.calls import Calls
from lab.forks import ForkServer
from lab.hub import HUB, KINDS, Hub, settings
from lab.members import PARTS, Say
from lab.netns import FEDERATION_PORT, Host, Network, Traffic, edge
from lab.node import DOMAIN, Node
from lab.phone import PhoneGroup
from lab.places import LabError, Places
from lab.root import ensure_root
from lab.sweep import sweep

MOST_NODES = 99  # addresses .11 to .109; the phones' are 100 above
MATCHES = {
    "federation": f"udp dport {FEDERATION_PORT}",
    "multicast": f"ip daddr 224.0.0.0/4 udp dport {FEDERATION_PORT}",
    "sip": "udp dport 5060",
    "all": "",
}


class Lab(Calls):
    """One lab, of nodes that share one machine and so its load: their daemons do not read that sensor."""

    domain = DOMAIN

    def __init__(
        self,
        places: Places | None = None,
        *,
        extra: Mapping[str, str] | None = None,
        unread: Sequence[str] = ("load",),
        say: Say = lambda text: None,
        forks: ForkServer | None = None,
    ) -> None:
        """How its nodes shall be.

        Args:
            places: where it is.
            extra: text added to Asterisk's files: keys `pjsip.conf`, or `a/pjsip.conf` for one node.
            unread: sensors that no daemon reads.
            say: is told what is done.
            forks: forks the daemons that `up` starts, and the phones; without it each is started as users do.
        """
        self.places = places or Places.default()
        self.network = Network(self.places.prefix)
        self._extra, self._unread = dict(extra or {}), tuple(unread)
        self._say, self._forks = say, forks
        self._known: tuple[str, list[Node]] = ("", [])  # the record, and its nodes

    # --- the whole -------------------------------------------------------------------------------

    def up(
        self,
        nodes: int = 3,
        *,
        sites: int = 1,
        daemon: bool = True,
        wan: str | None = None,
        nat: Sequence[str] = (),
        dns: bool = False,
    ) -> None:
        """Make the lab and start every node. Leftovers of a crashed lab are removed first.

        Args:
            nodes: how many; they are named a, b, c …
            sites: main, branch1, branch2 …, each a LAN; nodes are dealt to them in turn.
            daemon: start pbxfed beside each Asterisk.
            wan: how the daemons of the sites meet: `zenoh` (the default if there are several), `nats` or `none`.
            nat: sites that stand behind one address of the router: they can dial out and not be dialled.
            dns: every node answers for the domain.

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
            record |= {"wan": kind, "nat": list(nat), "dns": dns}
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
                node.write(self._extra, self._unread)
            self._start(members, ["asterisk"])
            if daemon:
                self._start(members, ["daemon"], self._forks)
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
        """Remove whatever carries our name."""
        sweep(self.places, self.network)

    def status(self) -> dict[str, Any]:
        """The contract of `status --json`."""
        record, hub = self._load(), self.hub()
        up = {True: "up", False: "down"}
        return {
            "domain": self.domain,
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
            "phones": self._phones_told(),
        }

    # --- nodes -----------------------------------------------------------------------------------

    def nodes(self) -> list[Node]:
        """The nodes of this lab, in order. Tests ask many times a second: they are made anew when the record has changed."""
        text = self._text()
        if text != self._known[0]:
            record = json.loads(text)
            self._known = (text, [self._member(one, record) for one in record["plan"]])
        return list(self._known[1])

    def node(self, name: str) -> Node:
        """One node by its name."""
        found = super().node(name)
        assert isinstance(found, Node)
        return found

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
            dns=record.get("dns", False),
            wan=settings(record["wan"], record["plan"], record["nat"], name, self.hub()),
        )

    def start(self, node: str, what: str = "all") -> None:
        """Start what does not run of a node: `asterisk`, `daemon` or `all`; or the `hub`."""
        hub = self.hub()
        if node == HUB and hub:
            hub.start()
        else:
            self.start_all([node], what)

    def start_all(self, names: Iterable[str], what: str = "all") -> None:
        """The same of several nodes, side by side."""
        parts = PARTS[what]
        if what == "all" and not self._load()["daemon"]:
            parts = ("asterisk",)
        with self.places.lock():
            self._start([self.node(name) for name in names], parts)

    def kill(self, node: str, what: str = "all") -> None:
        """Kill -9 a node's `asterisk`, `daemon` or `all`; or the `hub`."""
        hub = self.hub()
        with self.places.lock():
            if node == HUB and hub:
                hub.kill()
                return
            for part in PARTS[what]:
                self.node(node).kill(part)

    def _start(
        self, nodes: Iterable[Node], parts: Sequence[str], forks: ForkServer | None = None
    ) -> None:
        """All of it at once, as when machines boot: a daemon waits for its Asterisk by itself."""

        def start(node: Node, part: str) -> None:
            took = node.start_asterisk() if part == "asterisk" else node.start_daemon(forks=forks)
            if took:
                self._say(f"{node.name}: {part} up in {took:.1f} s")

        with ThreadPoolExecutor(8) as pool:
            for started in [pool.submit(start, node, part) for node in nodes for part in parts]:
                started.result()

    def configure(self, node: str, section: str, key: str, value: Any) -> None:
        """Change a setting of a node's daemon; it reads its file again (SIGHUP). None removes the key."""
        with self.places.lock():
            self.node(node).configure(section, key, value)

    def set_clock(self, node: str, seconds: int) -> None:
        """A node's daemon believes that it is so many seconds later: from its next start on, then at once."""
        clock.set_wrong(self.node(node).clock, seconds)

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

    def group(self, home: str) -> PhoneGroup:
        """The phones at home at one node."""
        return PhoneGroup(home, self.node(home).phones, self.domain, self.places, self._forks)

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
