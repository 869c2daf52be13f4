"""Telegrams of the JMA (気象庁防災情報XML) as events: what is in force, where, until when. Asks nobody.

A drill is never taken for what is real: an event is of one status, and a status that we do not know
is refused. Of one series (Control/Title, EditorialOffice, Status, and Head/EventID where there is
one) the telegram of the latest Control/DateTime counts, as the JMA's own answers to questions have it.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from app.connectors.errors import SourceBroken, SourceChanged
from app.connectors.safe_xml import document, local, text
from app.query.codes import check_digit

STATUSES: Final = ("通常", "訓練", "試験")
_CANCELLED: Final = "取消"
_SKEW: Final = timedelta(hours=1)
_LONGEST_TEXT: Final = 10_000  # stands again in the record of each place
_MOST_SAID: Final = 1_000_000  # signs of all places together, a hundred for each and its kinds
_TYPES: Final = ("発表", "訂正", _CANCELLED, "遅延")
_REPORT: Final = "{http://xml.kishou.go.jp/jmaxml1/}"
_HEAD: Final = "{http://xml.kishou.go.jp/jmaxml1/informationBasis1/}"
COLUMNS: Final = (
    "key", "event", "state", "title", "head_title", "status", "info_type", "event_id", "serial",
    "office", "publisher", "sent_at", "reported_at", "target_at", "valid_until", "headline",
    "area_code", "area_name", "area_code_type", "local_government_code", "kinds", "kind_codes",
    "telegram",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Area:
    """A place of an event, and what holds there."""

    code: str
    name: str | None
    code_type: str | None
    kinds: tuple[str, ...] = ()
    kind_codes: tuple[str, ...] = ()

    @property
    def is_lifted(self) -> bool:
        """Whether all that held there was taken back."""
        return bool(self.kinds) and all(each.endswith("解除") for each in self.kinds)


@dataclass(frozen=True, slots=True)
class Event:
    """The last word of one series. Times are texts with their zones, as they were sent."""

    title: str
    office: str
    status: str
    info_type: str
    sent_at: str
    head_title: str | None = None
    event_id: str | None = None
    serial: str | None = None
    publisher: str | None = None
    reported_at: str | None = None
    target_at: str | None = None
    valid_until: str | None = None
    headline: str | None = None
    telegram: str | None = None
    areas: tuple[Area, ...] = ()

    @property
    def series(self) -> str:
        """What later telegrams of the same share with it; the place of what is not there stays, so
        that no event is called as a place of another is."""
        named = (self.title, self.office, self.event_id or "")
        return "/".join(each.replace("/", "%2F") for each in named)

    @property
    def sent(self) -> datetime:
        """When it was sent, by which the last word is known."""
        return datetime.fromisoformat(self.sent_at)

    @property
    def lasts_until(self) -> datetime:
        """Until when it may say something."""
        until = datetime.fromisoformat(self.valid_until) if self.valid_until else self.sent
        return max(self.sent, until)

    def after(self, before: "Event | None") -> "Event":
        """This or the one before, whichever is the last word; one that takes back says of where."""
        if before is None:
            return self
        last, other = (before, self) if before.sent > self.sent else (self, before)
        is_bare = last.info_type == _CANCELLED and not last.areas
        return replace(last, areas=other.areas) if is_bare else last

    def state(self, area: Area | None, now: datetime) -> str:
        """Whether it holds there now."""
        if self.info_type == _CANCELLED:
            return "cancelled"
        if self.valid_until is not None and self.lasts_until <= now:
            return "expired"
        return "lifted" if area is not None and area.is_lifted else "in_force"

    def records(self, now: datetime) -> Iterator[dict[str, Any]]:
        """One for each place; one without a place where it has none."""
        its = {name: getattr(self, name) for name in _OF_EVENT}
        for area in self.areas or (None,):
            yield {
                "key": self.series if area is None else f"{self.series}/{area.code}",
                "event": self.series,
                "state": self.state(area, now),
                **its,
                **({} if area is None else _of_area(area)),
            }

    def as_json(self) -> dict[str, Any]:
        """To be remembered."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> "Event":
        """As it was remembered."""
        areas = tuple(
            Area(**{**each, "kinds": tuple(each["kinds"]), "kind_codes": tuple(each["kind_codes"])})
            for each in told.get("areas", ())
        )
        return cls(**{**told, "areas": areas})


_OF_EVENT: Final[tuple[str, ...]] = tuple(name for name in COLUMNS if name in Event.__slots__)


