"""The wire shapes of connectors. None of them holds a secret on its way out."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

from app.api.dataset_shapes import DatasetId, MappingStepIn
from app.api.shapes import InShape, Name, OutShape, Time
from app.catalogue.connectors import MOST_FEEDS, NewFeed
from app.models.connectors import Mode
from app.models.parties import Zone

_SELECTION: JsonDict = {"path": "shelters.json", "rows": "/items"}
_FEED: JsonDict = {
    "dataset": "shelters",
    "selection": _SELECTION,
    "schedule": "0 3 * * *",
    "mapping": [{"to": "name", "expression": "facility.name_ja"}],
    "examples": [
        {"row": {"番号": "1", "facility": {"name_ja": "架空会館"}}, "expect": {"name": "架空会館"}}
    ],
    "publish": False,
}
Members = Annotated[dict[Name, Any], Field(max_length=100)]
Cron = Annotated[str, StringConstraints(min_length=9, max_length=100)]


class KindOut(OutShape):
    """A kind of source, with what a connector of it is told."""

    kind: str
    title_ja: str
    title_en: str
    capabilities: dict[str, bool]
    settings: dict[str, Any] = Field(description="JSON Schema; secrets are `writeOnly`")
    selection: dict[str, Any] = Field(description="JSON Schema of what one dataset is fed by")


class ExampleIn(InShape):
    """A row as the source has it, and what it becomes: fields that are not named may be anything."""

    row: Annotated[dict[str, Any], Field(min_length=1, max_length=1_500)]
    expect: (
        Annotated[dict[str, str | int | float | bool | None], Field(max_length=1_500)] | None
    ) = Field(description="By field; null where the row is to be left out")


class FeedIn(InShape):
    """What of the source feeds one dataset. `schedule`: cron, in the time of Japan."""

    dataset: DatasetId
    selection: Annotated[Members, Field(default_factory=dict)]
    schedule: Cron | None = None
    mapping: Annotated[list[MappingStepIn], Field(max_length=1_500)] | None = Field(
        default=None, description="In place of the dataset's own; the source's names to its fields"
    )
    examples: Annotated[list[ExampleIn], Field(max_length=50)] | None = Field(
        default=None, description="Tried whenever mapping or fields change, and before they do"
    )
    publish: bool = Field(default=False, description="Readers get each new version at once")
    mode: Mode = Field(
        default=Mode.HARVEST,
        description="`live`: each read asks the source; `stream`: it is listened to all the time, and"
        " written by key. The dataset keeps its id and its versions",
    )
    stale_for_seconds: Annotated[int, Field(ge=1, le=604_800)] | None = Field(
        default=None,
        description="Live: how old the last good answer may be that is given, marked as stale,"
        " while the source is away",
    )

    def told(self) -> NewFeed:
        """As the registry takes it."""
        return NewFeed(
            self.dataset, self.selection, self.schedule, steps_of(self.mapping), self.publish,
            [each.model_dump() for each in self.examples] if self.examples else None, self.mode,
            self.stale_for_seconds,
        )  # fmt: skip


class ConnectorIn(InShape):
    """A source to be asked by us. The secrets among its settings are never shown again."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "kind": "http_json",
                "name": "施設台帳API",
                "settings": {
                    "base": "https://api.example.jp/v1/",
                    "auth": {"type": "api_key", "key": "change-me"},
                },
                "feeds": [_FEED],
            }
        }
    )

    kind: Annotated[str, StringConstraints(min_length=1, max_length=60)]
    name: Name
    settings: Members
    zone: Zone = Zone.INTERNET
    feeds: Annotated[list[FeedIn], Field(max_length=MOST_FEEDS, default_factory=list)]
    paused: bool = False


class ConnectorPatch(InShape):
    """What to change. `settings` and `feeds` are given whole, secrets too."""

    model_config = ConfigDict(json_schema_extra={"example": {"paused": True}})

    name: Name | None = None
    settings: Members | None = None
    feeds: Annotated[list[FeedIn], Field(max_length=MOST_FEEDS)] | None = None
    paused: bool | None = None

    def changes(self) -> dict[str, Any]:
        """What was said, as the registry takes it."""
        said = self.model_dump(exclude_none=True, include={"name", "settings", "paused"})
        if self.feeds is not None:
            said["feeds"] = [each.told() for each in self.feeds]
        return said


