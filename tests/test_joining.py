"""What `pbxfed join` writes, and what it leaves alone."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pbxfed_ari import config, joining
from pbxfed_ari.config import credentials
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.keys import GroupKey, Keyring
from pbxfed_ari.errors import ConfigError, Refused
from pbxfed_ari.join import asking
from pbxfed_ari.join.asking import TurnedAway
from pbxfed_ari.keys import keep_keyring, load_keyring, load_node_key, open_keyring
from pbxfed_ari.wire import token
from pbxfed_ari.wire.identity import NodeKey
from pbxfed_ari.wire.token import Answer, Token

KEY, NEXT = bytes(range(32)), bytes(range(32, 64))
BORN = GroupKey(KEY).id.hex()
TEXT = token.write(Token(1, "pbx.example", ("10.0.0.1:8781",), bytes(8), bytes(16), bytes(16), 1))
ANSWER = Answer(
    bytes(32),
    domain="pbx.example",
    born=BORN,
    keys=((NEXT, 7, "a", True), (KEY, 0, "", False)),
    closed=(7, "a"),
    group="239.255.77.99",
    port=8781,
    site="north",
    wan="zenoh",
    connect=("192.0.2.1:7447",),
    timing="wan",
)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def ask(given: Token, name: NodeName, address: str, key: NodeKey) -> Answer:
        return ANSWER

    monkeypatch.setattr(asking, "ask", ask)
    monkeypatch.setattr(asking, "port_is_free", lambda port: True)
    return tmp_path / "etc" / "pbxfed.toml"


def join(path: Path, **options: Any) -> joining.Joined:
    state = path.parent.parent / "state"
    return joining.join(TEXT, path, name="c", address="10.0.0.3", state=state, **options)


def test_a_machine_without_configuration_gets_one_that_the_daemon_reads(path: Path) -> None:
    """Keys that are the inviter's, in a file for one user; the daemon needs no key file."""
    done = join(path)
    assert (done.name, done.written) == ("c", True)
    settings = config.load(path)
    assert (settings.node.name, settings.node.site) == ("c", "north")
    assert (settings.lan.group, settings.lan.port) == ("239.255.77.99", 8781)
    assert settings.lan.timing == "wan"
    assert (settings.wan.link, settings.wan.connect) == ("zenoh", ("192.0.2.1:7447",))
    keys, born = open_keyring(settings.node.state, credentials.federation_key(settings))
    assert [key.material for key in keys] == [NEXT, KEY]
    assert (keys.closed, born) == ((7, "a"), BORN)
    for name in "keys", "node.key":
        assert (settings.node.state / name).stat().st_mode & 0o777 == 0o600
    assert KEY.hex() not in path.read_text()
    assert not join(path).written  # once more: the configuration agrees


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("pbx.example", "other.example", "federation.domain = 'other.example'"),
        ("239.255.77.99", "239.255.77.1", "lan.group = '239.255.77.1'"),
        ('"c"', '"d"', "--name c"),
    ],
)
def test_a_configuration_that_disagrees_is_left_as_it_is(
    path: Path, old: str, new: str, words: str
) -> None:
    """Key, value, remedy."""
    join(path)
    text = path.read_text().replace(old, new)
    path.write_text(text)
    with pytest.raises(Refused, match=words.replace("[", r"\[")):
        join(path)
    assert path.read_text() == text


@pytest.mark.parametrize(("error", "left"), [(TurnedAway, []), (Refused, ["node.key"])])
def test_who_is_turned_away_has_no_more_than_before(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Refused], left: list[str]
) -> None:
    """Without any answer the key stays: the token may be its by now."""

    def ask(*given: object) -> Answer:
        raise error("no")

    monkeypatch.setattr(asking, "ask", ask)
    with pytest.raises(error):
        join(path)
    state = path.parent.parent / "state"
    assert [one.name for one in state.glob("*")] == left
    assert state.exists() == bool(left)


