"""How all tests run: no test of a rule has a clock; how fast it is, the bench says."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
