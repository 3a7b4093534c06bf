"""Stories of secrets kept for provisioning files: sealed, the same on all, under the newest key, for nobody else."""

from pbxfed_ari.core.effects import Reply
from pbxfed_ari.core.events import Edited
from pbxfed_ari.core.federation.vault import AGAIN, SETTLED
from pbxfed_ari.core.handouts import MOST, Handout, Handouts, Issue, Wish, Withdraw, proof
from pbxfed_ari.core.messages import BookSet
from pbxfed_ari.core.names import Extension
from pbxfed_ari.core.records.objects.extension import HANDOUTS
from tests.stories.world import Node, World

SECRET, OTHER = "correct-horse-9", "battery-staple-7"


def wish(node: Node, number: str, what: Wish, **fields: object) -> Reply:
    """An edit of provisioning files, as the HTTP API makes it."""
    event = Edited(1, "extension", number, fields, node.wall_ms(), b"", update=True, wish=what)
    return node._edit(event)


def issued(number: str, token: str = "token", vendor: str = "yealink", mac: str = "") -> Issue:
    return Issue(Handout(vendor, mac, proof(number, token)))


def handouts(node: Node, number: str = "1001") -> Handouts:
    phone = node.federation.view.phone(Extension(number))
    assert phone is not None
    return node.federation.view.handouts(phone)


def secret(node: Node, number: str = "1001") -> str | None:
    phone = node.federation.view.phone(Extension(number))
    assert phone is not None
    return node.federation.view.secret(phone)


def provisioned(names: str = "abc") -> World:
    """Extension 1001 with one handout, known to all."""
    world = World(1, names)
    world.run(3)
    assert world["a"].edit("1001", secret=SECRET).status == 201
    assert wish(world["a"], "1001", issued("1001"), secret=SECRET).status == 200
    world.run(1)
    return world


def test_a_file_asked_for_at_one_node_can_be_served_by_all() -> None:
    """Whichever node the phone comes to has the secret, and knows the URL."""
    world = provisioned()
    for node in world.running():
        assert secret(node) == SECRET
        assert handouts(node).of("1001", "token") is not None
        assert handouts(node).of("1001", "tokem") is None
        assert handouts(node).of("1002", "token") is None


def test_without_a_file_no_secret_is_kept() -> None:
    """The rule for all others: their digest, and nothing else."""
    world = World(1, "ab")
    world.run(3)
    world["a"].edit("1002", secret=SECRET)
    world.run(1)
    assert handouts(world["b"], "1002") == Handouts()
    assert secret(world["b"], "1002") is None
    refused = wish(world["a"], "1002", issued("1002"))
    assert refused.status == 409
    assert "only the digest" in refused.error


def test_what_is_kept_cannot_be_read() -> None:
    """Neither the secret nor the URL stands in the book."""
    world = provisioned()
    (groups,) = [
        world["b"].federation.directory.book.groups(p.id)
        for p in world["b"].federation.directory.catalogue.phones()
    ]
    assert SECRET.encode() not in b"".join(groups.values())
    assert b"token" not in b"".join(groups.values())


def test_a_new_secret_is_sealed_with_the_edit_that_sets_it() -> None:
    """Else the file would go on handing out the old one."""
    world = provisioned()
    assert world["b"].edit("1001", secret=OTHER).status == 200
    world.run(1)
    assert {secret(node) for node in world.running()} == {OTHER}


def test_a_digest_in_place_of_a_secret_ends_the_files() -> None:
    """The secret that it stands for is not known here."""
    world = provisioned()
    assert world["a"].edit("1001", ha1="0" * 32).status == 200
    assert handouts(world["a"]) == Handouts()


def test_other_edits_leave_the_files_alone() -> None:
    """Nothing is written of them."""
    world = provisioned()
    before = world["a"].federation.directory.book.stamps(
        world["a"].federation.directory.catalogue.phones()[0].id
    )[HANDOUTS]
    world["a"].edit("1001", name="Reception")
    after = world["a"].federation.directory.book.stamps(
        world["a"].federation.directory.catalogue.phones()[0].id
    )[HANDOUTS]
    assert after == before
    assert secret(world["a"]) == SECRET


