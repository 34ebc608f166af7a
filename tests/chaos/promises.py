"""What must hold after a fault, read off the database, the chats, the disk and the processes."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from PIL import Image

from processing.job import Job, Status
from tests.chaos.people import Person, refused
from tests.chat import Message, buttons, has_button, words

#: How far the JPEGs on the way may take a colour.
COLOUR_TOLERANCE = 12


@dataclass(slots=True)
class Excuses:
    """What the fault of a round explains.

    Attributes:
        told_twice: jobs whose message was taken by Telegram, but whose row does not say so: each may be told once more.
        lost_answers: requests that were carried out and whose answers were lost: that many messages may come once more.
        reordered: a picture may have been overtaken by what came after it, so that an order is not what was meant.
        stale_messages: messages that show a job's progress and may stay behind.
    """

    told_twice: Counter[int] = field(default_factory=Counter)
    lost_answers: int = 0
    reordered: bool = False
    stale_messages: bool = False


@dataclass(slots=True)
class Told:
    """What the chats say of jobs: how often each was delivered, and how often told as failed."""

    pictures: Counter[int] = field(default_factory=Counter)
    failures: Counter[int] = field(default_factory=Counter)
    open_messages: Counter[int] = field(default_factory=Counter)

    @classmethod
    def in_chats(cls, people: Iterable[Person]) -> Told:
        told = cls()
        for person in people:
            for message in person.user.messages:
                if job_id := job_of(message, "job:file:"):
                    told.pictures[job_id] += 1
                elif job_id := job_of(message, "job:again:"):
                    told.failures[job_id] += 1
                elif job_id := job_of(message, "job:cancel:"):
                    told.open_messages[job_id] += 1
        return told

    def in_all(self) -> Counter[int]:
        """Return how often each job was told of."""
        return self.pictures + self.failures

    def times(self, job_id: int) -> int:
        return self.pictures[job_id] + self.failures[job_id]


def job_of(message: Message, start: str) -> int:
    """Return the number of the job whose button of that kind the bot's message has, or 0."""
    if not message["from_bot"]:
        return 0
    return next((int(data.removeprefix(start)) for data in buttons(message) if data.startswith(start)), 0)


@dataclass(frozen=True, slots=True)
class Account:
    """What came of the jobs of a round.

    Attributes:
        outcomes: jobs by state.
        repeats: messages that came once more, all excused.
        stale: messages with a progress that stayed, all excused.
        broken: what does not hold, a sentence each.
    """

    outcomes: Counter[Status]
    repeats: int
    stale: int
    broken: list[str]


def account(people: Sequence[Person], jobs: Sequence[Job], excuses: Excuses) -> Account:
    """Hold what the database says against what the chats say; all must have come to rest."""
    told = Told.in_chats(people)
    broken = [sentence for job in jobs if (sentence := outcome(job, told))]
    known = {job.id for job in jobs}
    broken += [f"job {job_id} was told of and is not stored" for job_id in set(told.in_all()) - known]
    extra = Counter({job.id: told.times(job.id) - 1 for job in jobs if told.times(job.id) > 1})
    unexplained = extra - excuses.told_twice
    if unexplained.total() > excuses.lost_answers:
        broken.append(f"told too often: {dict(unexplained)}, {excuses.lost_answers} answers were lost")
    stale = told.open_messages
    if not excuses.stale_messages:
        broken += [
            f"the message of job {job.id}, {job.status}, still offers to cancel" for job in jobs if stale[job.id]
        ]
    for person in people:
        broken += whose(person, jobs)
        if not excuses.reordered:
            broken += wishes(person, jobs)
    return Account(Counter(job.status for job in jobs), extra.total(), stale.total(), broken)


def outcome(job: Job, told: Told) -> str | None:
    """Every job has come to one end, and that alone is what its user was told; return what is wrong."""
    about = f"job {job.id} of user {job.user_id} is {job.status}"
    match job.status:
        case Status.DELIVERED:
            right = told.pictures[job.id] and not told.failures[job.id]
        case Status.FAILED:
            right = told.failures[job.id] and not told.pictures[job.id]
        case Status.CANCELLED:
            right = not told.times(job.id)
        case _:
            right = False
    return None if right else f"{about}: {told.pictures[job.id]} pictures and {told.failures[job.id]} failures told"


def whose(person: Person, jobs: Sequence[Job]) -> list[str]:
    """Every picture in this chat is of a job of its user, and in his colour."""
    broken = []
    mine = {job.id for job in jobs if job.user_id == person.user.id}
    for message in person.user.messages:
        if not has_button("job:file:")(message):
            continue
        job_id = job_of(message, "job:file:")
        if job_id not in mine:
            broken.append(f"user {person.user.id} was sent the picture of job {job_id}")
        with Image.open(io.BytesIO(person.user.file(message["photo"][-1]["file_id"]))) as picture:
            seen = picture.convert("RGB").resize((1, 1)).getpixel((0, 0))
        assert isinstance(seen, tuple)
        if any(abs(one - other) > COLOUR_TOLERANCE for one, other in zip(seen, person.colour, strict=True)):
            broken.append(f"user {person.user.id}, whose colour is {person.colour}, was sent {seen} (job {job_id})")
    return broken


def wishes(person: Person, jobs: Sequence[Job]) -> list[str]:
    """What was sent was ordered once, and nothing was ordered that was not asked for."""
    mine = [job for job in jobs if job.user_id == person.user.id]
    ordered = Counter(pictures_of(job) for job in mine if job.origin.startswith("message:"))
    lost = [number for number, wish in enumerate(person.wishes) if not wish.withdrawn and not ordered[wish.file_ids]]
    refusals = sum(map(refused, person.user.messages))
    broken = []
    if len(lost) > refusals:
        chat = [words(message) or sorted(message) for message in person.user.messages]
        broken.append(f"pairs {lost} of user {person.user.id} were taken and not ordered, {refusals} refused: {chat}")
    if repeated := [times for times in ordered.values() if times > 1]:
        broken.append(f"pairs of user {person.user.id} were ordered {repeated} times")
    pressed = sum(job.origin.startswith("update:") for job in mine)
    if pressed > person.presses:
        broken.append(f"user {person.user.id} pressed {person.presses} times and has {pressed} jobs of it")
    return broken


def pictures_of(job: Job) -> frozenset[str]:
    return frozenset({job.order.content.file_id, *(style.picture.file_id for style in job.order.styles)})
