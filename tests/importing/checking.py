"""Does the kind itself take what was imported?"""

from pbxfed_ari.core.records.objects.extension import EXTENSION
from pbxfed_ari.importing.report import Imported


def checked(imported: Imported) -> list[str]:
    """The numbers of the extensions, each of which an edit would take."""
    numbers = []
    for one in imported.objects:
        fields = dict(one)
        numbers.append(number := EXTENSION.check_key(str(fields.pop("extension"))))
        kept = EXTENSION.prepare(number, fields, realm="office.example", new=False)
        EXTENSION.check(number, kept)
    return numbers
