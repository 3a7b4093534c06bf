"""Which link takes a message: the LAN's, to all or to one node, or the one to the other sites."""

from collections.abc import Callable

from pbxfed_ari.core.effects import Broadcast, Forward, SendTo, WanListen
from pbxfed_ari.core.events import WAN, by_wan
from pbxfed_ari.core.names import NodeName
from pbxfed_ari.links.multicast import MulticastLink
from pbxfed_ari.links.post import Post
from pbxfed_ari.links.wan import WanLink


class Transport:
    """Performs what the core asks of the links of one node."""

    def __init__(
        self, post: Post, lan: MulticastLink, wan: WanLink | None, *, worn: Callable[[], None]
    ) -> None:
        """`worn` is told when the session can send no more."""
        self._post, self._lan, self._wan, self._worn = post, lan, wan, worn

    def broadcast(self, effect: Broadcast) -> None:
        """To all on the LAN."""
        self._lan.broadcast(self._post.frame(effect.message))
        if self._post.worn:
            self._worn()

    def send(self, effect: SendTo) -> None:
        """To one node; of another site without a name, to whoever listens: we do not know who asked."""
        if not by_wan(effect.address):
            self._lan.send(self._post.frame(effect.message, effect.key), effect.address)
        elif self._wan is not None:
            frame = self._post.frame(effect.message, effect.key)
            peer = effect.address[0].removeprefix(WAN)
            if peer:
                self._wan.send(frame, NodeName(peer))
            else:
                self._wan.broadcast(frame)

    def forward(self, effect: Forward) -> None:
        """To the other sites."""
        if self._wan is not None:
            self._wan.broadcast(self._post.frame(effect.message))

    def listen(self, effect: WanListen) -> None:
        """Hear what the other sites send to all, or not."""
        if self._wan is not None:
            self._wan.listen(effect.on)
