"""What a check of the operator's runs (sensors/checks.py), and what it means if it fails."""

from dataclasses import dataclass

from pbxfed_ari.core.membership.health import Gauge

SHELL = ("/bin/sh", "-c")


@dataclass(frozen=True, slots=True)
class Command:
    """What a check runs."""

    name: str
    argv: tuple[str, ...]
    every: float  # seconds between two runs
    timeout: float  # seconds
    weight: int  # tenths of the health that it costs to fail

    @property
    def gauge(self) -> Gauge:
        """What its readings mean."""
        remedy = f"run it by hand: checks.{self.name}.command"
        return Gauge(f"check {self.name}", f"check {self.name}:", "", 1, 1, self.weight, remedy)
