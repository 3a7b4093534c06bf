"""`pbxfed …` as it is typed, in this process, beside a daemon that keeps the contract."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pbxfed_ari.cli import main
from tests.cli.contract import Contract

CONFIG = """
[node]
name = "a"
address = "127.0.0.1"
[federation]
domain = "pbx.test"
[http]
listen = "127.0.0.1:{port}"
"""
SECRET = "correct-horse-9"


@dataclass
class Shell:
    """Types commands."""

    config: Path
    daemon: Contract

    def run(self, *argv: str, given: str | bytes | None = None) -> Result:
        """Whatever its exit code."""
        env = {"PBXFED_CONFIG": str(self.config)}
        return CliRunner(env=env).invoke(main, argv, input=given, catch_exceptions=False)

    def __call__(self, *argv: str, given: str | bytes | None = None) -> str:
        """What a command that is done prints."""
        done = self.run(*argv, given=given)
        assert done.exit_code == 0, (argv, done.output)
        return done.stdout.rstrip("\n")

    def json(self, *argv: str) -> Any:
        return json.loads(self(*argv, "--json"))

    def refused(self, *argv: str, code: int = 1, given: str | bytes | None = None) -> str:
        """What a refused command says: one line, nothing on standard output."""
        done = self.run(*argv, given=given)
        assert done.exit_code == code, (argv, done.output)
        assert done.stdout == ""
        if code == 1:
            assert len(done.stderr.splitlines()) == 1
        return done.stderr.strip()


@pytest.fixture
def daemon() -> Contract:
    return Contract()


@pytest.fixture
def shell(daemon: Contract, tmp_path: Path) -> Iterator[Shell]:
    for port in daemon.serve():
        config = tmp_path / "pbxfed.toml"
        config.write_text(CONFIG.format(port=port))
        yield Shell(config, daemon)


@pytest.fixture
def ext(shell: Shell) -> Callable[..., None]:
    """Adds extensions."""

    def add(*numbers: str) -> None:
        for number in numbers:
            shell("ext", "add", number, "--secret", SECRET)

    return add
