"""Bridge mode's requests: what is sent at once, and what is done about what goes wrong."""

import asyncio

import pytest
from msgspec.structs import replace

from pbxfed_ari.asterisk import insisting
from pbxfed_ari.asterisk.client import AriClient
from pbxfed_ari.asterisk.legs import ANSWERED, WAIT, Legs
from pbxfed_ari.asterisk.rest import Post
from pbxfed_ari.core.effects import (
    DialLeg,
    EndBridge,
    Hush,
    Indicate,
    Join,
    MakeBridge,
    MakeLeg,
    Note,
    Soothe,
)
from pbxfed_ari.core.effects import Leg as To
from pbxfed_ari.core.events import Ended, LegEnded
from pbxfed_ari.core.names import ChannelId, Extension, NodeName
from pbxfed_ari.errors import Declined, Unreachable

CALL, LEG = ChannelId("17.1"), ChannelId("pf-f00-1-0")


class Ari(AriClient):
    """What Asterisk is asked, each write a list of requests. It declines what holds one of these words."""

    def __init__(self, *declined: str, status: int = 500, silent: int = 0) -> None:
        super().__init__("http://asterisk", "pbxfed", "right")
        self.declined, self.status = declined, status
        self.silent = silent  # so many writes are answered by nothing
        self.state = "Down"  # of its channels
        self.writes: list[list[str]] = []
        self.variables: dict[str, str] = {}  # that channels are made with

    async def request(self, operation: str, method: str, path: str, **more: object) -> bytes:
        self.writes.append([f"{method} {path}"])
        if self._declines(path):
            raise Declined(operation, status=self.status)
        return b'{"id": "pf-f00", "channels": [], "state": "%s"}' % self.state.encode()

    async def post(self, *posts: Post) -> list[Declined | None]:
        told = [" ".join((post.path, *(post.query or {}).values())) for post in posts]
        self.writes.append(told)
        for body in [post.body for post in posts if isinstance(post.body, dict)]:
            self.variables |= body.get("variables", {})
        if self.silent:
            self.silent -= 1
            raise Unreachable("no answer")
        return [
            Declined(post.operation, status=self.status) if self._declines(line) else None
            for post, line in zip(posts, told, strict=True)
        ]

    def _declines(self, line: str) -> bool:
        return any(word in line for word in self.declined)


class Story:
    """Legs at that Asterisk, and what they say."""

    def __init__(self, ari: Ari) -> None:
        self.ari = ari
        self.posted: list[LegEnded | Ended] = []
        self.noted: list[Note] = []
        self.legs = Legs(ari, post=self.posted.append, note=self.noted.append)


BRIDGE = MakeBridge(CALL, "pf-f00", 90, number="1001", name='Ada "Countess"')
WAITS = Join(CALL, "pf-f00", (CALL,))
JOINS, DIALS = Join(CALL, "pf-f00", (LEG,), quietly=True), DialLeg(CALL, LEG, 30)


LEG_OF_ONE = MakeLeg(CALL, LEG, "1001", To(), "", "", then=(JOINS, DIALS))
JOINED, DIALED = "bridges/pf-f00/addChannel pf-f00-1-0 true", "channels/pf-f00-1-0/dial 30 17.1"


async def test_one_way_to_asterisk_until_a_single_phone_is_dialed() -> None:
    """The leg first: while the bridge is made it comes to stand in Stasis. What can wait comes last. It is not asked again."""
    story = Story(Ari())
    await story.legs.perform(BRIDGE, WAITS, LEG_OF_ONE)
    await story.legs.perform(JOINS, DIALS)
    assert story.ari.writes == [
        [
            "channels/create",
            "bridges/pf-f00 mixing 17.1",
            "bridges/pf-f00/addChannel 17.1",
            JOINED,
            DIALED,
            "channels/17.1/variable TIMEOUT(absolute) 90",
            "channels/17.1/variable CONNECTEDLINE(all,i) \"Ada 'Countess'\" <1001>",
        ]
    ]
    await story.legs.perform(JOINS, DIALS)  # asked once more it is done
    assert story.ari.writes[1:] == [[JOINED, DIALED]]
    assert story.posted == []


@pytest.mark.parametrize(
    ("to", "keys"),
    [(To(NodeName("b"), "sip"), "info"), (To(NodeName("b"), "iax2"), None), (To(), None)],
)
async def test_keys_go_to_a_peer_by_info_where_it_is_called_by_sip(
    to: To, keys: str | None
) -> None:
    """Through Asterisk's core at both ends RFC 4733 would answer itself for ever; a phone takes it, and IAX2 has its own."""
    story = Story(Ari())
    await story.legs.perform(MakeLeg(CALL, LEG, "1001", to, "", "f00/1/1"))
    assert story.ari.variables.get("PJSIP_DTMF_MODE()") == keys


