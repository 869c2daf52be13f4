"""What every kind of connector is. It decides nothing, records nothing, and knows no database of ours.

A kind is a class. Its `settings` say where a source is and how we prove ourselves to it; its
`selection` says what of that source one dataset is fed by. It harvests bytes that the take-in reads
as it reads any file; it answers a question at request time, whole or as far as it says before; it
listens to changes. Errors of libraries end in it: what comes out of a kind is a `SourceError` or a
refusal of the way out.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, SecretStr
from pydantic_core import to_jsonable_python

from app.connectors.errors import CannotAnswer
from app.kit.behalf import Speak
from app.kit.outbound import Outbound
from app.query.question import Question

if TYPE_CHECKING:
    from app.connectors.relayed import Relay

# What is told of a file that a kind writes itself: how the dataset's other files are read says
# nothing of it, and a source may move from a sheet of a CP932 book to an interface.
WRITTEN_HERE: Final[Mapping[str, Any]] = {"encoding": "utf-8", "instead": True}
MOST_SECONDS: Final = 3600.0  # that one harvest may take at its source
SILENT_SECONDS: Final = 30.0


class Shape(BaseModel):
    """Base of settings and selections: an unknown member is refused, no value stands in an error.

    A member of type `SecretStr` is written and never shown: sealed at rest, `writeOnly` in the
    JSON Schema. Secrets stand in objects, never in lists.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, str_strip_whitespace=True
    )


Settings = TypeVar("Settings", bound=Shape)
Selection = TypeVar("Selection", bound=Shape)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a kind can do by itself; the platform does the rest, or says that nobody does."""

    harvests: bool = True
    answers: bool = False  # `fetch` at request time
    filters: bool = False  # of the question it answers conditions,
    sorts: bool = False  # orders,
    pages: bool = False  # and bounds, as `part` says of each
    streams: bool = False  # `listen` to what changes
    notices_changes: bool = False  # a harvest can say `unchanged` without sending all again
    sends_changes: bool = False  # a harvest can be of changed rows alone
    discovers: bool = False


class Inbox(Protocol):
    """Where a source sends to us what it has to tell one feed."""

    @property
    def url(self) -> str:
        """Where to send."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What proves that it is the source: a secret."""

    async def next(self, after: int, seconds: float) -> "Sequence[Message]":
        """Messages behind that number, the oldest first; none where so long none came."""


@dataclass(frozen=True, slots=True)
class Message:
    """One body that was sent to an inbox. Numbers rise."""

    number: int
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Means:
    """What a connector may use of its process: the way out, the folders of its organisation, and
    for one that listens an inbox."""

    outbound: Outbound
    folders: tuple[Path, ...] = ()
    inbox: Inbox | None = field(default=None, repr=False)
    relay: "Relay | None" = None  # to the organisation's agents in closed networks
    speak: Speak | None = None  # what the platform says of its reader to another one


@dataclass(frozen=True, slots=True)
class Harvest:
    """What a source gives for a dataset: the bytes of one file, read once.

    `validators` prove to the same source, next time, what we have: they are kept once this file
    has become a version. A `delta` holds rows by key that take the place of those of the version
    that readers get, and of no other. One that `is_empty` holds no row and its source says so, whole
    and of now: a table without rows is what it states. Else one is taken for an accident.
    """

    pieces: AsyncIterator[bytes] = field(repr=False)
    name: str | None = None  # as a publisher would call the file: a hint for the take-in
    told: Mapping[str, Any] | None = None  # how it is read (app.formats.told)
    validators: Mapping[str, Any] | None = None
    delta: bool = False
    is_empty: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """A dataset that a source could feed: what to select, and the fields as it names them."""

    name: str
    selection: Mapping[str, Any]
    fields: tuple[Mapping[str, str], ...] = ()  # name, and type where the source tells one
    about: Mapping[str, str] = field(default_factory=dict)  # title, license, update_frequency, …


@dataclass(frozen=True, slots=True)
class Known:
    """What we have of a source. `validators` are those that a harvest gave."""

    validators: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """What a source answers to a question: its rows in batches, each by the source's own names.

    A value is what JSON or the source's driver gives; the platform makes the dataset's types of it.
    """

    batches: AsyncIterator[Sequence[Mapping[str, Any]]] = field(repr=False)
    as_of: datetime | None = None  # when it was so, where the source tells; aware
    validators: Mapping[str, Any] | None = None  # to be asked with, the next time
    fresh_seconds: float = 0.0  # for which the source says that it would say the same
    may_be_kept: bool = True  # whether it lets its answer be kept at all


@dataclass(frozen=True, slots=True)
class Relayed:
    """What a source answers in the very words of the Linkage Interface.

    `pieces` are the records as JSON, parted by commas, without the brackets around them; of these
    there are `count`. The platform looks at each record before it lets it by.
    """

    count: int
    pieces: AsyncIterator[bytes] = field(repr=False)
    more: bool = False  # whether the source has a further page of them
    as_of: datetime | None = None  # when it was so, where the source tells; aware


