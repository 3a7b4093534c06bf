"""What Asterisk shall hold: trunks to the peers, phones that may register. Asked of the directory, never remembered."""

from pbxfed_ari.core.effects import Effect, PushExtension, PushTrunk, RemoveExtension, RemoveTrunk
from pbxfed_ari.core.names import Extension, NodeName
from pbxfed_ari.core.records.directory import Directory
from pbxfed_ari.core.records.objects.extension import EXTENSION


def trunk(node: NodeName, me: NodeName, directory: Directory) -> list[Effect]:
    """A peer's trunk as it shall stand; none to ourselves."""
    info = directory.shelves.info(node)
    if node == me:
        return []
    if info is None:
        return [RemoveTrunk(node)]
    return [PushTrunk(node, info.address, info.sip_port, info.iax_port, info.public_key)]


def phone(number: Extension, directory: Directory) -> list[Effect]:
    """A phone as it shall stand."""
    found = directory.catalogue.phone(number)
    if found is None or not found.ha1:
        return [RemoveExtension(number)]
    return [
        PushExtension(
            number,
            found.name,
            found.ha1,
            found.devices,
            found.profile,
            found.codecs,
            found.call_limit,
        )
    ]


def everything(me: NodeName, directory: Directory) -> list[Effect]:
    """All trunks, then all phones."""
    effects: list[Effect] = []
    for node in sorted(directory.shelves.infos()):
        effects += trunk(node, me, directory)
    for key in directory.catalogue.keys(EXTENSION):  # read one by one: all would take as much again
        number = Extension(key)
        if directory.catalogue.phone(number) is not None:
            effects += phone(number, directory)
    return effects