@pytest.mark.parametrize(
    ("to", "known"),
    [
        (To(NodeName("b"), "iax2"), "1001"),
        (To(NodeName("b"), "iax2", number=Extension("1002")), "1002"),
        (To(NodeName("b"), "sip"), None),
    ],
)
async def test_who_is_called_by_iax2_is_known_before_his_node_says_who_is_there(
    to: To, known: str | None
) -> None:
    """Who is transferred then would have no number. By SIP the answer tells it."""
    story = Story(Ari())
    await story.legs.perform(MakeLeg(CALL, LEG, "1001", to, "", "f00/1/1"))
    assert story.ari.variables.get("CALLERID(num)") == known


@pytest.mark.parametrize(
    ("bridge", "words"),
    [
        (replace(BRIDGE, discreet=True), "REDIRECTING"),
        (replace(BRIDGE, unrefused=True), "BUSY,CONGESTION"),
        (replace(BRIDGE, discreet=True, unrefused=True), "REDIRECTING,BUSY,CONGESTION"),
    ],
)
async def test_a_caller_is_made_deaf_for_a_302_or_a_refusal_before_anybody_could_say_one(
    bridge: MakeBridge, words: str
) -> None:
    """Unlike what else is set on his channel."""
    story = Story(Ari())
    await story.legs.perform(bridge, WAITS, LEG_OF_ONE)
    (write,) = story.ari.writes
    deaf = write.index(f"channels/17.1/variable FRAME_DROP(TX) {words}")
    assert deaf < write.index(JOINED) < write.index("channels/17.1/variable TIMEOUT(absolute) 90")


async def test_the_bridge_of_a_try_before_will_do() -> None:
    """Asterisk says that it is there (409); that its caller is not in Stasis it says alike, which is trouble."""
    for declined, noted in ("mixing", []), ("variable TIME", ["MakeBridge"]):
        story = Story(Ari(declined, status=409))
        await story.legs.perform(BRIDGE, WAITS, LEG_OF_ONE)
        assert [dict(note.fields)["what"] for note in story.noted] == noted
        assert story.posted == []


async def test_several_legs_are_made_beside_the_bridge_and_dialed_when_they_stand() -> None:
    """They would wait for each other."""
    story = Story(Ari())
    await story.legs.perform(BRIDGE, MakeLeg(CALL, LEG, "1001", To(), "", ""))
    assert [write[0] for write in story.ari.writes] == [
        "channels/create",
        "bridges/pf-f00 mixing 17.1",
    ]


async def test_a_leg_that_did_not_stand_in_stasis_is_joined_and_dialed_when_it_does() -> None:
    """What was declined, and no more. A phone is never dialed twice."""
    for declined, again in (
        (("1-0 true", "/dial"), [JOINED, DIALED]),
        (("1-0 true",), [JOINED]),
        (("/dial",), [DIALED]),
    ):
        story = Story(Ari(*declined))
        await story.legs.perform(BRIDGE, WAITS, LEG_OF_ONE)
        assert (story.posted, story.noted) == ([], [])
        story.ari.declined = ()
        await story.legs.perform(JOINS, DIALS)
        assert story.ari.writes[1] == again


async def test_who_was_dialed_before_he_was_joined_is_heard_to_ring() -> None:
    """It was said into the void."""
    story = Story(Ari("1-0 true"))
    await story.legs.perform(BRIDGE, WAITS, LEG_OF_ONE)
    story.ari.declined, story.ari.state = (), "Ringing"
    await story.legs.perform(JOINS, DIALS)
    assert story.ari.writes[2:] == [[f"GET channels/{LEG}"], ["POST channels/17.1/ring"]]


async def test_whoever_was_dialed_for_a_caller_who_cannot_hear_him_is_given_up_at_once() -> None:
    """His answer is none."""
    story = Story(Ari("addChannel 17.1", status=400))
    await story.legs.perform(BRIDGE, WAITS, LEG_OF_ONE)
    assert story.posted == [LegEnded(LEG, 38)]
    assert story.ari.writes[1:] == [[f"DELETE channels/{LEG}"], [f"DELETE channels/{CALL}"]]


