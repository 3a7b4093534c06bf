"""A PJSIP object as push configuration takes it, and the mark by which ours are told from others.

`PUT /asterisk/config/dynamic/res_pjsip/{kind}/{id}` wants a list of attribute and value. Sorcery lets any object carry
extended attributes that begin with `@`; measured on 22.10.1, `@pbxfed` survives the tables, a restart and a kill -9.
`set_var` does not: it is stored under the variable's own name, for which there is no column. The mark's value is a hash of
all that was pushed, so the mark of the endpoint, the last object of its set, tells whether anything needs pushing at all. The
aor bears one of its own (`asterisk/objects.py` says why).
"""

import hashlib
from dataclasses import dataclass

MARK = "@pbxfed"

Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PjsipObject:
    """One object: its kind (auth, aor, endpoint), its id and its fields."""

    kind: str
    id: str
    fields: Fields


def marked(
    auth: PjsipObject, aor: PjsipObject, endpoint: PjsipObject
) -> tuple[PjsipObject, PjsipObject, PjsipObject]:
    """The same objects, the aor carrying its own mark, the endpoint that of them all."""
    aor = _with(aor, fingerprint((aor,)))
    return auth, aor, _with(endpoint, fingerprint((auth, aor, endpoint)))


def _with(part: PjsipObject, mark: str) -> PjsipObject:
    return PjsipObject(part.kind, part.id, (*part.fields, (MARK, mark)))


def fingerprint(parts: tuple[PjsipObject, ...]) -> str:
    """A hash of everything in these objects. Keyed by nothing: the auth is as readable as the mark."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()


def mark_of(parts: tuple[PjsipObject, ...]) -> str:
    """The mark that the last of these objects carries."""
    return dict(parts[-1].fields)[MARK]
