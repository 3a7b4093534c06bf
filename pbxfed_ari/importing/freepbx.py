"""FreePBX's extensions, as its Bulk Handler exports them (Admin, Bulk Handler, Export, Extensions; FreePBX 13 to 17).

Each module adds its columns, so no two exports have the same: core the user's (`extension name ringtimer noanswer_dest …`) and
the device's (`tech secret allow max_contacts media_encryption transport …` of PJSIP, `nat encryption …` of chan_sip), then
`callwaiting_*`, `findmefollow_*`, `voicemail_*`. A column that is missing says nothing; one that is unknown is passed over. The
old Bulk Extensions module wrote `devinfo_secret` for `secret`: taken too. Call forwards and do-not-disturb are not exported.

    ringtimer                              ring_seconds
    busy_dest noanswer_dest                forward_busy forward_no_answer forward_unreachable, if they lead to a number:
    chanunavail_dest                       "ext-local,1002,1" "from-did-direct,1002,1" "ext-findmefollow,FM1002,1"
                                           "ext-group,600,1"
    findmefollow_enabled _grplist          one other number: forward_always; after `_pre_ring` seconds at the own phone:
    _pre_ring                              ring_seconds and forward_no_answer. More numbers are a ring group: noted
"""

import csv
import io
import re
from collections.abc import Mapping

from pbxfed_ari.core.names import is_extension
from pbxfed_ari.errors import Refused
from pbxfed_ari.importing import rules
from pbxfed_ari.importing.codecs import put_codecs
from pbxfed_ari.importing.media import Media, put_profile
from pbxfed_ari.importing.report import Imported, Note, Notebook, Object

PHONES = (
    "pjsip",
    "sip",
    "",
)  # technologies whose devices register with a secret; "" of an export without devices

_DESTINATION = re.compile(
    r"(?P<context>ext-local|from-did-direct|ext-findmefollow|ext-group),(?:FM)?(?P<number>[0-9]{1,31}),[a-z0-9]+"
)
_PROTOCOLS = re.compile(r"[a-z]+")
_OPEN = frozenset({"", "0.0.0.0/0.0.0.0", "0.0.0.0/0.0.0.0&::/0"})

# What is lost: column → the values that lose nothing, and the remedy.
_LOST: dict[str, tuple[frozenset[str], str]] = {
    "voicemail": (frozenset({"", "novm", "disabled"}), "mailboxes stay on the node that has them"),
    "outboundcid": (frozenset({""}), "a trunk has one caller_id for all who call through it"),
    "emergency_cid": (frozenset({""}), "a trunk has one caller_id for all who call through it"),
    "concurrency_limit": (
        frozenset({"", "0"}),
        "it limits calls that go out: pstn_calls of a calling class does so",
    ),
    "sipname": (frozenset({""}), "an extension has one number"),
    "intercom": (frozenset({"", "enabled", "disabled"}), "intercom is not federated"),
    "answermode": (frozenset({"", "disabled"}), "intercom is not federated"),
    "mohclass": (frozenset({"", "default"}), "music on hold is the node's"),
    "password": (frozenset({""}), "a PIN for calls that go out: use a calling class"),
    "accountcode": (frozenset({""}), "calls are reported by extension"),
    "namedcallgroup": (frozenset({""}), "call pickup is not federated"),
    "namedpickupgroup": (frozenset({""}), "call pickup is not federated"),
    "callgroup": (frozenset({""}), "call pickup is not federated"),
    "pickupgroup": (frozenset({""}), "call pickup is not federated"),
    "languages_language": (frozenset({""}), "the language is the node's"),
    "deny": (_OPEN, "an extension registers from anywhere: filter in the firewall"),
    "permit": (_OPEN, "an extension registers from anywhere: filter in the firewall"),
    "match": (frozenset({""}), "an extension is known by its secret, not by its address"),
    "outbound_proxy": (frozenset({""}), "phones are reached where they registered"),
    "outbound_auth": (frozenset({"", "no"}), "phones are not asked to be proven to"),
    **dict.fromkeys(
        (
            *("recording_in_external", "recording_out_external", "recording_in_internal"),
            *("recording_out_internal",),
        ),
        (frozenset({"", "dontcare"}), "calls are not recorded"),
    ),
    "recording_ondemand": (frozenset({"", "disabled"}), "calls are not recorded"),
}


