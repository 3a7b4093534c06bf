"""The vault: secrets that are kept for provisioning files, sealed under a group key, opened for the file alone.

After a rotation they come under the new key, so that an old one may go (`Resealing`). Each secret's home (the ring says which
node that is) seals it; if that dies, the next one does. The same secret under the same key is the same bytes, whoever seals it.
Such a change is stamped just above what it replaces, not with the time: an edit that it has not seen is newer, and stands.
"""

from collections.abc import Callable, Iterator
from hmac import compare_digest
from itertools import islice

from pbxfed_ari.core.handouts import Handouts, Lock, pack, unpack
from pbxfed_ari.core.messages import BookSet
from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.records.catalogue import NUMBER
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.records.keys import Keyring, Signer
from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.core.records.objects.extension import HANDOUTS, Phone, ha1

SETTLED = 10.0  # seconds after a rotation, until all have the key
SLICE, PAUSE = 500, 0.05  # numbers looked at in one go; seconds until the next ones
AGAIN = 60.0  # seconds after which what another node should have sealed is looked at again
EVERY = 3_600.0  # seconds: what a node that was away wrote under an old key is found


def lock(keys: Keyring, signer: Signer) -> Lock:
    """Seals under the key of the moment."""
    key = keys.sealing
    return lambda object_id, secret: (
        key.id,
        signer.lock(key.material, secret.encode(), object_id),
    )


def secret_of(
    phone: Phone, handouts: Handouts, keys: Keyring, signer: Signer, realm: str
) -> str | None:
    """The secret, if it can be read here, and is what the digest was made of."""
    key = keys.get(handouts.key)
    plain = signer.unlock(key.material, handouts.sealed, phone.id) if key else None
    secret = plain.decode("utf-8", "replace") if plain is not None else ""
    good = plain is not None and compare_digest(ha1(phone.number, realm, secret), phone.ha1)
    return secret if good else None


class Resealing:
    """Brings secrets under the newest key, some at a time."""

    def __init__(
        self,
        me: NodeName,
        directory: Directory,
        keys: Keyring,
        signer: Signer,
        home: Callable[[Extension], NodeName],
    ) -> None:
        """`home` says which node is to seal a number's secret."""
        self._me, self._directory, self._keys, self._signer = me, directory, keys, signer
        self._home = home
        self._seen = b""  # the key that all was looked at for
        self._due = float("inf")
        self._left: Iterator[str] | None = None
        self._others = False  # some were not ours to seal

    def next_deadline(self) -> float:
        """When `tick` wants to be called."""
        return self._due

    def rotated(self, now: float) -> None:
        """We may seal with another key from now on: all is looked at, when the others have it too."""
        if self._keys.sealing.id != self._seen:
            self._seen = self._keys.sealing.id
            self._left, self._due = None, now + SETTLED

    def tick(self, now: float) -> list[BookSet]:
        """What is to be published, of the next numbers."""
        if now < self._due:
            return []
        if self._left is None:
            self._left = iter(self._directory.catalogue.keys(KINDS["extension"]))
            self._others = False
        numbers = list(islice(self._left, SLICE))
        if numbers:
            self._due = now + PAUSE
        else:
            self._left, self._due = None, now + (AGAIN if self._others else EVERY)
        return [record for number in numbers for record in self._sealed_anew(number)]

    def _sealed_anew(self, number: str) -> Iterator[BookSet]:
        for object_id in self._directory.catalogue.claimants(NUMBER, number):
            entry = self._directory.book.get((object_id, HANDOUTS))
            before = unpack(entry.value if entry else None)
            if entry is None or not before.each or before.key == self._keys.sealing.id:
                continue
            if self._home(Extension(number)) != self._me:
                self._others = True
            elif (after := self._anew(object_id, before)) is not None:
                yield BookSet(
                    object_id, HANDOUTS, entry.stamp + 1, "", after, _over(entry, self._me)
                )

    def _anew(self, object_id: bytes, before: Handouts) -> bytes | None:
        """None, if the key that it stands under is not held (any more, or yet)."""
        key = self._keys.get(before.key)
        if key is None:
            return None
        plain = self._signer.unlock(key.material, before.sealed, object_id)
        if plain is None:
            return None
        now = self._keys.sealing
        sealed = self._signer.lock(now.material, plain, object_id)
        return pack(Handouts(now.id, sealed, before.each))


def _over(entry: BookSet, me: NodeName) -> int:
    """The stamp of another writer that is replaced, as in `editing`."""
    return entry.over if entry.writer == me else entry.stamp