def check_clock(host: str, event: Event, now: datetime) -> None:
    """Raises `SourceBroken` for a telegram of a time to come: no later one could take its place."""
    ahead = event.sent - now
    if ahead > _SKEW:
        raise SourceBroken(source=host, at="ahead", detail=int(ahead.total_seconds()))


def event_of(host: str, body: bytes, telegram: str) -> Event:
    """What a telegram says. Raises `SourceBroken` and `SourceChanged`."""
    report = document(host, body, "JMA XML")
    control, head = report.find(f"{_REPORT}Control"), report.find(f"{_HEAD}Head")
    if control is None or head is None:
        raise SourceChanged(source=host, at="shape", detail="Report/Control, Head")
    told = {
        "title": _said(control, "Title"), "office": _said(control, "EditorialOffice"),
        "status": _said(control, "Status"), "info_type": _said(head, "InfoType"),
        "sent_at": _moment(control, "DateTime"),
    }  # fmt: skip
    for name, of in (("status", STATUSES), ("info_type", _TYPES)):
        if told[name] not in of:
            raise SourceChanged(source=host, at="shape", detail=name)
    needed: dict[str, str] = {}
    for name, value in told.items():
        if value is None:
            raise SourceChanged(source=host, at="shape", detail=name)
        needed[name] = value
    event = Event(
        **needed,
        head_title=_said(head, "Title"),
        event_id=_said(head, "EventID"),
        serial=_said(head, "Serial"),
        publisher=_said(control, "PublishingOffice"),
        reported_at=_moment(head, "ReportDateTime"),
        target_at=_moment(head, "TargetDateTime"),
        valid_until=_moment(head, "ValidDateTime"),
        headline=text(head.find(f"{_HEAD}Headline/{_HEAD}Text")),
        telegram=telegram,
        areas=tuple(_areas(host, head).values()),
    )
    for name in _OF_EVENT:
        if len(getattr(event, name) or "") > _LONGEST_TEXT:
            raise SourceChanged(source=host, at="shape", detail=name)
    return event


def _areas(host: str, head: Any) -> dict[str, Area]:
    """Every place that the headline names, once, with all that holds there."""
    found: dict[str, Area] = {}
    said = 0
    for item in head.iterfind(f"{_HEAD}Headline/{_HEAD}Information/{_HEAD}Item"):
        kinds = item.findall(f"{_HEAD}Kind")
        names = tuple(filter(None, (_said(each, "Name") for each in kinds)))
        codes = tuple(filter(None, (_said(each, "Code") for each in kinds)))
        for areas in item.iterfind(f"{_HEAD}Areas"):
            for area in areas.iterfind(f"{_HEAD}Area"):
                code = _said(area, "Code")
                if code is None:
                    continue
                before = found.get(code) or Area(code, _said(area, "Name"), areas.get("codeType"))
                said += 100 + sum(map(len, (code, *before.kinds, *names, *codes)))
                if said > _MOST_SAID:
                    raise SourceBroken(source=host, at="too_many", detail=_MOST_SAID // 100)
                found[code] = replace(
                    before,
                    kinds=tuple(dict.fromkeys((*before.kinds, *names))),
                    kind_codes=tuple(dict.fromkeys((*before.kind_codes, *codes))),
                )
    return found


def _of_area(area: Area) -> dict[str, str | None]:
    return {
        "area_code": area.code,
        "area_name": area.name,
        "area_code_type": area.code_type,
        "local_government_code": _local_government_code(area),
        "kinds": " ".join(area.kinds) or None,
        "kind_codes": " ".join(area.kind_codes) or None,
    }


def _local_government_code(area: Area) -> str | None:
    """Six digits for a whole municipality: JMA writes the first five, and 00 behind them."""
    is_whole = len(area.code) == 7 and area.code.isascii() and area.code.isdigit()
    if not is_whole or not area.code.endswith("00"):
        return None
    if not (area.code_type or "").endswith("市町村等"):
        return None
    return area.code[:5] + check_digit(area.code[:5])


def _said(parent: Any, name: str) -> str | None:
    return next((text(each) for each in parent if local(each) == name), None)


def _moment(parent: Any, name: str) -> str | None:
    """A moment with its zone; None for one without, which may be any."""
    said = _said(parent, name)
    try:
        found = datetime.fromisoformat(said) if said is not None else None
    except ValueError:
        return None
    return said if found is not None and found.tzinfo is not None else None
