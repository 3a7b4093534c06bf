"""The file, read into settings. A refusal names file, key, value and remedy.

Unknown keys are refused too, with the nearest known name: a misspelled key that is silently ignored is the worst kind of
default.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pbxfed_ari.config import consistency, values
from pbxfed_ari.config.sections import SECTIONS, CheckSettings
from pbxfed_ari.config.settings import Settings
from pbxfed_ari.errors import ConfigError

DEFAULT_PATH = Path("/etc/pbxfed/pbxfed.toml")
_S = TypeVar("_S")


def load(path: Path | None = None) -> Settings:
    """Read and check a file; without a path $PBXFED_CONFIG, or /etc/pbxfed/pbxfed.toml.

    Raises: ConfigError.
    """
    path = path or Path(os.environ.get("PBXFED_CONFIG") or DEFAULT_PATH)
    try:
        data = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}; name the file with --config or $PBXFED_CONFIG"
        ) from None
    except (ValueError, RecursionError) as error:  # a number may be too long, too
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    return parse(data, path)


def parse(data: Mapping[str, object], path: Path) -> Settings:
    """Settings from what the file says.

    Raises: ConfigError.
    """
    for section in data:
        if section not in SECTIONS and section != "checks":
            raise ConfigError(f"{path}: unknown section [{section}]{_nearest(section, SECTIONS)}")
    made: dict[str, Any] = {
        name: _section(path, name, kind, data.get(name, {})) for name, kind in SECTIONS.items()
    }
    settings = Settings(path=path, checks=_checks(path, data.get("checks", {})), **made)
    wrong = consistency.wrong(settings)
    if wrong:
        raise ConfigError(f"{path}: {wrong}")
    return settings


def _checks(path: Path, given: object) -> dict[str, CheckSettings]:
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: checks = {given!r}: must be sections, as [checks.fax]")
    found: dict[str, CheckSettings] = {}
    for name, keys in given.items():
        if values.name(name):
            raise ConfigError(f"{path}: [checks.{name}]: the name {values.name(name)}")
        one = found[name] = _section(path, f"checks.{name}", CheckSettings, keys)
        if one.shell is not isinstance(one.command, str):
            said = f"{path}: checks.{name}.command = {one.command!r}: with shell = {str(one.shell).lower()}"
            raise ConfigError(f"{said} it must be a {'text' if one.shell else 'list of texts'}")
    return found


def _section(path: Path, section: str, kind: type[_S], given: object) -> _S:
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: {section} = {given!r}: must be a section, [{section}]")
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]  # all sections are dataclasses
    for key in given:
        if key not in known:
            raise ConfigError(f"{path}: unknown key {section}.{key}{_nearest(key, known)}")
    found: dict[str, object] = {}
    for key, declared in known.items():
        if key not in given:
            if declared.default is not field().default:
                continue
            raise ConfigError(f"{path}: {section}.{key} is missing: {declared.metadata['meaning']}")
        wrong = declared.metadata["check"](given[key])
        if wrong:
            raise ConfigError(f"{path}: {section}.{key} = {given[key]!r}: {wrong}")
        found[key] = _convert(declared.type, given[key])
    return kind(**found)


def _convert(kind: object, value: object) -> object:
    if isinstance(value, list):
        return tuple(value)
    return Path(str(value)) if kind in (Path, Path | None) else value


def _nearest(word: str, known: Mapping[str, object]) -> str:
    close = get_close_matches(word, known, 1)
    return f": did you mean {close[0]}?" if close else f": known are {', '.join(known)}"
