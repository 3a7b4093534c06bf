"""What a record takes in memory: a node holds what all others have written."""

import gc
import tracemalloc
from hashlib import md5

from pbxfed_ari.core.directory import Directory
from pbxfed_ari.core.messages import BookSet, Record, ShelfPut
from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.objects.extension import EXTENSION
from pbxfed_ari.core.objects.kind import CLAIM
from pbxfed_ari.core.shelf import SINCE, Contact, contact_key, encode

PHONES = (
    500  # of four records each: its number, its name, its secret's digest, where it is registered
)
MOST = 620  # bytes a record, a phone kept as it was read among them


def test_what_a_record_takes_in_memory() -> None:
    """As many as are there, in bytes."""
    directory, stream = Directory(), (NodeName("a"), 1)
    name, ha1 = EXTENSION.fields["name"], EXTENSION.fields["ha1"]

    def phone(i: int) -> list[Record]:
        number = Extension(str(100_000 + i))
        groups = {
            CLAIM: EXTENSION.key.pack(number),
            name.group: name.type.pack(f"Ada Lovelace {i}"),
            ha1.group: ha1.type.pack(md5(number.encode(), usedforsecurity=False).hexdigest()),
        }
        made = [BookSet(b"x%08d" % i, g, SINCE + i + 1, "", value) for g, value in groups.items()]
        contact = contact_key(number, f"sip:{number}@10.0.{i >> 8}.{i & 255}:5060")
        # as a store or a frame says them: each with an id, a stamp and a name of its own
        return [*made, ShelfPut(contact, encode(Contact(SINCE + i + 1)))]

    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for i in range(PHONES):
            directory.write(stream, phone(i))
        gc.collect()
        took = (tracemalloc.get_traced_memory()[0] - before) / (4 * PHONES)
    finally:
        tracemalloc.stop()
    assert directory.catalogue.count(EXTENSION) == PHONES
    assert took <= MOST, took
