"""The files of keys, in the state folder and outside the store: this node's own seed, and the group's keys.

    node.key   64 hexadecimal digits, made at the first start or by `pbxfed join`: who has it is this node
    keys       the keyring as JSON, newest key first: who has it reads and speaks; and the members, by name and public key, so
               that a node that has lost its store knows whom to believe

Both are written whole or not at all, on the disk before anything goes on, and readable for this user only.
"""

import os
import secrets
from pathlib import Path

import msgspec

from pbxfed_ari.core.names import NodeName
from pbxfed_ari.core.records.keys import GroupKey, Keyring, key_id
from pbxfed_ari.errors import ConfigError
from pbxfed_ari.wire.identity import SEED, NodeKey

NODE_KEY, KEYS = "node.key", "keys"


class _Key(msgspec.Struct, omit_defaults=True):
    """One key in the file."""

    key: str  # 64 hexadecimal digits
    made: int = 0
    by: str = ""
    urgent: bool = False


class _File(msgspec.Struct):
    """The whole file."""

    born: str  # id of the key that the federation was born with: tells federations apart
    keys: list[_Key]
    closed: tuple[int, str] | None = None
    holders: dict[str, str] = {}  # the other members: name → X25519 key, 64 hexadecimal digits


def load_node_key(state: Path, me: NodeName) -> NodeKey:
    """This node's own key, made at the first start.

    Raises: ConfigError.
    """
    path = state / NODE_KEY
    try:
        if not path.exists():
            write_private(path, secrets.token_hex(SEED) + "\n")
        return NodeKey(bytes.fromhex(path.read_text().strip()), me)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"node.state: {path}: {error}; if it is lost, have this node expelled and invited again"
        ) from None


def load_keyring(state: Path) -> tuple[Keyring, str] | None:
    """The group's keys and the federation's id, or None if this node has none yet.

    Raises: ConfigError.
    """
    path = state / KEYS
    try:
        if not path.exists():
            return None
        found = msgspec.json.decode(path.read_bytes(), type=_File)
        keys = [GroupKey(bytes.fromhex(k.key), k.made, k.by, k.urgent) for k in found.keys]
        holders = {name: bytes.fromhex(public) for name, public in found.holders.items()}
        return Keyring(keys, found.closed, holders), found.born
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise ConfigError(
            f"node.state: {path}: {error}; if it is lost, have this node invited again"
        ) from None


def keep_keyring(state: Path, keys: Keyring, born: str) -> None:
    """Write the group's keys.

    Raises: OSError.
    """
    rows = [_Key(key.material.hex(), key.made, key.by, key.urgent) for key in keys]
    holders = {name: public.hex() for name, public in sorted(keys.holders.items())}
    text = msgspec.json.encode(_File(born, rows, keys.closed, holders))
    write_private(state / KEYS, msgspec.json.format(text).decode() + "\n")


def open_keyring(state: Path, given: bytes | None, *, write: bool = True) -> tuple[Keyring, str]:
    """The keys that this node holds, and the federation's id. At the first start, the key that is `given` in the key file.

    Raises: ConfigError, if there is no key, or the given one is another federation's.
    """
    found = load_keyring(state)
    if found is not None:
        keys, born = found
        if given is not None and key_id(given).hex() != born:
            raise ConfigError(
                f"federation.key_file: is not the key that the federation in {state} was born with; "
                "leave it out, or name another folder (node.state) to become a member of another one"
            )
        return keys, born
    if given is None:
        raise ConfigError(
            f"federation.key_file is not set, and there is no {state / KEYS}: `pbxfed join TOKEN` brings the keys; "
            "or begin a new federation with a key of `openssl rand -hex 32`"
        )
    keys = Keyring([GroupKey(given)])
    born = keys.newest.id.hex()
    try:
        if write:
            keep_keyring(state, keys, born)
    except OSError as error:
        raise ConfigError(f"node.state: {state / KEYS}: {error.strerror}") from None
    return keys, born


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, and readable for this user only."""
    fresh = path.with_name(path.name + ".new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    fresh.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