async def test_a_leg_of_the_try_before_takes_no_other_along() -> None:
    """It is asked for at once with the next one's."""
    story = Story(Ari("1-0"))
    other = ChannelId("pf-f00-2-0")
    await story.legs.perform(JOINS, BRIDGE, WAITS, replace(LEG_OF_ONE, leg=other, then=()))
    await story.legs.perform(
        JOINS, replace(LEG_OF_ONE, leg=other, then=(DialLeg(CALL, other, 30),))
    )
    assert story.posted == [LegEnded(LEG, 38), LegEnded(LEG, 38)]


async def test_after_silence_a_leg_is_dialed_unless_it_was() -> None:
    """By what can be seen of it."""
    for state, again in ("Ringing", [JOINED]), ("Down", [JOINED, DIALED]):
        story = Story(Ari(silent=1))
        story.ari.state = state
        await story.legs.perform(BRIDGE, WAITS, LEG_OF_ONE)
        await story.legs.perform(JOINS, DIALS)
        posts = [w for w in story.ari.writes if not w[0].startswith("GET") and "ring" not in w[0]]
        assert posts[-1] == again
        assert story.posted == []


async def test_a_try_that_ends_before_its_leg_has_entered_leaves_nothing_behind() -> None:
    """Not even the memory of what was done."""
    story = Story(Ari())
    await story.legs.perform(BRIDGE, WAITS, LEG_OF_ONE)
    await story.legs.perform(EndBridge(CALL, "pf-f00"))
    await story.legs.perform(JOINS, DIALS)
    assert story.ari.writes[-1] == [JOINED, DIALED]


async def test_a_number_that_cannot_be_dialed_ends_its_leg_and_not_the_caller() -> None:
    """The next try may ring."""
    story = Story(Ari())
    await story.legs.perform(BRIDGE, WAITS, replace(LEG_OF_ONE, number="1&2"))
    assert story.posted == [LegEnded(LEG, 38)]
    assert ["bridges/pf-f00/addChannel 17.1"] in story.ari.writes
    assert [f"DELETE channels/{CALL}"] not in story.ari.writes


@pytest.mark.parametrize("step", ["addChannel", "/dial"])
async def test_a_leg_that_is_not_joined_or_not_dialed_is_ended(step: str) -> None:
    """Even if Asterisk has done the other of the two."""
    story = Story(Ari(step))
    await story.legs.perform(JOINS, DIALS)
    assert story.posted == [LegEnded(LEG, 38)]
    assert story.ari.writes[1:] == [[f"DELETE channels/{LEG}"]]
    assert [note.what for note in story.noted] == ["leg not handled"]


@pytest.mark.parametrize("status", [400, 422])
async def test_a_leg_that_was_refused_before_it_was_joined_says_so_itself(status: int) -> None:
    """Asterisk's word of its end tells busy, or whither it was sent; a failure told before that would hide it."""
    story = Story(Ari("1-0 true", status=status))
    await story.legs.perform(BRIDGE, WAITS, LEG_OF_ONE)
    await story.legs.perform(JOINS, DIALS)
    assert story.posted == []
    assert [f"DELETE channels/{LEG}"] in story.ari.writes


async def test_a_caller_who_cannot_be_put_into_his_bridge_is_hung_up() -> None:
    """He would hear nothing of who answers. Who is gone is not asked for again."""
    for status, again in (400, 0), (500, insisting.TIMES):
        story = Story(Ari("addChannel", status=status))
        await story.legs.perform(BRIDGE, WAITS)
        asked = [["bridges/pf-f00/addChannel 17.1"]] * again
        assert story.ari.writes[1:] == [*asked, [f"DELETE channels/{CALL}"]]


@pytest.mark.parametrize("who", [(LEG,), (CALL, LEG)])
@pytest.mark.parametrize("status", [409, 422, 500, 0])
async def test_who_has_answered_is_asked_for_again(who: tuple[ChannelId, ...], status: int) -> None:
    """One answer of ARI's, or none, ends no conversation: not the rescue of one that has lost its other end, either."""
    story = Story(Ari("addChannel", status=status) if status else Ari(silent=1))
    async with asyncio.TaskGroup() as group:
        group.create_task(story.legs.perform(Join(CALL, "pf-f00", who)))
        while not story.ari.writes:  # noqa: ASYNC110
            await asyncio.sleep(0)
        story.ari.declined = ()
    assert story.ari.writes[-1] == story.ari.writes[0]
    assert (story.posted, story.noted) == ([], [])


async def test_after_silence_what_was_not_done_is_asked_for_by_itself() -> None:
    """What was sent at once may have been done in part."""
    story = Story(Ari(silent=1))
    await story.legs.perform(BRIDGE, WAITS)
    posts = [write for write in story.ari.writes if not write[0].startswith("GET")]
    assert [write[0] for write in posts[1:]] == [
        "bridges/pf-f00 mixing 17.1",
        "bridges/pf-f00/addChannel 17.1",
    ]
    assert (story.posted, story.noted) == ([], [])