class _Row:
    """One line of the file: columns by name, and who to blame."""

    def __init__(self, file: str, line: int, cells: Mapping[str, str]) -> None:
        self.where = f"{file}:{line}"
        self._file, self._line, self._cells = file, line, cells

    def text(self, column: str) -> str:
        return self._cells.get(column, "").strip()

    def has(self, column: str) -> bool:
        return column in self._cells

    def yes(self, column: str) -> bool:
        return rules.true(self.text(column))

    def whole(self, column: str) -> int:
        """A number; an empty cell is 0, and so is -1, FreePBX's "always"."""
        text = self.text(column)
        number = 0 if text in ("", "-1") else rules.whole(text)
        if number is None:
            raise self.refused(column, repr(text), "must be a whole number")
        return number

    def refused(self, column: str, value: str, rule: str) -> Refused:
        return Refused(f"{self._file}: line {self._line}, column {column}: {value}: {rule}")


def read(text: str, *, file: str = "extensions.csv") -> Imported:
    """The extensions of an export, in order.

    Raises: Refused, naming file, line, column, value and rule.
    """
    objects: list[Object] = []
    notes: list[Note] = []
    lines: dict[str, str] = {}
    for row in _rows(text, file):
        number = row.text("extension")
        book = Notebook(row.where, f"extension {number}")
        if not number:
            book.item = ""
            book.add("a line without an extension", "a mailbox by itself, most likely: it stays")
        elif not is_extension(number):
            raise row.refused("extension", repr(number), "must be digits: 1 to 31 of them")
        elif number in lines:
            raise row.refused("extension", repr(number), f"stands at {lines[number]} already")
        elif row.text("tech").lower() not in PHONES:
            book.add(
                f"a device of {row.text('tech')}",
                "an extension is a SIP phone: keep it as a service, by hand",
            )
        elif row.text("action").lower() in ("del", "delete"):
            book.add("a line that deletes", "it is left out")
        else:
            objects.append(_extension(row, number, book))
        if number:
            lines[number] = row.where
        notes += book.notes
    if objects:
        remedy = "`asterisk -rx 'database show CF'` (CFB, CFU, DND) lists them: set them with `pbxfed ext set`"
        notes.append(Note(file, "", "call forwards and do-not-disturb are not exported", remedy))
    return Imported(objects, notes)


