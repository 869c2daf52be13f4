"""The alert rules, as data: which entries of the log count, how much is too much, and the words.

Pure: a rule judges what it is given. It never reads the log itself and never opens a finding.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from app.audit.events import Event
from app.findings.office_hours import is_office_time
from app.models.findings import Severity

Entry = Mapping[str, Any]
Values = Mapping[str, int]
# Who must act: the dataset's publisher, the organisation that the entry names, or the operators.
Owner = Literal["publisher", "organization", "operators"]
_DELICATE: Final = frozenset({"restricted", "personal", "specific-personal"})
# Of smaller datasets a share says nothing: one page is all of it.
SHARE_COUNTS_FROM_ROWS: Final = 1_000
_STEPS: Final = 12  # of a window: what a rule remembers of one subject is bounded by them


class Key(NamedTuple):
    """What amounts are summed by, and what a finding is about. `dataset` may be empty."""

    kind: str
    id: str
    dataset: str


@dataclass(frozen=True, slots=True)
class Hit:
    """What one entry adds for a subject. `amount` None: as many rows as the dataset has; 0: what
    was summed begins anew."""

    key: Key
    amount: int | None
    at: datetime
    facts: Entry


@dataclass(frozen=True, slots=True)
class Value:
    """A number of a rule that an operator may change, within bounds."""

    default: int
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class DatasetNow:
    """What a rule may know of a dataset."""

    publisher_id: str
    data_class: str
    rows: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Without events it looks at how things stand, not at the log (`app/findings/looks`).

    `ja` and `en` are the finding's words: `{client}`, `{dataset}` and the like are filled in.
    """

    name: str
    severity: Severity
    due_days: int
    values: Mapping[str, Value]
    about_ja: str
    about_en: str
    ja: str
    en: str
    events: frozenset[Event] = frozenset()
    read: Callable[[Entry, Values], Hit | None] = field(default=lambda _entry, _values: None)
    owner: Owner = "operators"
    sooner: Mapping[int, Severity] = field(
        default_factory=dict
    )  # by days left, where it tells them


def bulk_read(entry: Entry, _values: Values) -> Hit | None:
    """Rows that left, a whole file's too."""
    client, dataset = entry.get("client"), entry.get("dataset")
    if client is None or dataset is None or entry.get("data_class") == "public":
        return None
    is_file = entry["event"] == Event.SOURCE_READ
    amount = None if is_file else int(entry.get("rows", 0))
    return Hit(Key("client", client, dataset), amount, _at(entry), entry) if amount != 0 else None


def off_hours(entry: Entry, values: Values) -> Hit | None:
    """A read of delicate data while nobody should be at work."""
    client, dataset, at = entry.get("client"), entry.get("dataset"), _at(entry)
    if client is None or dataset is None or entry.get("data_class") not in _DELICATE:
        return None
    if is_office_time(at, values["from_hour"], values["until_hour"]):
        return None
    return Hit(Key("client", client, dataset), 1, at, entry)


def refused_in_a_row(entry: Entry, _values: Values) -> Hit | None:
    """A refusal; a read that was allowed begins the row anew. Nobody unproven is named in the log."""
    client = entry.get("client")
    if client is None:
        return None
    is_allowed = entry["event"] in (Event.RECORDS_READ, Event.SOURCE_READ)
    return Hit(Key("client", client, ""), 0 if is_allowed else 1, _at(entry), entry)


def expiring_agreement(entry: Entry, values: Values) -> Hit | None:
    """A notice that an agreement ends, which both sides get (`app/agreements/notices`)."""
    if int(entry["days"]) > values["days"]:
        return None
    return Hit(Key("agreement", entry["agreement"], entry["dataset"]), 1, _at(entry), entry)


def _at(entry: Entry) -> datetime:
    return datetime.fromisoformat(entry["at"])