@dataclass(frozen=True, slots=True)
class Changes:
    """What a source tells of what changes: rows that came or changed, and keys of rows that went.

    `position` proves to the same source, after a break, up to where we have its changes; plain JSON.
    `unusable`: messages that hold no row, each by a name of `errors.UNUSABLE`. `taken`: up to
    which number the inbox's messages are in this.
    """

    rows: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    gone: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    position: Mapping[str, Any] | None = None
    unusable: Sequence[str] = ()
    taken: int | None = None


class Connector(Generic[Settings, Selection]):
    """Base of every kind. One object is one connection to one source, for one piece of work."""

    kind: ClassVar[str]
    title_ja: ClassVar[str]
    title_en: ClassVar[str]
    settings_shape: ClassVar[type[Shape]]
    selection_shape: ClassVar[type[Shape]]
    capabilities: ClassVar[Capabilities]

    def __init__(self, settings: Settings, means: Means) -> None:
        self.settings = settings
        self.means = means

    def check_settings(self) -> None:
        """Refuse settings that lead where nobody may go, before anything is asked."""

    async def check(self, selection: Selection | None = None) -> None:
        """Ask the source for as little as shows that it would answer. Raises what is wrong."""
        raise NotImplementedError

    def harvest(
        self, selection: Selection, known: Known | None = None, first: int | None = None
    ) -> AbstractAsyncContextManager[Harvest | None]:
        """All rows now; None where `known` proves that nothing has changed.

        `first`: so many rows are enough, where the source can be asked for so few. What is open is
        closed with the block, however it ends.
        """
        raise NotImplementedError

    def part(self, selection: Selection, question: Question) -> Question:
        """The part of a question that the source answers; the platform does the rest of it.

        Fields carry the source's names. What it keeps of the conditions may let through more rows
        than meet them, never fewer. It keeps an order only with all conditions, held exactly as
        `query.matches` holds them, and bounds (`limit`, `offset`) only with the whole order.
        """
        return Question(question.fields, limit=None)

    def fetch(
        self, selection: Selection, question: Question, known: Known | None = None
    ) -> AbstractAsyncContextManager[Rows | None]:
        """The rows of a question as `part` gave it; None where `known` proves nothing has changed.

        Raises `CannotAnswer` for any other question. What is open is closed with the block.
        """
        raise CannotAnswer(connector=self.kind, why="it only harvests", why_ja="収集専用です")

    def relays(self, selection: Selection) -> bool:
        """Whether the source has the very words of the Linkage Interface for its records."""
        return False

    def relay(
        self, selection: Selection, question: Question
    ) -> AbstractAsyncContextManager[Relayed]:
        """The first records that there are, `limit` of them, as the bytes that the source has for
        them. Asked only where `relays` says so, and of questions without condition and order.

        Fields carry the source's names. What is open is closed with the block.
        """
        raise CannotAnswer(connector=self.kind, why="it does not relay", why_ja="中継はできません")

    def listen(
        self, selection: Selection, position: Mapping[str, Any] | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Changes]]:
        """What changes at the source from `position` on, or from now; without end.

        The next is asked for once the last is kept, so a source that waits for a word (MQTT, QoS 1)
        is given it then. A batch is small: a few hundred rows. The block begins once the source
        has taken us on. Raises `CannotAnswer` where the kind hears nothing.
        """
        raise CannotAnswer(connector=self.kind, why="it cannot listen", why_ja="購読はできません")

    def first_position(self, selection: Selection) -> Mapping[str, Any] | None:
        """A name by which the source is to know us, kept before it hears of it: what it holds for
        us is found again whatever happens."""
        return None

    async def forget(self, selection: Selection, position: Mapping[str, Any]) -> None:
        """End what the source keeps for a stream that is listened to no more."""

    async def discover(self) -> Sequence[Proposal]:
        """What the source could feed, as far as it tells. Empty where it tells nothing."""
        return ()


AnyConnector = Connector[Any, Any]


def parted(shape: BaseModel) -> tuple[dict[str, Any], dict[str, Any]]:
    """A shape's members as JSON: what may be shown, and the secrets alone."""
    return _parted(shape.model_dump(by_alias=True, exclude_unset=True))


def joined(shown: Mapping[str, Any], secrets: Mapping[str, Any]) -> dict[str, Any]:
    """What `parted` parted, as the shape takes it."""
    made = dict(shown)
    for name, value in secrets.items():
        is_inner = isinstance(value, Mapping)
        made[name] = joined(made.get(name, {}), value) if is_inner else value
    return made


def _parted(members: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    shown: dict[str, Any] = {}
    secrets: dict[str, Any] = {}
    for name, value in members.items():
        if isinstance(value, SecretStr):
            secrets[name] = value.get_secret_value()
        elif isinstance(value, Mapping):
            inner, hidden = _parted(value)
            shown[name] = inner
            if hidden:
                secrets[name] = hidden
        else:
            shown[name] = to_jsonable_python(value)
    return shown, secrets
