"""The kind `mqtt`: messages of a broker as records, levels of their topics among the fields.

A message is acknowledged once its rows are kept, and never before. What is no row is counted and
stops nothing.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, SecretStr, StringConstraints
from pydantic_core import PydanticCustomError

from app.connectors.connection import Authority, ClientCertificate
from app.connectors.errors import SourceBroken
from app.connectors.frame import Capabilities, Changes, Connector, Harvest, Known, Shape
from app.connectors.mqtt_session import LONGEST_MESSAGE, Broker, Heard, Session, session
from app.connectors.payload import Unusable, encoded, parsed, text_of

_AT_ONCE: Final = 500  # messages of a batch
_QUIET_S: Final = 1.0  # after which no more retained messages come
_MOST_RETAINED: Final = 64 << 20
_LEVEL: Final = re.compile(r"\{([^{}+#/]{1,100})\}")
_PLAIN_LEVEL: Final = re.compile(r"[^{}+#\x00]*")


def _is_template(topic: str) -> str:
    """Levels are literal, `{field}`, `+`, and `#` at the end alone (MQTT 5, 4.7.1)."""
    levels, names = topic.split("/"), _LEVEL.findall(topic)
    for at, level in enumerate(levels):
        is_rest = level == "#" and at == len(levels) - 1
        if not (
            is_rest or level == "+" or _LEVEL.fullmatch(level) or _PLAIN_LEVEL.fullmatch(level)
        ):
            raise PydanticCustomError("topic", "A level is a word, {{field}}, + or a # at the end.")
    if topic.startswith("$") or len(set(names)) != len(names):
        raise PydanticCustomError("topic", "No $ at its beginning, and no field twice.")
    return topic


class MqttSettings(Shape):
    """Where the broker is, and who we are to it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "host": "broker.example.jp", "port": 8883, "tls": "verified",
                    "user": "city-platform", "password": "change-me",
                }
            ]
        }
    )  # fmt: skip

    host: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\s/@:]+$")]
    port: Annotated[int, Field(ge=1, le=65_535)] = 8883
    version: Literal["5", "3.1.1"] = "5"
    tls: Literal["verified", "off"] = "verified"
    authority: Authority | None = Field(
        default=None,
        description="The authorities of its certificate, PEM, in place of the system's",
    )
    user: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    password: Annotated[SecretStr, Field(min_length=1, max_length=4_000)] | None = None
    client: ClientCertificate | None = None
    session_days: Annotated[int, Field(ge=1, le=90)] = Field(
        default=7, description="How long the broker is to keep messages while we are away (MQTT 5)"
    )


