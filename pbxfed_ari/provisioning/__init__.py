"""Provisioning files: what each vendor's phones read, as pure text of one `Sheet`. One module a vendor; no I/O.

`sheet` says what is to be told to a phone, `vendor` what a vendor is: the names of the files that its phones ask for, and what
stands in each; `xml` and the modules' own helpers escape, each for its format, so that no name or secret can end its place.
Which settings, and why: `docs/phones.md`. A new vendor is one module more, and a line here.
"""

from pbxfed_ari.provisioning.baresip import BARESIP
from pbxfed_ari.provisioning.grandstream import GRANDSTREAM
from pbxfed_ari.provisioning.linphone import LINPHONE
from pbxfed_ari.provisioning.polycom import POLYCOM
from pbxfed_ari.provisioning.snom import SNOM
from pbxfed_ari.provisioning.yealink import YEALINK

VENDORS = {v.name: v for v in (YEALINK, GRANDSTREAM, SNOM, POLYCOM, LINPHONE, BARESIP)}
