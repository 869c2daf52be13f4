"""The provider that writes with one thing wrong: each breaks the rule that its name begins with."""

from typing import Any, Final
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from tests.certify.writing_provider import Record, Refused, Writing


class _ForgetsAnswers(Writing):
    def remember(self, key: str | None, body: bytes, told: dict[str, Any]) -> None:
        self.answers = {key: (body, told)}


class _AnswersWhateverTheBody(Writing):
    def recall(self, key: str | None, body: bytes) -> dict[str, Any] | None:
        return self.answers[key][1] if key in self.answers else None


class _RemembersTooLate(Writing):
    """What comes while the first is under way finds no answer yet."""

    def remember(self, key: str | None, body: bytes, told: dict[str, Any]) -> None:
        if told["accepted"] != 3 or "updated" in str(told):  # the batch that is sent twice at once
            super().remember(key, body, told)


class _MovesForNothing(Writing):
    def moves(self, statuses: set[str]) -> bool:
        return True


class _CountsFromOne(Writing):
    def pointer(self, at: int, name: str) -> str:
        return f"/{at + 1}/{name}"


class _CountsBlankLines(Writing):
    def pointer(self, at: int, name: str) -> str:
        return f"/{at * 2 if self.by_line else at}/{name}"

    by_line = False

    def parsed(self, request: Request, body: bytes) -> list[Record]:
        self.by_line = "ndjson" in request.headers["content-type"]
        return super().parsed(request, body)


class _TakesAllOrNone(Writing):
    def upserted(self, records: list[Record]) -> dict[str, Any]:
        if any(self.wrong_in(each) for each in records) and len(records) <= 10:
            records = [{**each, "ward": "271005"} for each in records]
        return super().upserted(records)


class _TakesWhatIsWrong(Writing):
    def wrong_in(self, record: Record) -> list[str]:
        return []


class _LosesTheLast(Writing):
    def stored(self, taken: list[Record]) -> list[Record]:
        return taken[:-1] if len(taken) > 10 else taken


class _TakesAThousand(Writing):
    most = 1_000


class _CountsItsWayThroughPages(Writing):
    def table_of(self, cursor: Any) -> Any:
        return super().table_of(None)


class _PassesOneOver(Writing):
    def behind(self, at: int, after: int) -> int:
        return after + (after - at == 2 and after < len(self.log))


class _CountsBeforeItWrites(Writing):
    """Its positions pass what is being written while they are given out."""

    under_way = 0

    async def write(self, request: Request) -> Response:
        self.under_way += 1
        try:
            return await super().write(request)
        finally:
            self.under_way -= 1

    def behind(self, at: int, after: int) -> int:
        return after + self.under_way


class _NewestFirst(Writing):
    def ordered(self, found: list[Any]) -> list[Any]:
        return found[::-1] if len(found) > 3 else found


class _TellsWhatWasDeleted(Writing):
    def carried(self, op: str, record: Record) -> Record:
        return {"record": record}


class _TellsAPart(Writing):
    def carried(self, op: str, record: Record) -> Record:
        part = {name: value for name, value in record.items() if name != "note"}
        return {"record": part} if op == "upsert" else {}


class _NamesAnew(Writing):
    def ordered(self, found: list[Any]) -> list[Any]:
        return [{**each, "id": uuid4().hex} for each in found]


class _HasNoLink(Writing):
    def linked(self, links: list[Any]) -> list[Any]:
        return []


class _EndsItsWalkNow(Writing):
    def end_of_walk(self, began: int) -> int:
        return len(self.log)


class _BeginsAnew(Writing):
    def place(self, since: str | None) -> tuple[int, str | None]:
        try:
            return super().place(since)
        except Refused:
            return super().place(None)


class _KeepsTwenty(Writing):
    def place(self, since: str | None) -> tuple[int, str | None]:
        at, behind = super().place(since)
        if at < len(self.log) - 20:
            raise Refused("cursor_expired")
        return at, behind


class _TellsWhatIsTheSame(Writing):
    def is_news(self, status: str) -> bool:
        return True


class _FollowsWithoutAKey(Writing):
    async def without_key(self, request: Request) -> Response:
        return self.said(request, {"changes": [], "next": "0", "links": []})


MUTANTS: Final[dict[str, type[Writing]]] = {
    "PAGE-03": _CountsItsWayThroughPages,
    "IDEMP-01": _ForgetsAnswers,
    "IDEMP-02": _AnswersWhateverTheBody,
    "IDEMP-02 meanwhile": _RemembersTooLate,
    "IDEMP-03": _MovesForNothing,
    "IDEMP-04": _CountsFromOne,
    "IDEMP-04 in lines": _CountsBlankLines,
    "IDEMP-04 all or none": _TakesAllOrNone,
    "IDEMP-04 what is wrong": _TakesWhatIsWrong,
    "IDEMP-05": _LosesTheLast,
    "IDEMP-06": _TakesAThousand,
    "CHANGE-01": _PassesOneOver,
    "CHANGE-01 meanwhile": _CountsBeforeItWrites,
    "CHANGE-02": _NewestFirst,
    "CHANGE-03": _TellsWhatWasDeleted,
    "CHANGE-03 a part": _TellsAPart,
    "CHANGE-03 anew": _NamesAnew,
    "CHANGE-04": _HasNoLink,
    "CHANGE-05": _EndsItsWalkNow,
    "CHANGE-06": _BeginsAnew,
    "CHANGE-06 too soon": _KeepsTwenty,
    "CHANGE-07": _TellsWhatIsTheSame,
    "CHANGE-08": _FollowsWithoutAKey,
}
