"""What a record takes in memory: a node holds what all others have written."""

import gc
import tracemalloc
from collections.abc import Iterator
from hashlib import md5

import pytest

from pbxfed_ari.core.federation import pushing
from pbxfed_ari.core.messages import BookSet, Record, ShelfPut
from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.records import catalogue
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.records.objects.extension import EXTENSION
from pbxfed_ari.core.records.objects.kind import CLAIM
from pbxfed_ari.core.records.shelf import SINCE, Contact, contact_key, encode

PHONES = (
    500  # of four records each: its number, its name, its secret's digest, where it is registered
)
MOST = 550  # bytes a record, a phone kept as it was read among them
A = NodeName("a")


@pytest.fixture
def traced() -> Iterator[None]:
    """What is allocated is counted."""
    gc.collect()
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_what_a_record_takes_in_memory(traced: None) -> None:
    """As many as are there, in bytes."""
    before = tracemalloc.get_traced_memory()[0]
    directory = _filled()
    gc.collect()
    took = (tracemalloc.get_traced_memory()[0] - before) / (4 * PHONES)
    assert directory.catalogue.count(EXTENSION) == PHONES
    assert took <= MOST, took


def test_phones_are_read_one_by_one_for_asterisk(
    traced: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more than are kept as they were read, not all are there at once."""
    monkeypatch.setattr(catalogue, "READ", 50)
    directory = _filled()
    tracemalloc.reset_peak()
    effects = pushing.everything(A, directory)
    held, peak = tracemalloc.get_traced_memory()
    assert len(effects) == PHONES
    assert peak - held < 50 * PHONES, (peak - held) / PHONES  # bytes; a phone has 300


def _filled() -> Directory:
    directory = Directory()
    for i in range(PHONES):
        directory.write((A, 1), _phone(i))
    return directory


def _phone(i: int) -> list[Record]:
    """As a store or a frame says it: each record with an id and a stamp of its own."""
    number = Extension(str(100_000 + i))
    name, ha1 = EXTENSION.fields["name"], EXTENSION.fields["ha1"]
    groups = {
        CLAIM: EXTENSION.key.pack(number),
        name.group: name.type.pack(f"Ada Lovelace {i}"),
        ha1.group: ha1.type.pack(md5(number.encode(), usedforsecurity=False).hexdigest()),
    }
    made = [BookSet(b"x%08d" % i, g, SINCE + i + 1, "", value) for g, value in groups.items()]
    contact = contact_key(number, f"sip:{number}@10.0.{i >> 8}.{i & 255}:5060")
    return [*made, ShelfPut(contact, encode(Contact(SINCE + i + 1)))]