class Tally:
    """Amounts by time of one subject, none older than the window, which it is exact to a twelfth of."""

    def __init__(self, amounts: Mapping[str, int], window_minutes: int) -> None:
        self._window_s = window_minutes * 60
        self._step_s = max(1, self._window_s // _STEPS)
        self._amounts = {int(start): amount for start, amount in amounts.items()}
        self.is_changed = False

    def add(self, at: datetime, amount: int) -> int:
        """Add an amount; what the window then holds, this step and the twelve before."""
        start = int(at.timestamp()) // self._step_s * self._step_s
        self.is_changed = True
        self._amounts[start] = self._amounts.get(start, 0) + amount
        newest = max(self._amounts)
        oldest = newest - self._window_s
        self._amounts = {at: sum_ for at, sum_ in self._amounts.items() if at >= oldest}
        return sum(self._amounts.values())

    def clear(self) -> None:
        """Begin anew."""
        self.is_changed = self.is_changed or bool(self._amounts)
        self._amounts = {}

    def stored(self) -> dict[str, int]:
        """As it is kept."""
        return {str(start): amount for start, amount in self._amounts.items()}


def threshold_of(values: Values, dataset: DatasetNow | None) -> int:
    """How much is too much: so many, or so great a share of the dataset."""
    most = values.get("threshold", 1)
    share = values.get("share_percent")
    if share is None or dataset is None or dataset.rows < SHARE_COUNTS_FROM_ROWS:
        return most
    return min(most, -(-dataset.rows * share // 100))


_WINDOW: Final = Value(60, 1, 7 * 24 * 60)
RULES: Final[Mapping[str, Rule]] = {
    rule.name: rule
    for rule in (
        Rule(
            "bulk_read",
            Severity.HIGH,
            due_days=3,
            values={
                "threshold": Value(10_000, 1, 10**9),
                "share_percent": Value(80, 1, 100),
                "window_minutes": _WINDOW,
            },
            about_ja="一つのクライアントが短時間に多くの行を読んだ",
            about_en="One client has read many rows within a short time",
            ja="クライアント {client}（{consumer}）が{window_minutes}分以内にデータセット {dataset} の"
            "{amount}行を読みました（しきい値 {threshold}行）。利用目的 {purpose} に必要な量か利用者に"
            "確認し、不審な場合はその協定を停止してください（GET /v1/agreements?dataset={dataset} で確認し、suspend）。",
            en="The client {client} ({consumer}) has read {amount} rows of the dataset {dataset} within"
            " {window_minutes} minutes; {threshold} raise this. Ask its organisation whether the purpose"
            " {purpose} needs them; if not, suspend its agreement (GET /v1/agreements?dataset={dataset} names it).",
            events=frozenset({Event.RECORDS_READ, Event.SOURCE_READ}),
            read=bulk_read,
            owner="publisher",
        ),
        Rule(
            "off_hours",
            Severity.MEDIUM,
            due_days=7,
            values={
                "threshold": Value(1, 1, 10**6),
                "window_minutes": _WINDOW,
                "from_hour": Value(8, 0, 23),
                "until_hour": Value(20, 1, 24),
            },
            about_ja="開庁時間外（土日祝日と年末年始を含む）に restricted・personal のデータが読まれた",
            about_en="Restricted or personal data were read outside office hours (weekends, public"
            " holidays and the turn of the year included)",
            ja="クライアント {client}（{consumer}）が開庁時間（平日{from_hour}時から{until_hour}時）の外に"
            "データセット {dataset} を{amount}回読みました。合意した夜間処理であれば acknowledge し、期限（due_at）を"
            "次の見直し日（1年以内）まで延ばしてください。その間は回数だけを数え、再び通知しません。"
            "心当たりがなければその協定を停止してください（GET /v1/agreements?dataset={dataset} で確認し、suspend）。",
            en="The client {client} ({consumer}) has read the dataset {dataset} {amount} times outside"
            " office hours (weekdays {from_hour} to {until_hour}). If it is a job of the night that was"
            " agreed, acknowledge this and put off its due_at until you look again, a year at most:"
            " meanwhile it is counted here and nobody is told anew. If nobody knows of it, suspend its"
            " agreement (GET /v1/agreements?dataset={dataset} names it).",
            events=frozenset({Event.RECORDS_READ}),
            read=off_hours,
            owner="publisher",
        ),
        Rule(
            "refused_in_a_row",
            Severity.MEDIUM,
            due_days=7,
            values={"threshold": Value(50, 2, 10**6), "window_minutes": Value(10, 1, 24 * 60)},
            about_ja="一つのクライアントが続けて拒否された",
            about_en="One client was refused again and again, with no allowed read between",
            ja="クライアント {client} が{window_minutes}分以内に続けて{amount}回拒否されました（しきい値"
            " {threshold}回、最後の理由 {code}）。設定の誤りか探索かを担当者に確認し、不審な場合は"
            "クライアントを失効させてください（urbanos client revoke {client}）。",
            en="The client {client} was refused {amount} times in a row within {window_minutes} minutes;"
            " {threshold} raise this, the last reason was {code}. Ask who runs it whether it is set up"
            " wrongly; if it probes, revoke the client (urbanos client revoke {client}).",
            events=frozenset(
                {
                    Event.RECORDS_REFUSED,
                    Event.CALL_REFUSED,
                    Event.TOKEN_REFUSED,
                    Event.RECORDS_READ,
                    Event.SOURCE_READ,
                }
            ),
            read=refused_in_a_row,
        ),
        Rule(
            "expiring_agreement",
            Severity.LOW,
            due_days=7,
            values={"days": Value(60, 7, 60)},
            about_ja="利用協定の終了が近い",
            about_en="An agreement ends soon",
            ja="データセット {dataset} の利用協定 {agreement} は{days}日以内（{valid_until}）に終わります。"
            "継続する場合は POST /v1/agreements/{agreement}/amend で新しい終了日を提案してください。",
            en="The agreement {agreement} on the dataset {dataset} ends within {days} days, at"
            " {valid_until}. To go on, propose a later end by POST /v1/agreements/{agreement}/amend.",
            events=frozenset({Event.AGREEMENT_ENDS}),
            read=expiring_agreement,
            owner="organization",
            sooner={30: Severity.MEDIUM, 7: Severity.HIGH},
        ),
        Rule(
            "expiring_key",
            Severity.MEDIUM,
            due_days=7,
            values={"days": Value(14, 1, 89)},
            about_ja="署名鍵の更新期限（90日）かTLS証明書の期限が近い",
            about_en="The signing key is due for rotation (90 days), or the TLS certificate expires",
            ja="{what_ja} {key} の期限は {until} です。{mend_ja}",
            en="{what_en} {key} is due by {until}. {mend_en}",
        ),
        Rule(
            "log_backlog",
            Severity.CRITICAL,
            due_days=1,
            values={"seconds": Value(60, 10, 900)},
            about_ja="ログに書き込めない時間が続いている",
            about_en="Nothing has been written to the log for too long",
            ja="ログに{waited}秒以上書き込めていません。{stops}秒を超えると restricted・personal のデータの"
            "提供が止まります。log_head のロックを保持しているセッション（pg_locks）とディスクの空きを"
            "確認してください。",
            en="Nothing could be written to the log for {waited} seconds. After {stops} seconds restricted"
            " and personal data stop. Look for the session that holds the lock of log_head (pg_locks)"
            " and for room on the disk.",
        ),
        Rule(
            "source_changed",
            Severity.HIGH,
            due_days=3,
            values={},
            about_ja="連携元の形が変わり、収集できない",
            about_en="A source has another shape than before, and is not taken in",
            ja="データセット {dataset} の連携元「{name}」（{kind}）の形が変わったため、取り込んでいません。利用者には"
            "直前の版を提供し続けています。{why_ja} 設定と対応付けを直し、POST /v1/connectors/{connector}/preview で"
            "確認してから収集してください。",
            en="The source “{name}” ({kind}) of the dataset {dataset} has another shape, and nothing of it is"
            " taken in; readers keep the version that they have. {why_en} Mend the settings and the mapping,"
            " look at POST /v1/connectors/{connector}/preview, and harvest again.",
            owner="publisher",
        ),
        Rule(
            "source_failing",
            Severity.MEDIUM,
            due_days=3,
            values={"threshold": Value(3, 1, 1_000)},
            about_ja="連携元からの収集・受信が続けて失敗している",
            about_en="Harvests or streams of a source fail one after the other",
            ja="データセット {dataset} の連携元「{name}」（{kind}）の収集・受信が{times}回続けて失敗しています。最後の理由:"
            " {why_ja} POST /v1/connectors/{connector}/test で原因を確認してください。",
            en="The source “{name}” ({kind}) of the dataset {dataset} has failed {times} times"
            " in a row; the last time: {why_en} POST /v1/connectors/{connector}/test tells what is wrong.",
            owner="publisher",
        ),
        Rule(
            "source_overdue",
            Severity.MEDIUM,
            due_days=3,
            values={"hours": Value(6, 1, 24 * 31)},
            about_ja="予定の時刻を過ぎても連携元から収集できていない",
            about_en="A source was not harvested when its schedule asked for it",
            ja="データセット {dataset} の連携元「{name}」（{kind}）は、予定の時刻から{hours}時間を過ぎても正常に収集"
            "できていません（最後の正常な収集: {good_at}）。GET /v1/connectors/{connector}/runs で履歴を確認してください。",
            en="The source “{name}” ({kind}) of the dataset {dataset} has not been harvested well for"
            " {hours} hours after its schedule asked for it (last time: {good_at}). GET"
            " /v1/connectors/{connector}/runs shows its history.",
            owner="publisher",
        ),
        Rule(
            "project_uncovered",
            Severity.HIGH,
            due_days=30,
            values={},
            about_ja="承認されたプロジェクトが、事業の求める適合を満たさなくなった",
            about_en="An approved project no longer has what its programme requires",
            ja="承認済みのプロジェクト「{title}」（事業「{programme}」）で、求められる適合が{count}件欠けています。"
            "{first_ja} 全件は GET /v1/projects/{project}/gate で確認できます。",
            en="The approved project “{title}” (programme “{programme}”) lacks {count} of what is required."
            " {first_en} GET /v1/projects/{project}/gate lists all.",
            owner="organization",
        ),
    )
}
