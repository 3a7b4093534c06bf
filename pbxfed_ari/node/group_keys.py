"""The group's keys on this machine: in the state folder, and in the certificates that the link to other sites shows."""

import asyncio
import logging
from random import uniform

from pbxfed_ari.config import Settings, credentials
from pbxfed_ari.core.federation.federation import Federation
from pbxfed_ari.core.names import federation_tag
from pbxfed_ari.errors import ConfigError
from pbxfed_ari.keys import keep_keyring
from pbxfed_ari.links.engines import make
from pbxfed_ari.links.wan import Changed, Receive, WanLink

AGAIN = 5.0  # seconds until what could not be kept is tried again
RENEWED = 60.0  # seconds in which nodes open their WAN links anew, one after the other
log = logging.getLogger("pbxfed")


class GroupKeys:
    """Those that one node holds."""

    def __init__(self, settings: Settings, federation: Federation, born: str) -> None:
        """`born` is the id of the key that the federation was born with."""
        self._settings, self._federation, self.born = settings, federation, born
        self._state = settings.node.state
        self._folder = self._state / "wan"
        self._tag = federation_tag(settings.federation.domain)
        self._wan: WanLink | None = None
        self._again: asyncio.TimerHandle | None = None
        self.trouble = ""  # why they are not kept
        self._certified: list[bytes] = []  # the keys that our certificates come of
        self._shown = b""  # the key whose certificate our link began with

    def wan_link(self, receive: Receive, changed: Changed) -> WanLink | None:
        """The link to the other sites, if there shall be one.

        Raises: ConfigError.
        """
        settings, me = self._settings, self._federation.me
        if settings.wan.link != "none":
            self._certify_at_start()
            self._shown = self._held()[0]
            access = credentials.wan_access(settings)
            self._wan = make(
                settings.wan.link, access, me, self._tag, self._folder, receive, changed
            )
        return self._wan

    def keep(self) -> None:
        """They have changed. What the disk refuses is tried again: without its keys no node comes back as what it was."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        try:
            keep_keyring(self._state, self._federation.gate.keys, self.born)
            if self._wan is not None:
                held = self._held()
                if held != self._certified:
                    self._certify()
                if self._shown not in held:
                    self._shown = held[0]
                    pause = uniform(0, RENEWED)
                    asyncio.get_running_loop().call_later(pause, self._wan.reload)
        except (OSError, ConfigError) as error:
            self._again = asyncio.get_running_loop().call_later(AGAIN, self.keep)
            remedy = "make room, and let this daemon run until they are"
            self.trouble = f"node.state: the group's keys are not kept: {error}: {remedy}"
            log.error("%s", self.trouble)
        else:
            self.trouble = ""

    def _held(self) -> list[bytes]:
        return [key.material for key in self._federation.gate.keys]

    def _certify_at_start(self) -> None:
        """What a disk that takes nothing has from before will do: it came of the keys that stand beside it.

        Raises: ConfigError, if there is nothing.
        """
        from pbxfed_ari.certificates import Certificates

        try:
            self._certify()
        except ConfigError as error:
            if not Certificates.within(self._folder).stand():
                raise
            log.warning("%s; the WAN link begins with the certificate that stands there", error)

    def _certify(self) -> None:
        """The link's certificates come of the group's keys, newest first.

        A session that stands is left alone: what it has shown is believed as long as its key is held, and a rotation travels
        over it. Raises: ConfigError.
        """
        from pbxfed_ari import certificates  # a node of one LAN needs none

        held = self._held()
        certificates.write(self._folder, held, self._federation.me, self._tag)
        self._certified = held
