"""The configuration: each refusal names file, key, value and remedy."""

from pathlib import Path

import pytest

from pbxfed_ari import config
from pbxfed_ari.errors import ConfigError

GOOD = """
[node]
name = "a"
address = "10.0.0.1"
[federation]
domain = "pbx.example"
key_file = "{key}"
[asterisk]
password_file = "{password}"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    for name, text in ("key", "ab" * 32), ("password", "secret"):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    file = tmp_path / "pbxfed.toml"
    file.write_text(GOOD.format(key=tmp_path / "key", password=tmp_path / "password"))
    return file


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        config.load(path).federation_key()
    return str(caught.value)


def test_a_good_file_is_read_with_defaults(path: Path) -> None:
    """What is not said has a sane value."""
    settings = config.load(path)
    assert (settings.node.name, settings.node.weight, settings.lan.port) == ("a", 100, 8781)
    assert settings.calls.trunks == ("sip", "iax2")
    assert settings.federation_key() == b"\xab" * 32
    assert settings.ari_password() == "secret"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[node]\nname = 'A B'", "node.name = 'A B': must be 1 to 32"),
        ("[node]\nname = 'a'\naddress = '::1'", "node.address = '::1': must be an IPv4 address"),
        ("[node]\nname = 'a'", "node.address is missing: IPv4 address"),
        ("[lan]\ngroup = '10.0.0.1'", "lan.group = '10.0.0.1': must be an IPv4 multicast address"),
        ("[lan]\nport = true", "lan.port = True: must be 1 to 65535"),
        ("[calls]\ntrunks = ['sip', 'sip']", "calls.trunks = ['sip', 'sip']: must be a list"),
        ("[calls]\nring_second = 3", "unknown key calls.ring_second: did you mean ring_seconds?"),
        ("[nod]\nname = 'a'", "unknown section [nod]: did you mean node?"),
        ("[log]\nlevel = 'loud'", "log.level = 'loud': must be one of debug, info, warning, error"),
        ("[http]\nlisten = '0.0.0.0:8780'", "beyond loopback http.token_file must be set"),
        ("[http]\nlisten = '8780'", "http.listen = '8780': must be address:port"),
        ("node = 3", "node = 3: must be a section"),
        ("[node", "not valid TOML"),
    ],
)
def test_a_wrong_line_is_refused_by_name(path: Path, line: str, words: str) -> None:
    """File, key, value, remedy."""
    text = path.read_text()
    node = '[node]\nname = "a"\naddress = "10.0.0.1"'
    if line.startswith(("[node]", "node =")):
        text = text.replace(node, "")
    path.write_text(f"{line}\n{text}" if line.startswith("node =") else text + line)
    assert words in refusal(path)
    assert refusal(path).startswith(str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """With the way to name another."""
    assert "$PBXFED_CONFIG" in refusal(tmp_path / "none.toml")


def test_a_key_that_others_may_read_is_refused(path: Path) -> None:
    """A federation key is as good as a master key."""
    path.with_name("key").chmod(0o644)
    assert "others may read it; `chmod o-rwx" in refusal(path)


@pytest.mark.parametrize("text", ["", "zz" * 32, "ab" * 31])
def test_a_key_of_another_shape_is_refused(path: Path, text: str) -> None:
    """And the command that makes one is named."""
    path.with_name("key").write_text(text)
    assert "openssl rand -hex 32" in refusal(path)