def test_handouts_end_one_by_one_and_the_secret_with_the_last() -> None:
    """What is revoked serves nobody, on any node; without a file no secret is kept."""
    world = provisioned()
    wish(world["b"], "1001", issued("1001", "second", vendor="linphone"))
    (first, second) = handouts(world["b"]).each
    assert wish(world["b"], "1001", Withdraw((first.name,))).status == 200
    world.run(1)
    assert handouts(world["c"]).each == (second,)
    assert secret(world["c"]) == SECRET
    assert wish(world["c"], "1001", Withdraw()).status == 200
    world.run(1)
    assert handouts(world["a"]) == Handouts()


def test_asked_again_for_the_same_phone_the_older_url_ends() -> None:
    """It may be lost, and who found it has no right to it any more."""
    world = provisioned()
    wish(world["a"], "1001", issued("1001", "newer"))
    assert handouts(world["a"]).of("1001", "token") is None
    assert handouts(world["a"]).of("1001", "newer") is not None


def test_an_extension_has_so_many_at_most() -> None:
    """And who asks for one more is told why not."""
    world = provisioned()
    for i in range(MOST - 1):
        assert wish(world["a"], "1001", issued("1001", vendor=f"v{i}")).status == 200
    assert wish(world["a"], "1001", issued("1001", vendor="more")).status == 409


def test_a_rotation_leaves_secrets_readable_and_seals_them_anew() -> None:
    """An old key may go then: more than are held, one after the other."""
    world = provisioned()
    before = handouts(world["a"])
    for _ in range(9):
        assert world["b"].rotate().status == 200
        world.run(2)
        assert {secret(node) for node in world.running()} == {SECRET}
        world.run(SETTLED + 10)
    keys = {node.federation.gate.keys.sealing.id for node in world.running()}
    assert keys == {handouts(node).key for node in world.running()}
    assert {secret(node) for node in world.running()} == {SECRET}
    assert handouts(world["a"]).each == before.each


def test_where_the_home_dies_the_next_one_seals() -> None:
    """It dies just before it would have: who left it to it looks again when nobody has done it."""
    world = provisioned()
    home = world["a"].federation.view.home(Extension("1001"))
    other = next(node for node in world.running() if node.name != home)
    old = handouts(other).key
    other.rotate()
    world.run(SETTLED)
    world.kill(home)
    world.run(5)
    assert {handouts(node).key for node in world.running()} == {old}
    world.run(AGAIN + 5)
    for node in world.running():
        assert handouts(node).key == node.federation.gate.keys.sealing.id != old
        assert secret(node) == SECRET


def test_an_edit_that_the_sealing_has_not_seen_stands() -> None:
    """A change that nobody asked for must not undo one that somebody did."""
    world = provisioned()
    directory = world["a"].federation.directory
    phone = directory.catalogue.phones()[0]
    stamp, _ = directory.book.stamp(phone.id, HANDOUTS)
    world["a"].rotate()
    world.run(SETTLED + 20)
    assert directory.book.stamp(phone.id, HANDOUTS)[0] == stamp + 1


def test_secrets_set_after_an_expulsion_are_safe_from_who_was_expelled() -> None:
    """What it had it has; what comes then is sealed under a key that it does not get."""
    world = provisioned()
    world["a"].rotate("c")
    world.run(SETTLED + 20)
    held = world["c"].federation.gate.keys
    assert handouts(world["a"]).key == world["a"].federation.gate.keys.sealing.id
    assert held.get(handouts(world["a"]).key) is None
    assert secret(world["b"]) == SECRET


def test_a_secret_that_is_not_the_digests_is_not_given_out() -> None:
    """Two edits that met: a phone with the wrong secret would be refused, and nobody would know why."""
    world = provisioned()
    directory = world["a"].federation.directory
    phone = directory.catalogue.phones()[0]
    stamp, _ = directory.book.stamp(phone.id, 2)
    stray = BookSet(phone.id, 2, stamp + 1, "", bytes(16), 0)
    world["a"].perform(world["a"].federation.ledger.publish([stray]))
    assert secret(world["a"]) is None
