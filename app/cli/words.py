"""What the commands say: results on standard output, everything else on standard error."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from app.kit import clock
from app.kit.errors import AppError

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON. 結果をJSONで出力")]
Row = Mapping[str, Any]


def language() -> str:
    """`ja` or `en`, as the locale says (POSIX: LC_ALL over LC_MESSAGES over LANG)."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name)
        if value:
            return "ja" if value.lower().startswith("ja") else "en"
    return "en"


def said(ja: str, en: str) -> str:
    """The one of two wordings that the locale asks for."""
    return ja if language() == "ja" else en


def note(ja: str, en: str) -> None:
    """Say something that is no result."""
    typer.echo(said(ja, en), err=True)


def show_refusal(refusal: AppError) -> None:
    """A refusal with its code, and each wrong place with how to mend it."""
    typer.echo(f"{said('エラー', 'error')} [{refusal.code}] {refusal.words(language())}", err=True)
    for fault in refusal.faults:
        typer.echo(f"  {fault.pointer}: {said(fault.ja, fault.en)} ({fault.code})", err=True)


def show_json(value: Any) -> None:
    """A result for programs."""
    import orjson  # noqa: PLC0415 - commands begin quickly because they import late

    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    typer.echo(orjson.dumps(value, default=str, option=options).decode())


def show_one(row: Row, as_json: bool) -> None:
    """One thing, a line a member; what is within a member has the names of both."""
    if as_json:
        show_json(row)
        return
    lines = list(_lines(row))
    width = max((len(name) for name, _ in lines), default=0)
    for name, value in lines:
        typer.echo(f"{name:<{width}}  {_cell(value)}")


def _lines(row: Row, under: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        inner = value
        if isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
            inner = {str(number): each for number, each in enumerate(value, 1)}
        if isinstance(inner, Mapping):
            yield from _lines(inner, f"{under}{name}.")
        elif value not in (None, [], ""):
            yield f"{under}{name}", value


def show_many(rows: Sequence[Row], as_json: bool, columns: Sequence[str]) -> None:
    """Many things: all members as JSON, or some as a table."""
    if as_json:
        show_json(rows)
        return
    if not sys.stdout.isatty():  # for cut, awk and sort: complete cells, parted by tabs
        for row in rows:
            typer.echo("\t".join(_cell(row.get(name)) for name in columns))
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in columns))
    Console().print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, datetime):
        return value.astimezone(clock.TOKYO).isoformat(timespec="seconds")
    return str(value)