class StreamRejectOut(OutShape):
    """Why a message or a row was kept out. No value is shown."""

    at: Time
    field: str | None
    code: str
    ja: str
    en: str


class StreamOut(OutShape):
    """How a stream goes: where it is, what came, and what was wrong last."""

    state: Literal["connecting", "streaming", "waiting", "paused"]
    since: Time | None = Field(description="Streaming since, without a break")
    last_at: Time | None = Field(description="When the last message was kept")
    received: int = Field(description="Rows and keys that came")
    written: int = Field(description="Records inserted or updated")
    deleted: int
    rejected: int
    rejects: list[StreamRejectOut] = Field(description="The last 20")
    next_try_at: Time | None
    error_class: str | None
    error_code: str | None
    error_ja: str | None
    error_en: str | None
    error_at: Time | None


class FeedOut(OutShape):
    """What feeds one dataset, and when next."""

    dataset_id: str
    mode: Mode
    selection: dict[str, Any]
    schedule: str | None
    next_at: Time | None
    mapping: list[dict[str, Any]] | None
    examples: list[dict[str, Any]] | None
    publish: bool
    stale_for_seconds: int | None
    version_number: int | None = Field(description="The version that the source was last seen as")
    good_at: Time | None = Field(description="When a harvest last ended well")
    failures: int = Field(description="Harvests that have failed since")
    takes_notices: bool = Field(description="Whether the source may ask for a harvest")
    noticed_at: Time | None = Field(description="A notice that waits for its harvest")
    stream: StreamOut | None = Field(default=None, description="Of a feed that listens")


class ConnectorOut(OutShape):
    """A connector; of its secrets only the names."""

    id: UUID
    kind: str
    name: str
    organization_id: str
    zone: Zone
    settings: dict[str, Any]
    has_secrets: bool
    paused: bool
    feeds: list[FeedOut]
    created_at: Time
    created_by: str
    changed_at: Time


class AskedIn(InShape):
    """Which of the datasets is meant, where the connector feeds several."""

    model_config = ConfigDict(json_schema_extra={"example": {"dataset": "shelters"}})

    dataset: DatasetId | None = None


class RunIn(AskedIn):
    """A harvest now. `fresh`: all of it, whatever the source says of changes."""

    fresh: bool = False


class PreviewIn(AskedIn):
    """Another selection or mapping than the feed's may be tried before it is kept."""

    selection: Members | None = None
    mapping: Annotated[list[MappingStepIn], Field(max_length=1_500)] | None = None


class SourceCheckOut(OutShape):
    """How a source answered: `ok`, or what is wrong, where, and whom it concerns."""

    dataset: str | None
    ok: bool
    error_class: Literal["unreachable", "broken", "refused", "slow", "changed", "ours"] | None
    at: str | None = Field(description="name, connection, tls, credentials, permission, shape, …")
    code: str | None
    ja: str
    en: str


class SourceTestOut(OutShape):
    """The source itself, and each feed of it."""

    ok: bool
    checks: list[SourceCheckOut]


class ProposalOut(OutShape):
    """A dataset that the source could feed."""

    name: str
    selection: dict[str, Any]
    fields: list[dict[str, str]]
    about: dict[str, str]


class PreviewRejectOut(OutShape):
    """A row that would be left out, and why."""

    row: int
    field: str | None
    code: str
    ja: str
    en: str


class PreviewOut(OutShape):
    """The first 20 rows as the source has them, and as they would be loaded."""

    format: str
    labels: list[str]
    before: list[dict[str, str | None]]
    after: list[dict[str, str | None]]
    rejects: list[PreviewRejectOut]
    notices: list[dict[str, Any]]


class HarvestOut(OutShape):
    """One run of a connector. `run_id` is the load that it became."""

    id: UUID
    connector_id: UUID
    dataset_id: str
    state: str
    tries: int
    run_id: UUID | None
    version_number: int | None
    published: bool
    rows: int | None
    bytes: int | None
    error_class: str | None
    error_code: str | None
    error_ja: str | None
    error_en: str | None
    created_at: Time
    created_by: str | None = Field(description="null: the schedule; `notice`: the source")
    started_at: Time | None
    ended_at: Time | None
    cancel_requested_at: Time | None


def steps_of(steps: list[MappingStepIn] | None) -> list[dict[str, Any]] | None:
    """A mapping as it is kept."""
    if steps is None:
        return None
    return [step.model_dump(by_alias=True, exclude_unset=True) for step in steps]
