"""A token bucket, and the network that a stranger is counted by."""

from ipaddress import ip_address


class Bucket:
    """Fills at a rate, up to a burst."""

    __slots__ = ("_at", "_burst", "_rate", "level")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst, self._at = rate, burst, now
        self.level = burst

    def take(self, now: float) -> bool:
        """One out of it, if there is one."""
        self.level = min(self._burst, self.level + self._rate * (now - self._at))
        self._at = now
        if self.level < 1:
            return False
        self.level -= 1
        return True


def network(client: str) -> bytes:
    """An IPv4 address, or the /64 of an IPv6 one: what one customer has."""
    packed = ip_address(client).packed
    return packed if len(packed) == 4 else packed[:8]