async def test_an_answer_that_cannot_be_written_down_is_an_answer() -> None:
    """It is for a daemon that returns; the call goes on without. All of it is one write."""
    story = Story(Ari(ANSWERED))
    await story.legs.perform(Indicate(CALL, "answer"))
    ((answered, unbound, written),) = story.ari.writes
    assert answered == "channels/17.1/answer"
    assert unbound == "channels/17.1/variable TIMEOUT(absolute) 0"
    assert ANSWERED in written
    assert (story.posted, story.noted) == ([], [])


async def test_who_is_answered_is_moved_where_transfers_go_on_without_us() -> None:
    """In the same write; if that is declined he is answered all the same."""
    ari = Ari("move")
    move = Post("channels.move", f"channels/{CALL}/move", {"app": "pbxfed-keep"})
    posted: list[LegEnded | Ended] = []
    noted: list[Note] = []
    legs = Legs(ari, post=posted.append, note=noted.append, moves=lambda _: [move])
    await legs.perform(Indicate(CALL, "answer"))
    ((*_, moved),) = ari.writes
    assert moved == "channels/17.1/move pbxfed-keep"
    assert (posted, noted) == ([], [])


async def test_what_an_answer_needs_is_insisted_on() -> None:
    """What became of it is unknown: asked for again, one after the other."""
    story = Story(Ari(silent=1))
    await story.legs.perform(Indicate(CALL, "answer"))
    assert story.ari.writes[1:] == [
        ["channels/17.1/answer"],
        ["channels/17.1/variable TIMEOUT(absolute) 0"],
    ]
    assert (story.posted, story.noted) == ([], [])


async def test_who_waits_hears_a_tone_or_music_and_is_bounded_by_asterisk_meanwhile() -> None:
    """Should the daemon die, he does not wait for ever; the bound comes first, for a channel that plays does nothing else."""
    bound = "channels/17.1/variable TIMEOUT(absolute)"
    for music in "", "jazz":
        story = Story(Ari())
        await story.legs.perform(Soothe(CALL, music, 120))
        await story.legs.perform(Hush(CALL, music))
        on = "POST channels/17.1/moh" if music else "POST channels/17.1/play/17.1-waits"
        off = "DELETE channels/17.1/moh" if music else "DELETE playbacks/17.1-waits"
        assert story.ari.writes == [[f"{bound} 120"], [on], [off], [f"{bound} 0"]]
    assert WAIT.startswith("tone:")


@pytest.mark.parametrize("declined", ["playbacks", "TIMEOUT"])
async def test_a_tone_that_would_not_stop_is_stopped_again(declined: str) -> None:
    """Who is rescued in the moment in which he begins to wait: Asterisk 22.10.1 says 500, and the tone goes on.

    So with the bound of his waiting: it would cut the conversation.
    """
    story = Story(Ari(declined, status=500))
    async with asyncio.TaskGroup() as group:
        group.create_task(story.legs.perform(Hush(CALL, "")))
        while not any(declined in write[0] for write in story.ari.writes):  # noqa: ASYNC110
            await asyncio.sleep(0)
        story.ari.declined = ()
    asked = [["DELETE playbacks/17.1-waits"], ["channels/17.1/variable TIMEOUT(absolute) 0"]]
    assert story.ari.writes == [one for one in asked for _ in range(1 + (declined in one[0]))]


async def test_the_bound_of_waiting_is_taken_away_however_long_asterisk_declines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would cut a conversation that goes on."""
    monkeypatch.setattr(insisting, "AGAIN", 0.001)
    monkeypatch.setattr(insisting, "LATER", (0.001, 0.001))
    story = Story(Ari("TIMEOUT", status=500))
    async with asyncio.TaskGroup() as group:
        story.legs.endings.begin(group)
        await story.legs.perform(Hush(CALL, ""))
        story.ari.declined = ()
    unbound = ["channels/17.1/variable TIMEOUT(absolute) 0"]
    assert story.ari.writes[1:] == [unbound] * (insisting.TIMES + 1)


async def test_a_tone_that_was_not_heard_leaves_no_bound() -> None:
    """An Asterisk without the module that plays it: nothing to stop, and the conversation may last."""
    story = Story(Ari("playbacks", status=404))
    await story.legs.perform(Hush(CALL, ""))
    assert story.ari.writes[-1] == ["channels/17.1/variable TIMEOUT(absolute) 0"]
