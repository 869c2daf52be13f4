"""Connectors and their harvests as an operator reads them at the shell. Shows no secret."""

from collections.abc import Mapping
from typing import Any, Final

from app.cli.words import language, said

_OF_FEED: Final = (
    "selection", "schedule", "next_at", "publish", "version_number", "good_at", "failures",
)  # fmt: skip
_OF_RUN: Final = (
    "id", "dataset_id", "state", "tries", "rows", "version_number", "published", "run_id",
    "created_at", "ended_at",
)  # fmt: skip


def as_read(told: Mapping[str, Any]) -> dict[str, Any]:
    """A connector: its settings, what it feeds by dataset, and how the last run went."""
    own = {name: value for name, value in told.items() if name not in ("feeds", "last_run")}
    last = told["last_run"]
    return {
        **own,
        "feeds": {each["dataset_id"]: _feed(each) for each in told["feeds"]},
        "last_run": as_run(last) if last is not None else None,
    }


def as_run(told: Mapping[str, Any]) -> dict[str, Any]:
    """A harvest, with what was wrong in the reader's language."""
    shown = {name: told[name] for name in _OF_RUN}
    if told["error_code"] is not None:
        shown["error"] = f"[{told['error_code']}] {told[f'error_{language()}']}"
    return shown


def _feed(told: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: told[name] for name in _OF_FEED}
    shown["mapping"] = [_step(each) for each in told["mapping"] or ()]
    if told["examples"]:
        shown["examples"] = len(told["examples"])
    return shown


def _step(step: Mapping[str, Any]) -> str:
    """`name <- facility_name`, with all that is done on the way."""
    origin = step.get("expression") or "|".join(step.get("from", ())) or repr(step.get("constant"))
    done = [f"{name}={step[name]}" for name in ("pattern", "unit", "normalize") if step.get(name)]
    if codes := step.get("codes"):
        done.append(said(f"コード{len(codes)}件", f"{len(codes)} codes"))
    return f"{step['to']} <- {origin}" + (f" ({', '.join(done)})" if done else "")