def _rows(text: str, file: str) -> list[_Row]:
    text = text.removeprefix("\ufeff")
    first = text.partition("\n")[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[_Row] = []
    names: list[str] = []
    try:
        for cells in reader:
            line = reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = _columns(cells, file)
                continue
            if any(cell.strip() for cell in cells[len(names) :]) or len(cells) < len(names):
                raise Refused(
                    f"{file}: line {line}: {len(cells)} columns where the first line names {len(names)}; "
                    "export it again, or mend the quotes in it"
                )
            rows.append(_Row(file, line, dict(zip(names, cells, strict=False))))
    except csv.Error as error:
        raise Refused(f"{file}: line {reader.line_num}: no CSV: {error}") from None
    if not names:
        raise Refused(f"{file}: it is empty; Bulk Handler's export of extensions is wanted")
    return rows


def _columns(cells: list[str], file: str) -> list[str]:
    names = [cell.strip().lower().removeprefix("devinfo_") for cell in cells]
    if "extension" not in names:
        raise Refused(
            f"{file}: line 1: no column extension; Bulk Handler's export of extensions is wanted"
        )
    twice = [name for name in names if name and names.count(name) > 1]
    if twice:
        raise Refused(f"{file}: line 1: two columns are called {twice[0]!r}; remove one")
    return names


def _extension(row: _Row, number: str, book: Notebook) -> Object:
    made: Object = {"extension": number}
    rules.put_name(made, row.text("name"), number, book)
    if secret := row.text("secret"):
        rules.put_secret(made, number, secret, book)
    else:
        book.add("its secret", "there is none here: one must be set, also in the phone")
    user = row.text("username") or row.text("defaultuser") or number
    if user != number:
        book.add(f"user name {user!r}", "an extension's is its number: set it in the phone")
    rules.put_whole(made, "devices", row.whole("max_contacts") or 1, "max_contacts", book)
    put_profile(made, _media(row), book)
    put_codecs(made, [(verb, row.text(verb)) for verb in ("disallow", "allow")], book)
    rules.put_whole(made, "ring_seconds", row.whole("ringtimer"), "ringtimer", book)
    _put_forwards(made, row, book)
    _put_follow_me(made, row, number, book)
    busy_at = row.whole("device_state_busy_at")
    rules.put_whole(made, "call_limit", busy_at, "device_state_busy_at", book)
    _put_rest(row, number, book)
    return made


def _media(row: _Row) -> Media:
    encryption = row.text("media_encryption").lower().replace("sdp", "sdes")
    if row.yes("encryption"):  # chan_sip
        encryption = "dtls" if row.yes("dtls_enable") else "sdes"
    legacy = row.text("sipdriver").lower() == "chan_sip" or row.text("tech").lower() == "sip"
    nat = row.text("nat").lower() not in ("no", "never", "route") if legacy else True
    both = ("rtp_symmetric", "rewrite_contact")
    return Media(
        protocols=frozenset(_PROTOCOLS.findall(row.text("transport").lower()))
        & {"udp", "tcp", "tls", "ws", "wss"},
        encryption=encryption if encryption in ("sdes", "dtls") else "no",
        optimistic=row.yes("media_encryption_optimistic"),
        webrtc=row.yes("webrtc"),
        browser=row.yes("avpf") or row.yes("icesupport"),
        symmetric=nat and any(row.text(one).lower() != "no" for one in both),
    )


def _put_forwards(made: Object, row: _Row, book: Notebook) -> None:
    for column, forward in (
        ("noanswer_dest", "forward_no_answer"),
        ("busy_dest", "forward_busy"),
        ("chanunavail_dest", "forward_unreachable"),
    ):
        if not (text := row.text(column)):
            continue
        if (to := _DESTINATION.fullmatch(text)) and to["number"] != made["extension"]:
            made[forward] = to["number"]
            if to["context"] == "ext-group":
                book.add(f"ring group {to['number']}", "it is not exported: `pbxfed group add` it")
        else:
            book.add(
                f"{column} {text}",
                f"{forward} is a number: make what it means a service, and name that",
            )


def _put_follow_me(made: Object, row: _Row, number: str, book: Notebook) -> None:
    """Follow-me to one other number is a forward; to several it is a ring group, which needs a number of its own."""
    if not row.yes("findmefollow_enabled"):
        return
    listed = [one.strip().rstrip("#") for one in row.text("findmefollow_grplist").split("-")]
    others = [one for one in listed if one and one != number]
    first = row.whole("findmefollow_pre_ring")
    if not others:
        return
    if len(others) > 1 or not is_extension(others[0]) or (number in listed and not first):
        book.add(
            f"follow-me to {'-'.join(filter(None, listed))}",
            "several phones at once are a ring group: `pbxfed group add` one, and forward to it",
        )
    elif first:
        made["forward_no_answer"] = others[0]
        rules.put_whole(made, "ring_seconds", first, "findmefollow_pre_ring", book)
    else:
        made["forward_always"] = others[0]


def _put_rest(row: _Row, number: str, book: Notebook) -> None:
    for column, (harmless, remedy) in _LOST.items():
        if row.text(column).lower() not in harmless:
            book.add(f"column {column}", remedy)
    if row.text("cid_masquerade") not in ("", number):
        book.add("column cid_masquerade", "an extension calls under its own number")
    if row.text("devicetype").lower() not in ("", "fixed"):
        book.add(
            "column devicetype",
            "phones belong to one extension; whoever moves registers as another",
        )
    if row.text("user") not in ("", number, "none"):
        book.add("column user", "phones belong to one extension")
    if row.text("callwaiting_enable") == "" and row.has("callwaiting_enable"):
        book.add(
            "call waiting off", "call_limit=1 comes nearest, but counts the calls that it makes too"
        )
