"""Kinds of configuration objects, one file each: `kind` says how they are described, `fields` what a field may hold.

A new kind is one new file here and a line in KINDS, plus one file in `asterisk/pjsip/` if Asterisk must hold it; its command,
its HTTP routes, its CSV and its checks come of its description.
"""

from pbxfed_ari.core.records.objects.calling_class import CLASS
from pbxfed_ari.core.records.objects.did import DID
from pbxfed_ari.core.records.objects.extension import EXTENSION
from pbxfed_ari.core.records.objects.group import GROUP
from pbxfed_ari.core.records.objects.kind import Kind
from pbxfed_ari.core.records.objects.queue import QUEUE
from pbxfed_ari.core.records.objects.room import ROOM
from pbxfed_ari.core.records.objects.service import SERVICE
from pbxfed_ari.core.records.objects.site import SITE
from pbxfed_ari.core.records.objects.time import TIME
from pbxfed_ari.core.records.objects.trunk import TRUNK

KINDS = {
    kind.name: kind
    for kind in (EXTENSION, GROUP, QUEUE, ROOM, SERVICE, DID, TRUNK, TIME, CLASS, SITE)
}
BY_BYTE = {kind.byte: kind for kind in KINDS.values()}


def kind_of(object_id: bytes) -> Kind | None:
    """The kind of the object with this id; None if it is of no kind that we know."""
    return BY_BYTE.get(object_id[:1])
