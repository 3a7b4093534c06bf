"""Twenty user agents of several kinds, ours and baresip. Each knows the federation by its domain, or two of its nodes.

What an agent waits for is what docs/phones.md gives it; SRV spreads those that ask DNS.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from lab.lab import Lab
from lab.netns import socket_in
from lab.node import DOMAIN
from lab.root import INSIDE
from tests.lab.conftest import SECRET, Federation
from tests.lab.foreign import MODULES, running


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of user agent."""

    name: str
    transport: str = "udp"
    second: bool = False  # two servers by their addresses, no DNS
    foreign: bool = False  # baresip
    expires: int = 60  # seconds: what it registers for
    redials: float = math.inf  # seconds of silence after which its user hangs up and dials again
    timers: Mapping[str, float] = field(default_factory=dict)  # lab/transactions.py


SRV_UDP = Kind("SRV by UDP, 2 s", timers={"patience": 2.0})
SRV_T1 = Kind("SRV by UDP, T1 40 ms", timers={"t1": 0.04, "patience": 2.56})
SRV_TCP = Kind("SRV by TCP", "tcp", timers={"patience": 2.0, "keepalive": 20.0})
SECOND = Kind("second server, UDP", second=True, timers={"patience": 1.5})
BARESIP_UDP = Kind("baresip, SRV by UDP", foreign=True, expires=30, redials=2.0)
BARESIP_TCP = Kind("baresip, SRV by TCP", "tcp", foreign=True, expires=30, redials=2.0)
TWENTY = (
    *(SRV_UDP,) * 5,
    *(SRV_T1,) * 3,
    *(SRV_TCP,) * 4,
    *(SECOND,) * 4,
    *(BARESIP_UDP,) * 2,
    *(BARESIP_TCP,) * 2,
)


@dataclass(frozen=True, slots=True)
class Agent:
    """One of them."""

    number: str
    kind: Kind
    home: str  # the node beside which it stands
    control: int = 0  # baresip's port for commands

    def node(self, federation: Federation, among: str) -> str | None:
        """Where it is registered, of these nodes, as they see it."""
        return next((n for n in federation.where(self.number, among[0]) if n in among), None)


@contextmanager
def plugged(federation: Federation, kinds: Sequence[Kind] = TWENTY) -> Iterator[list[Agent]]:
    """The agents, registered; at the end the foreign ones are gone. Beside each node stand probes: phones that wait there."""
    agents = [
        Agent(str(1100 + i), kind, federation.names[i % 3], 4_500 + i)
        for i, kind in enumerate(kinds)
    ]
    for number in [one.number for one in agents] + [p for n in federation.names for p in probes(n)]:
        made = federation.lab.http("a", "PUT", f"/extensions/{number}", {"secret": SECRET})
        assert made[0] < 300, made
        federation.lab.remember_extension(number, SECRET)
    federation.until(federation.whole, 30)
    for node in federation.names:
        for probe in probes(node):
            federation.lab.register(probe, node)
    with ExitStack() as stack:
        for agent in agents:
            if agent.kind.foreign:
                stack.enter_context(_baresip(federation.lab, agent))
            else:
                enrol(federation, agent)
        everybody = federation.names
        federation.until(lambda: all(a.node(federation, everybody) for a in agents), 20)
        yield agents


def probes(node: str) -> list[str]:
    """The numbers of a node's probes."""
    return [str(1900 + 10 * (ord(node) - ord("a")) + i) for i in range(2)]


def enrol(federation: Federation, agent: Agent) -> None:
    """Register a phone of the lab's, set as its kind; it finds its node anew."""
    timers = {"keepalive": 0.0, "expires": agent.kind.expires, **agent.kind.timers}
    names = federation.names
    turned = names[names.index(agent.home) :] + names[: names.index(agent.home)]
    federation.lab.register(
        agent.number,
        agent.home if agent.kind.second else DOMAIN,
        servers=[turned[1]] if agent.kind.second else turned,
        home=agent.home,
        transport=agent.kind.transport,
        timers=timers,
    )


@contextmanager
def _baresip(lab: Lab, agent: Agent) -> Iterator[None]:
    folder = lab.places.state / f"baresip-{agent.number}"
    folder.mkdir(exist_ok=True)
    resolvers = "".join(f"dns_server {node.address}:53\n" for node in lab.nodes())
    number = int(agent.number)
    (folder / "config").write_text(
        f"module_path {MODULES}\n"
        + "".join(f"module {m}.so\n" for m in ("g711", "aufile", "account", "menu", "ctrl_tcp"))
        + f"sip_listen 0.0.0.0:{number + 4_200}\nctrl_tcp_listen 0.0.0.0:{agent.control}\n"
        f"audio_player aufile,{INSIDE}/{folder.name}/heard.wav\n"
        f"audio_source aufile,{INSIDE}/{folder.name}/speaks.wav\n"
        f"audio_alert aufile,{INSIDE}/{folder.name}/alert.wav\n"
        "ausrc_srate 8000\nauplay_srate 8000\nausrc_channels 1\nauplay_channels 1\n"
        f"rtp_ports {20_000 + 20 * (number % 100)}-{20_018 + 20 * (number % 100)}\n"
        f"net_interface e0\n{resolvers}"
        "ringback_disabled yes\n"  # it may hang for ever between the end of that tone and the call
        "call_hold_other_calls no\n"  # it is called while it dials
    )
    (folder / "accounts").write_text(
        f"<sip:{number}@{DOMAIN};transport={agent.kind.transport}>;auth_user={number}"
        f";auth_pass={SECRET};regint={agent.kind.expires};answermode=auto;audio_codecs=PCMU/8000/1\n"
    )
    with running(lab, agent.home, folder):
        yield


def command(lab: Lab, agent: Agent, name: str, parameters: str = "") -> None:
    """Tell a baresip something (its module ctrl_tcp: JSON in a netstring)."""
    text = json.dumps({"command": name, "params": parameters, "token": name}).encode()
    with socket_in(lab.node(agent.home).phones.namespace) as sock:
        sock.settimeout(5)
        sock.connect(("127.0.0.1", agent.control))
        sock.sendall(b"%d:%s," % (len(text), text))
        sock.recv(4096)
