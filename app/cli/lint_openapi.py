"""`urbanos lint-openapi`: a vendor's OpenAPI document against the standard, without a server."""

from pathlib import Path
from typing import Annotated, Final

import typer

from app.cli.words import Json, language, note, show_json

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
    for each in () if as_json else found:
        where = f"{each.method.upper()} {each.path}"
        typer.echo(f"{each.conformance}  {where}  {each.words(language())}")
    if found:
        note(f"{len(found)} 件の不足があります。", f"It falls short in {len(found)} ways.")
        raise typer.Exit(_FELL_SHORT)
    told = ", ".join(standard.checked(wanted))
    note(f"クラス {told} に適合しています。", f"It offers the classes {told}.")
