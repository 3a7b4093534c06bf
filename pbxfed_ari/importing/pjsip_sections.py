"""The sections of a `pjsip.conf` by type and name, as Asterisk's Sorcery reads them: an object is a type and a name, once."""

import re
from collections.abc import Iterable

from pbxfed_ari.errors import Refused
from pbxfed_ari.importing.asterisk_conf import Section

REALM = "asterisk"  # where neither [global] nor the auth says another
OBJECTS = frozenset({"endpoint", "aor", "auth", "identify", "registration", "transport"})

_LISTS = re.compile(r"[,\s]+")


def listed(section: Section, key: str) -> list[str]:
    """The names in a list of them."""
    return [name for name in _LISTS.split(section.last(key)) if name]


class Config:
    """What each section means to the others. `realm` is the federation's."""

    def __init__(self, sections: Iterable[Section], realm: str) -> None:
        self._by: dict[tuple[str, str], Section] = {}
        self.realm = realm
        for section in sections:
            key = (section.last("type").lower(), section.name)
            if key[0] in OBJECTS and (first := self._by.get(key)):
                raise Refused(
                    f"{section.file}: line {section.line}: [{section.name}] type={key[0]}: there is one already at "
                    f"{first.where}; Asterisk refuses this too"
                )
            self._by[key] = section
        self._types: dict[str, list[Section]] = {}
        for (kind, _), section in self._by.items():
            self._types.setdefault(kind, []).append(section)
        globals_ = self.of("global")
        self.default_realm = (globals_[-1].last("default_realm") if globals_ else "") or REALM
        self._identified = {one.last("endpoint") for one in self.of("identify") if one.all("match")}
        registrations = self.of("registration")
        self._registered = {one.last("endpoint") or one.name for one in registrations}
        self._registers = {auth for one in registrations for auth in listed(one, "outbound_auth")}

    def of(self, kind: str) -> list[Section]:
        """All sections of a type, in order."""
        return self._types.get(kind, [])

    def named(self, kind: str, names: Iterable[str]) -> list[Section]:
        """Those of these names that are there."""
        return [self._by[kind, name] for name in names if (kind, name) in self._by]

    def identified(self, endpoint: Section) -> bool:
        """Is it known by its address?"""
        return endpoint.name in self._identified

    def registered(self, endpoint: Section) -> bool:
        """Do we register for it elsewhere?"""
        return endpoint.name in self._registered or any(
            auth in self._registers for auth in listed(endpoint, "outbound_auth")
        )

    def aors(self, endpoint: Section) -> list[Section]:
        """Where it is reached."""
        return self.named("aor", listed(endpoint, "aors"))