def test_what_is_known_of_asterisk_is_written_along(path: Path) -> None:
    """By who has put the files into Asterisk already; nothing of that is left to do."""
    done = join(path, asterisk={"asterisk": {"sip_port": 5080}, "calls": {"trunks": ["sip"]}})
    settings = config.load(path)
    assert (settings.asterisk.sip_port, settings.calls.trunks) == (5080, ("sip",))
    assert not [line for line in done.todo if "ari.password" in line]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"site": "No Good"}, "node.site = 'No Good'"),
        ({"address": "10.0.0"}, "node.address = '10.0.0'"),
        ({"name": "No Good"}, "node name 'No Good'"),
    ],
)
def test_an_option_that_cannot_be_does_not_cost_the_token(
    path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], words: str
) -> None:
    """Nothing is asked, nothing is written."""
    monkeypatch.setattr(asking, "ask", None)
    given = {"name": "c", "address": "10.0.0.3"} | options
    state = path.parent.parent / "state"
    with pytest.raises((Refused, ConfigError), match=re.escape(words)):
        joining.join(TEXT, path, state=state, **given)
    assert not path.exists()
    assert not state.exists()


def test_who_has_no_multicast_and_no_peers_hears_whom_to_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The configuration was there before; what the inviter knows does not stand in it."""
    answer = msgspec.structs.replace(ANSWER, seeds=("10.0.0.1:8781",))
    monkeypatch.setattr(asking, "ask", lambda *asked: answer)
    join(path)
    text = path.read_text()
    path.write_text(text.replace("[lan]", "[lan]\nmulticast = false"))
    assert 'set lan.peers = ["10.0.0.1:8781"]' in " ".join(join(path).todo)
    path.write_text(text.replace("[lan]", '[lan]\nmulticast = false\npeers = ["10.0.0.1"]'))
    assert "lan.peers" not in " ".join(join(path).todo)


def test_the_members_stand_beside_the_keys(tmp_path: Path) -> None:
    """Outside the store, which may be lost; a file of before has none."""
    keep_keyring(tmp_path, Keyring([GroupKey(KEY)], None, {"a": NEXT}), BORN)
    found = load_keyring(tmp_path)
    assert found is not None
    assert found[0].holders == {"a": NEXT}
    (tmp_path / "keys").write_text(f'{{"born": "{BORN}", "keys": [{{"key": "{KEY.hex()}"}}]}}')
    found = load_keyring(tmp_path)
    assert found is not None
    assert found[0].holders == {}


def test_a_folder_of_another_federation_is_left_alone(path: Path) -> None:
    """Its keys, or its store without keys."""
    state = path.parent.parent / "state"
    state.mkdir()
    (state / "state.db").touch()
    with pytest.raises(Refused, match="keys are not here"):
        join(path)
    other = Keyring([GroupKey(NEXT)])
    keep_keyring(state, other, other.newest.id.hex())
    with pytest.raises(Refused, match="belongs to another federation"):
        join(path)
    found = load_keyring(state)
    assert found is not None
    assert [key.material for key in found[0]] == [NEXT]


def test_a_running_daemon_is_not_joined_behind_its_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the keys in memory."""
    monkeypatch.setattr(asking, "port_is_free", lambda port: False)
    with pytest.raises(Refused, match="stop the daemon first"):
        join(path)


def test_keys_and_key_file_must_be_of_one_federation(tmp_path: Path) -> None:
    """A key file is needed once; another one would be another federation."""
    with pytest.raises(ConfigError, match="`pbxfed join TOKEN` brings the keys"):
        open_keyring(tmp_path, None)
    open_keyring(tmp_path, KEY, write=False)
    assert load_keyring(tmp_path) is None
    open_keyring(tmp_path, KEY)
    assert [key.material for key in open_keyring(tmp_path, None)[0]] == [KEY]
    with pytest.raises(ConfigError, match="is not the key that the federation"):
        open_keyring(tmp_path, NEXT)


def test_damaged_keys_are_named(tmp_path: Path) -> None:
    """File and remedy."""
    load_node_key(tmp_path, NodeName("a"))
    (tmp_path / "node.key").write_text("x")
    (tmp_path / "keys").write_text("{}")
    with pytest.raises(ConfigError, match=r"node\.key.*expelled and invited again"):
        load_node_key(tmp_path, NodeName("a"))
    with pytest.raises(ConfigError, match=r"keys: .*invited again"):
        load_keyring(tmp_path)
