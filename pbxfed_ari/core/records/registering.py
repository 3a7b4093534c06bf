"""Registrations at this node's own Asterisk: what each piece of news puts on, or takes off, the own shelf."""

from pbxfed_ari.core.events import ContactAdded, ContactsListed
from pbxfed_ari.core.messages import Record, ShelfDrop, ShelfPut
from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.records import shelf
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.records.registrations import Registration
from pbxfed_ari.core.records.shelf import Contact
from pbxfed_ari.core.stamp import stamp_of

SHORTEST, LONGEST = 30, 7_200  # seconds that a registration may last


def added(event: ContactAdded, me: NodeName, directory: Directory) -> list[Record]:
    """A phone has registered here: newer than wherever it stood before, whatever the clocks say; not so if it is found late.

    The stamp is that of the registration, not of the news of it: of two sides of a healed cut that both learn late of a
    phone's return, the one to which it came last must win.
    """
    held = directory.shelves.value(me, shelf.contact_key(event.extension, event.uri))
    newest = directory.registrations.newest_stamp(event.extension)
    contact = shelf.decode_contact(held) if held is not None else None
    if contact is not None and contact.sure and contact.stamp >= newest:
        return []  # it stands here already, and nowhere newer
    if event.late and newest >= stamp_of(event.wall_ms):
        return []
    stamp = max(stamp_of(event.wall_ms), newest + 1)
    return [_put(event.extension, event.uri, Contact(stamp))]


def listed(event: ContactsListed, me: NodeName, directory: Directory) -> list[Record]:
    """All that Asterisk holds: what we missed is added, what it no longer has goes.

    When a missed phone registered is not known, only that it was before now: it is published as unsure.
    """
    held = directory.shelves.contacts_of(me)
    gone: list[Record] = [ShelfDrop(shelf.contact_key(*c)) for c in sorted(held - event.contacts)]
    unsure = Contact(stamp_of(event.wall_ms), sure=False)
    return [*gone, *(_put(*c, unsure) for c in sorted(event.contacts - held))]


def fallen(
    number: Extension, me: NodeName, directory: Directory, standing: list[Registration]
) -> list[tuple[Extension, str]]:
    """Our registrations of a number that no longer stand, because a newer one does elsewhere."""
    ours = {place.uri for place in standing if place.node == me}
    return [
        contact
        for contact in sorted(directory.registrations.at(me, number))
        if contact[1] not in ours
    ]


def news(records: list[Record], me: NodeName, directory: Directory) -> list[Record]:
    """Those of our shelf's records that say what does not stand there already."""
    found: list[Record] = []
    for record in records:
        if isinstance(record, ShelfPut) and directory.shelves.value(me, record.key) == record.value:
            continue
        if isinstance(record, ShelfDrop) and directory.shelves.value(me, record.key) is None:
            continue
        found.append(record)
    return found


def _put(number: Extension, uri: str, contact: Contact) -> ShelfPut:
    return ShelfPut(shelf.contact_key(number, uri), shelf.encode(contact))
