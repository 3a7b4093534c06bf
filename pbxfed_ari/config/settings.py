"""What the file says, as the rest of the daemon reads it."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pbxfed_ari.config.sections import (
    AsteriskSettings,
    CallSettings,
    CheckSettings,
    DnsSettings,
    FederationSettings,
    HealthSettings,
    HttpSettings,
    LanSettings,
    LogSettings,
    NodeSettings,
    ProvisioningSettings,
    WanSettings,
)
from pbxfed_ari.config.values import place
from pbxfed_ari.core.records.shelf import TRANSPORTS
from pbxfed_ari.errors import ConfigError
from pbxfed_ari.sensors.command import SHELL, Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole file."""

    path: Path
    node: NodeSettings
    federation: FederationSettings
    lan: LanSettings
    wan: WanSettings
    asterisk: AsteriskSettings
    calls: CallSettings
    http: HttpSettings
    dns: DnsSettings
    health: HealthSettings
    provisioning: ProvisioningSettings
    log: LogSettings
    checks: Mapping[str, CheckSettings]

    def check_machine(self) -> None:
        """What the file says of this machine must be so.

        Raises: ConfigError: the address is another machine's, or a folder that must be there is not.
        """
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind((self.node.address, 0))
        except OSError as error:
            raise ConfigError(
                f"{self.path}: node.address = {self.node.address!r}: {error.strerror}; "
                "it must be an address of this machine"
            ) from None
        peers = self.asterisk.iax_peers
        if "iax2" in self.calls.trunks and (peers.is_dir() or not peers.parent.is_dir()):
            raise ConfigError(
                f"{self.path}: asterisk.iax_peers = {peers}: must be a file in a folder that exists; "
                'or leave "iax2" out of calls.trunks'
            )
        objects = self.asterisk.objects
        if objects.is_dir() or not objects.parent.is_dir():
            raise ConfigError(
                f"{self.path}: asterisk.objects = {objects}: must be a file in a folder that exists, "
                "the one that res_config_sqlite3.conf names"
            )
        if self.node.state.exists() and not self.node.state.is_dir():
            raise ConfigError(f"{self.path}: node.state = {self.node.state}: must be a folder")

    def phone_ports(self) -> tuple[tuple[str, int], ...]:
        """The transports of asterisk.phones, each with its port: UDP and TCP are where peers call, unless said."""
        usual = {**TRANSPORTS, **dict.fromkeys(("udp", "tcp"), self.asterisk.sip_port)}
        words = (word.partition(":") for word in self.asterisk.phones)
        return tuple((name, int(port) if port else usual[name]) for name, _, port in words)

    def dns_places(self) -> tuple[tuple[str, int], ...]:
        """Addresses and ports of dns.listen."""
        return tuple(found for text in self.dns.listen if (found := place(text)) is not None)

    def commands(self) -> list[Command]:
        """The operator's checks."""
        return [
            Command(
                name,
                (*SHELL, one.command) if isinstance(one.command, str) else one.command,
                float(one.every),
                float(one.timeout),
                one.weight,
            )
            for name, one in self.checks.items()
        ]