class MqttSelection(Shape):
    """Which messages feed a dataset, and what their topics and payloads say."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"topic": "city/{sensor}/water_level", "payload": "json"}]}
    )

    topic: Annotated[
        str, StringConstraints(min_length=1, max_length=1_000), AfterValidator(_is_template)
    ] = Field(description="{field} takes a level as a field; + and # are any")
    payload: Literal["json", "value"] = Field(
        default="json", description="json: an object, or a list of objects; value: one plain value"
    )
    value_field: Annotated[str, StringConstraints(min_length=1, max_length=100)] = "value"
    retained: bool = Field(default=True, description="Begin with what the broker has retained")
    empty_deletes: bool = Field(
        default=False, description="An empty message ends the record that the topic names"
    )
    client_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = Field(
        default=None,
        description="Where the broker knows clients by name: another one for each dataset",
    )


class MqttConnector(Connector[MqttSettings, MqttSelection]):
    """MQTT 3.1.1 and 5, by QoS 1 and a session that the broker keeps."""

    kind = "mqtt"
    title_ja = "MQTT（センサーなど）"
    title_en = "MQTT (sensors and their like)"
    settings_shape: ClassVar[type[Shape]] = MqttSettings
    selection_shape: ClassVar[type[Shape]] = MqttSelection
    capabilities = Capabilities(streams=True)

    def check_settings(self) -> None:
        """Raises `OutboundRefused`."""
        scheme = "http" if self.settings.tls == "off" else "https"
        self.means.outbound.check(f"{scheme}://{self.settings.host}:{self.settings.port}/")

    async def check(self, selection: MqttSelection | None = None) -> None:
        """Connect, and ask to hear the topics."""
        async with self._once() as connected:
            if selection is not None:
                await connected.subscribe(_filter(selection), 1)

    @asynccontextmanager
    async def harvest(
        self, selection: MqttSelection, known: Known | None = None, first: int | None = None
    ) -> AsyncIterator[Harvest | None]:
        """What the broker has retained, by topic: the last message of each."""
        async with self._once() as connected:
            await connected.subscribe(_filter(selection), 0)
            retained = await _retained(connected, first)
        rows: list[Mapping[str, Any]] = []
        for each in sorted(retained, key=lambda heard: heard.topic or ""):
            try:
                rows += _rows(each, selection)
            except Unusable as wrong:
                raise SourceBroken(source=self.settings.host, at="format", detail="JSON") from wrong
        async with aclosing(_lines(rows, self.settings.host)) as lines:
            yield Harvest(lines, "messages.ndjson")

    @asynccontextmanager
    async def listen(
        self, selection: MqttSelection, position: Mapping[str, Any] | None = None
    ) -> AsyncIterator[AsyncIterator[Changes]]:
        """Messages in their order, in batches. What came while we were away comes first."""
        name = {**(position or self.first_position(selection))}
        made = session(
            self._broker(), self.means.outbound, str(name["client"]),
            keeps_days=self.settings.session_days,
        )  # fmt: skip
        async with made as its:
            if not (its.was_known and name.get("subscribed")):
                await its.subscribe(_filter(selection), 1)
            async with aclosing(_heard(its, selection, {**name, "subscribed": True})) as changes:
                yield changes

    def first_position(self, selection: MqttSelection) -> Mapping[str, Any]:
        """The name of the session that the broker keeps."""
        return {"client": selection.client_id or f"urbanos-{secrets.token_hex(8)}"}

    async def forget(self, selection: MqttSelection, position: Mapping[str, Any]) -> None:
        """Have the broker end the session, and keep nothing for us any more."""
        name = str(position["client"])
        async with session(self._broker(), self.means.outbound, name, keeps_days=0):
            pass

    @asynccontextmanager
    async def _once(self) -> AsyncIterator[Session]:
        """A connection of which nothing stays."""
        name = f"urbanos-{secrets.token_hex(8)}"
        async with session(self._broker(), self.means.outbound, name, keeps_days=0) as connected:
            yield connected

    def _broker(self) -> Broker:
        its = self.settings
        return Broker(
            its.host, its.port, its.version, its.tls == "verified", its.user,
            its.password.get_secret_value() if its.password else None, its.authority,
            its.client.certificate if its.client else None,
            its.client.key.get_secret_value() if its.client else None,
        )  # fmt: skip


async def _heard(
    connected: Session, selection: MqttSelection, position: Mapping[str, Any]
) -> AsyncGenerator[Changes, None]:
    yield Changes(position=position)  # a subscription is not made twice: retained ones came with it
    while True:
        heard = await connected.take(_AT_ONCE)
        made = _changes(heard, selection)
        while (changes := await asyncio.to_thread(next, made, None)) is not None:
            yield changes
        connected.acknowledge(heard)  # the next is asked for: these are kept


def _changes(heard: Sequence[Heard], selection: MqttSelection) -> Iterator[Changes]:
    """What messages say, in their order, and no more at once than fits: a row that comes behind an
    end begins a batch of its own."""
    made = _Batch()
    for each in heard:
        if each.is_retained and not selection.retained:
            continue
        try:
            if not each.payload and selection.empty_deletes:
                made.gone.append(_levels(each, selection))
                continue
            rows = _rows(each, selection)
        except Unusable as wrong:
            made.unusable.append(wrong.code)
            continue
        if made.gone or len(made.rows) + len(rows) > _AT_ONCE:
            yield made.changes
            made = _Batch()
        made.rows += rows
    yield made.changes


@dataclass(slots=True)
class _Batch:
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    gone: list[Mapping[str, Any]] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)

    @property
    def changes(self) -> Changes:
        return Changes(rows=self.rows, gone=self.gone, unusable=self.unusable)


def _rows(heard: Heard, selection: MqttSelection) -> list[Mapping[str, Any]]:
    """The rows of a message. Raises `Unusable`."""
    levels = _levels(heard, selection)
    if selection.payload == "value":
        return [{selection.value_field: text_of(heard.payload), **levels}]
    told = parsed(heard.payload)
    objects = told if isinstance(told, list) else [told]
    if not objects or not all(isinstance(each, dict) for each in objects):
        raise Unusable("message_no_object")
    return [{**each, **levels} for each in objects]


def _levels(heard: Heard, selection: MqttSelection) -> dict[str, str]:
    """The levels of a topic that are fields. Raises `Unusable`."""
    if heard.is_cut or len(heard.payload) > LONGEST_MESSAGE:
        raise Unusable("message_too_long")
    if heard.topic is None:
        raise Unusable("message_not_text")
    pairs = zip(selection.topic.split("/"), heard.topic.split("/"), strict=False)
    return {found[1]: level for each, level in pairs if (found := _LEVEL.fullmatch(each))}


def _filter(selection: MqttSelection) -> str:
    return _LEVEL.sub("+", selection.topic)


async def _retained(connected: Session, first: int | None) -> list[Heard]:
    found: list[Heard] = []
    size = 0
    while first is None or len(found) < first:
        heard = await connected.take(_AT_ONCE, _QUIET_S)
        retained = [each for each in heard if each.is_retained and each.payload]
        if not retained:
            return found
        found += retained
        size += sum(each.size for each in retained)
        if size > _MOST_RETAINED:
            raise SourceBroken(source=connected.host, at="too_long", detail=_MOST_RETAINED)
    return found


async def _lines(rows: Sequence[Mapping[str, Any]], host: str) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(rows), _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        yield await asyncio.to_thread(encoded, part, host)
