"""What was typed, and where things are: the configuration, the state, the password."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pbxfed_ari.errors import ConfigError, Refused

if TYPE_CHECKING:
    from pbxfed_ari.config import Settings
    from pbxfed_ari.installing.manifest import Manifest

STATE = Path("/var/lib/pbxfed")
USER = "pbxfed"
PASSWORD_FILE = Path("/etc/pbxfed/ari.password")


@dataclass(frozen=True, slots=True)
class Options:
    """What was typed."""

    path: Path | None  # of the configuration
    token: str | None
    name: str | None
    address: str | None
    site: str | None
    domain: str | None
    state: Path | None
    user: str | None
    asterisk: Path | None
    dry_run: bool
    yes: bool
    override: bool
    restart: bool
    json: bool

    @property
    def asks(self) -> bool:
        """May questions be asked?"""
        return not (self.yes or self.dry_run)


def configured(options: Options) -> "Settings | None":
    """The configuration, if there is one.

    Raises: ConfigError.
    """
    from pbxfed_ari import config

    path = config_path(options)
    try:
        return config.load(path) if path.exists() else None
    except PermissionError as error:
        raise ConfigError(f"{path}: {error.strerror}: run this as root") from None


def config_path(options: Options) -> Path:
    """Where the configuration is, or shall be."""
    from pbxfed_ari.joining import config_path

    return config_path(options.path, os.environ.get("PBXFED_CONFIG"))


def state_folder(options: Options, settings: "Settings | None") -> Path:
    """Where store and keys are."""
    return settings.node.state if settings else options.state or STATE


def daemon_user(options: Options, manifest: "Manifest | None") -> str:
    """Who runs the daemon: as typed, as before, or the usual one."""
    return options.user or (manifest.daemon if manifest else "") or USER


def password_file(options: Options) -> Path:
    """The password's file: beside the configuration."""
    return config_path(options).with_name(PASSWORD_FILE.name)


def need_root() -> None:
    """Raises: Refused, for anybody else."""
    if os.geteuid():
        raise Refused("this writes Asterisk's configuration: run it as root; nothing was changed")
