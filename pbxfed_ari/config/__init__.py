"""The configuration: one TOML file, read into frozen settings. A refusal names file, key, value and remedy.

In reading order: `values` (what a value must be), `sections` (each key, declared once), `settings` (the whole file),
`consistency` (what does not go together), `reading` (the file → settings), `credentials` (the secrets in files that it names).
"""

from pbxfed_ari.config.reading import DEFAULT_PATH, load, parse
from pbxfed_ari.config.sections import SECTIONS
from pbxfed_ari.config.settings import Settings

__all__ = ["DEFAULT_PATH", "SECTIONS", "Settings", "load", "parse"]
