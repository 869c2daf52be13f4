"""`urbanos lint-openapi`: a vendor's OpenAPI document against the standard, without a server."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from app.cli.words import Json, language, note, said, show_json

if TYPE_CHECKING:
    from app.certify.lint import Finding

_FELL_SHORT: Final = 4


def lint_openapi(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    classes: Annotated[
        str, typer.Option("--class", help="Conformance classes, parted by commas")
    ] = "core",
    as_json: Json = False,
) -> None:
    """Check a vendor's OpenAPI document; exit 4 if it falls short. OpenAPI文書の適合を確認する。"""
    from app.certify.document import Document  # noqa: PLC0415
    from app.certify.lint import Standard, lint  # noqa: PLC0415

    standard, vendor = Standard.read(), Document.read(file.read_bytes())
    wanted = [name.strip() for name in classes.split(",") if name.strip()]
    found = lint(standard, vendor, wanted)
    if as_json:
        show_json([
            {
                "class": each.conformance, "path": each.path, "method": each.method,
                "code": each.code, "ja": each.words("ja"), "en": each.words("en"),
                "rules": list(each.rules),
            }
            for each in found
        ])  # fmt: skip
    else:
        _show(found)
    if found:
        note(f"{len(found)} 件の不足があります。", f"It falls short in {len(found)} ways.")
        raise typer.Exit(_FELL_SHORT)
    told = ", ".join(standard.checked(wanted))
    note(f"クラス {told} に適合しています。", f"It offers the classes {told}.")


def _show(found: "Sequence[Finding]") -> None:
    """A line a cause: one schema that all answers share would fill the screen with one mend."""
    causes: dict[tuple[str, ...], list[Finding]] = {}
    for each in found:
        causes.setdefault(each.cause, []).append(each)
    for first, *others in causes.values():
        where = f"{first.method.upper()} {first.path}"
        more = said(
            f"（同じ不足がほかに{len(others)}か所）", f" (and {len(others)} more of the same)"
        )
        words = first.words(language())
        typer.echo(f"{first.conformance}  {where}  {words}{more if others else ''}")
