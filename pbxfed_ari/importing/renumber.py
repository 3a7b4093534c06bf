"""Two PBXs with a 1001 each: a proposal of new numbers for what is imported.

Best is one prefix for the whole import: 1001 becomes 71001, and a site whose prefix is 7 still dials 1001. A digit is free if
no known number begins with it, and no site's prefix; then two digits are tried, then whatever makes no two numbers equal. If
there is none, each number that clashes gets the next free one. Same input, same proposal.

Whoever points at an old number goes along: forwards, and with `follow` members of groups and destinations too. A secret
survives, for the digest is made from it and the new number; a digest itself holds the old number and does not.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, product

from pbxfed_ari.core import names
from pbxfed_ari.core.names import is_extension
from pbxfed_ari.core.records.objects import KINDS
from pbxfed_ari.core.records.objects.fields import ListOf, Named, Type
from pbxfed_ari.errors import Refused
from pbxfed_ari.importing import rules
from pbxfed_ari.importing.report import Imported, Note, Object

_DIGITS = "7865432190"  # 0 and 9 lead outside in most places, 1 to help in many
_EMERGENCY = re.compile(r"000|008|1(0[0-48]|1[0-57-9]|2[02]|33|44|55|9[0-3])|9(11|33|9[5789])")


def _holds_numbers(type_: Type) -> bool:
    of = type_.of if isinstance(type_, ListOf) else type_
    return isinstance(of, Named) and of.read in (names.extension, names.dialable)


REFERRING = frozenset(  # fields, of whatever kind, that point at numbers
    name
    for kind in KINDS.values()
    for name, field_ in kind.fields.items()
    if _holds_numbers(field_.type)
)


@dataclass(frozen=True, slots=True)
class Renumbering:
    """What is proposed."""

    clashes: dict[str, str]  # number → kind of what has it already
    mapping: dict[str, str] = field(default_factory=dict)  # old → new
    prefix: str = ""  # put before all of them, if one was free
    stuck: frozenset[str] = frozenset()  # clash, and the world gave them out: +49…


def propose(
    objects: Sequence[Object],
    known: Mapping[str, str],
    prefixes: Collection[str] = (),
    own: str = "",
) -> Renumbering:
    """New numbers for these extensions. `known`: number → kind of all that there is; `prefixes`: of all sites.

    `own` is the prefix that their site has already: others dial by it, so it stays.

    Raises: Refused, if `own` leads to a number that is taken, or can be none.
    """
    numbers = [_number(one) for one in objects]
    clashes = {number: known[number] for number in numbers if number in known}
    if not clashes:
        return Renumbering(clashes)
    plain = [number for number in numbers if number.isdecimal()]
    words = [number for number in clashes if not number.isdecimal()]
    taken = set(known) | set(numbers)
    mapping: dict[str, str] = {}
    prefix = ""
    if any(number in known for number in plain):
        prefix = _standing(own, plain, known) if own else _prefix(plain, set(known), prefixes)
        if prefix:
            mapping = {number: prefix + number for number in plain}
        else:
            mapping = dict(_singly([number for number in plain if number in known], taken))
    taken |= set(mapping.values())
    mapping |= dict(_renamed(words, taken))
    return Renumbering(clashes, mapping, prefix, frozenset(clashes.keys() - mapping.keys()))


def apply(imported: Imported, proposal: Renumbering, *, site: str = "") -> Imported:
    """The same import under its new numbers, and all extensions in `site`, if it is named. What is stuck is left out."""
    notes = list(imported.notes)
    objects: list[Object] = []
    for one in imported.objects:
        if (number := _number(one)) in proposal.stuck:
            remedy = "a number of the world can not be given out anew: remove one of the two"
            notes.append(Note("", f"extension {number}", f"{number} is taken", remedy))
        else:
            moved = _moved(one, proposal.mapping, notes)
            objects.append(moved | {"site": site} if site else moved)
    if proposal.mapping:
        remedy = "each phone must register under its new number: its user name is the number"
        notes.append(Note("", "", f"{len(proposal.mapping)} new numbers", remedy))
    if proposal.prefix:
        remedy = (
            f"the prefix of site {site or 'SITE'} must be {proposal.prefix}, and they must be in it"
        )
        notes.append(Note("", "", "the old numbers go on as short ones within a site", remedy))
    return Imported(objects, notes, imported.trunks)


def follow(fields: Object, mapping: Mapping[str, str]) -> Object:
    """The fields of an object of any kind, with new numbers where they hold old ones."""
    made = dict(fields)
    for name in REFERRING & fields.keys():
        match fields[name]:
            case str(old):
                made[name] = mapping.get(old, old)
            case list(members):
                made[name] = [mapping.get(member, member) for member in members]
    return made


def _number(one: Object) -> str:
    return str(one["extension"])


def _moved(one: Object, mapping: Mapping[str, str], notes: list[Note]) -> Object:
    made = follow(one, mapping)
    if (old := _number(one)) not in mapping:
        return made
    number = made["extension"] = mapping[old]
    secret, lost = made.get("secret"), ""
    if made.pop("ha1", None) is not None:
        lost = "a digest holds the number: one must be set anew, also in the phone"
    elif isinstance(secret, str) and (weak := rules.weakness(number, secret)):
        del made["secret"]
        lost = f"a new one must be set, also in the phone: {weak}"
    if lost:
        notes.append(Note("", f"extension {number}", "its secret", lost))
    return made


def _standing(prefix: str, numbers: Sequence[str], known: Mapping[str, str]) -> str:
    """The prefix that their site has, if it can be put before all of these."""
    for number in numbers:
        new = prefix + number
        why = known.get(new, "") and f"is taken ({known[new]})"
        if why or not _usable(new):
            raise Refused(
                f"extension {number}: with the prefix {prefix} of its site it would be {new}, which "
                f"{why or 'can be no number'}: remove one of the two, or import into another site"
            )
    return prefix


def _prefix(numbers: Sequence[str], known: set[str], sites: Collection[str]) -> str:
    """The best digit or two to put before all of these; empty if none will do."""
    begun = {number[:length] for number in known for length in (1, 2)}
    for strict, length in ((True, 1), (True, 2), (False, 1), (False, 2)):
        for prefix in map("".join, product(_DIGITS, repeat=length)):
            if any(site.startswith(prefix) or prefix.startswith(site) for site in sites if site):
                continue
            if strict and (prefix in begun or prefix[0] in known):
                continue
            new = [prefix + number for number in numbers]
            if all(map(_usable, new)) and not known & set(new):
                return prefix
    return ""


def _usable(number: str) -> bool:
    return is_extension(number) and not _EMERGENCY.fullmatch(number)


def _singly(numbers: Sequence[str], taken: Collection[str]) -> Iterator[tuple[str, str]]:
    """Each its next free number of the same length; one digit more, if that length is full."""
    gone = set(taken)
    spare: dict[
        int, Iterator[str]
    ] = {}  # what was gone once stays so: no candidate is looked at twice
    for number in numbers:
        candidates = spare.setdefault(len(number), _after(number))
        new = next((one for one in candidates if one not in gone and _usable(one)), "")
        if new:
            gone.add(new)
            yield number, new


def _after(number: str) -> Iterator[str]:
    length, start = len(number), int(number)
    longer = range(10**length, 10 ** (length + 1)) if is_extension(f"{number}0") else range(0)
    for value in chain(range(start + 1, 10**length), range(start), longer):
        yield f"{value:0{length}}"


def _renamed(words: Sequence[str], taken: Collection[str]) -> Iterator[tuple[str, str]]:
    """`alice` becomes `alice2`."""
    gone = set(taken)
    for word in words:
        for count in range(2, 100):
            new = f"{word}{count}"
            if word[0].isalpha() and is_extension(new) and new not in gone:
                gone.add(new)
                yield word, new
                break
