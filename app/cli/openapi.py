"""`urbanos openapi`: the platform's document from the code, stable, without a database."""

import difflib
import importlib
from pathlib import Path
from typing import Annotated, Final

import typer

from app.cli.words import Json, note, show_json

FILE: Final = Path(__file__).resolve().parents[2] / "openapi" / "platform-v1.yaml"
DRIFTED: Final = 1
_HEAD: Final = "# Generated from the code by `urbanos openapi --write`. Do not edit by hand.\n"
_MOST_DIFF_LINES: Final = 200


def document_text() -> str:
    """The whole document as YAML: keys sorted, no address of this machine in it."""
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415

    # By name, as uvicorn does: `main` and `cli` stand on one floor and do not know each other.
    make_app = importlib.import_module("app.main").create_app
    from app.kit.settings import Settings  # noqa: PLC0415

    settings = Settings.model_construct(public_url="/", home=Path("unused"))
    document = make_app(settings, "postgresql://unused").openapi()
    document["servers"] = [{"url": "/"}]
    text: str = yaml.dump(
        document, allow_unicode=True, sort_keys=True, width=100, Dumper=_without_anchors()
    )
    return _HEAD + text


def _without_anchors() -> type:
    import yaml  # noqa: PLC0415

    class Plain(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        """Writes shared parts out: an anchor would make a small change look large."""

        def ignore_aliases(self, data: object) -> bool:
            return True

    return Plain


def openapi(
    write: Annotated[bool, typer.Option("--write", help="Write openapi/platform-v1.yaml")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 1 with the difference if the file differs")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print, write or check the OpenAPI document. OpenAPI文書を出力・検査する。"""
    text = document_text()
    if write:
        FILE.write_text(text, encoding="utf-8")
        note(f"{FILE.name} を書き込みました。", f"Wrote {FILE.name}.")
    elif check:
        _check(text)
    elif as_json:
        import yaml  # noqa: PLC0415

        show_json(yaml.safe_load(text))
    else:
        typer.echo(text, nl=False)


def _check(text: str) -> None:
    stored = FILE.read_text(encoding="utf-8") if FILE.exists() else ""
    if stored == text:
        note(f"{FILE.name} は最新です。", f"{FILE.name} is up to date.")
        return
    lines = list(
        difflib.unified_diff(
            stored.splitlines(), text.splitlines(), FILE.name, "the code", lineterm="", n=2
        )
    )
    for line in lines[:_MOST_DIFF_LINES]:
        typer.echo(line)
    left = len(lines) - _MOST_DIFF_LINES
    if left > 0:
        typer.echo(f"… {left}")
    note(
        f"{FILE.name} がコードと異なります。urbanos openapi --write で更新してください。",
        f"{FILE.name} differs from the code. Write it anew: urbanos openapi --write",
    )
    raise typer.Exit(DRIFTED)
