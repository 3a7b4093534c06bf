"""Machines that systemd boots, on one LAN, with phones beside them: what operators have, and Vagrant makes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.asking import answered, question
from lab.calls import Calls
from lab.machine import Machine, ensure_base
from lab.netns import Host, Network
from lab.phone import PhoneGroup
from lab.places import CHECKOUT, Places
from lab.root import cache, forbid_starts, hash_of, kept, run_in
from lab.sweep import sweep

SUITE = "trixie"  # Debian 13
PREPARE = CHECKOUT / "lab/prepare.sh"


def ensure_debian() -> Path:
    """The root of a Debian as anybody has it, but that `prepare.sh asterisk` ran in it: machines of a lab reach no mirror."""
    base = ensure_base(SUITE)

    def build(root: Path, lock: int, what: str) -> None:
        subprocess.run(["cp", "-a", base, root], check=True)
        forbid_starts(root)
        shutil.copy(PREPARE, root / "tmp/prepare.sh")
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        run_in(root, "sh", "/tmp/prepare.sh", "asterisk")
        (root / "usr/sbin/policy-rc.d").unlink()
        (root / "etc/hostname").unlink()  # each has its own

    name = f"debian-{hash_of(base.name, PREPARE.read_text(), 'no hostname')}"
    return kept(cache() / name, "a Debian with unstable's Asterisk", build)


class Booted(Machine):
    """One machine of a LAN, as a member of a lab."""

    site = "main"

    def __init__(self, root: Path, host: Host, name: str, places: Places, shared: Path) -> None:
        folder = places.node(name)
        folder.mkdir(parents=True)
        super().__init__(
            root, folder / "console.log", shared, hostname=name, namespace=host.namespace
        )
        self.name, self.address = name, host.address

    def asterisk_up(self) -> bool:
        """Tell whether its unit is active."""
        return self.show("asterisk", "ActiveState") == ["active"]

    def daemon_up(self) -> bool:
        """Tell whether its unit is active."""
        return self.show("pbxfed", "ActiveState") == ["active"]

    def http(
        self, method: str, path: str, body: object = None, *, patience: float = 10.0
    ) -> tuple[int, Any]:
        """Ask the daemon over HTTP: status and decoded answer; 0 and why, if nobody answers."""
        text = "" if body is None else json.dumps(body)
        return answered(self.run(*question(method, path), given=text, check=False))

    def asterisk(self, command: str) -> str:
        """Ask Asterisk's command line."""
        return self.run("asterisk", "-rx", command, check=False).stdout

    def exec(self, argv: Sequence[str], **_: Any) -> subprocess.CompletedProcess[str]:
        """Run a command as the node would."""
        return self.run(*argv, check=False)

    def tail(self, log: str, lines: int = 20) -> str:
        """The last lines that a unit said: asterisk, pbxfed."""
        unit = "asterisk" if log == "full" else "pbxfed"
        return self.run("journalctl", "--no-pager", "-u", unit, "-n", str(lines)).stdout


class BootedLan(Calls):
    """Machines on one LAN. Their phones and calls are as in any lab."""

    def __init__(self, places: Places, domain: str) -> None:
        self.places, self.domain = places, domain
        self.network = Network(places.prefix)
        self._machines: dict[str, Booted] = {}
        self._phones_at: dict[str, Host] = {}

    def up(self, root: Path, addresses: Mapping[str, str], shared: Path) -> None:
        """Boot a machine of this root at each of these addresses of one /24; they see `shared` at /mnt."""
        self.down()
        self.places.run.mkdir(parents=True)
        self._save({"extensions": {}, "phones": {}})
        hosts: dict[str, Host] = {}
        for name, address in addresses.items():
            net, _, last = address.rpartition(".")
            at = self.places.prefix, name
            hosts[name] = Host("-".join(at), f"n-{name}", 0, address)
            self._phones_at[name] = Host(
                "-".join((*at, "phones")), f"p-{name}", 0, f"{net}.{int(last) + 100}"
            )
        self.network.build([*hosts.values(), *self._phones_at.values()], 1)
        for name, host in hosts.items():
            self._machines[name] = Booted(root, host, name, self.places, shared)
        for machine in self._machines.values():
            machine.switch_on()
        for machine in self._machines.values():
            machine.wait()

    def down(self) -> None:
        """Switch all off, and remove everything."""
        for machine in self._machines.values():
            machine.off()
        self._machines.clear()
        sweep(self.places, self.network)

    def nodes(self) -> list[Booted]:
        """The machines, in order."""
        return list(self._machines.values())

    def machine(self, name: str) -> Booted:
        """One of them."""
        return self._machines[name]

    def group(self, home: str) -> PhoneGroup:
        """The phones at home at one machine."""
        return PhoneGroup(home, self._phones_at[home], self.domain, self.places)
