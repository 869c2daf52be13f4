"""`urbanos dataset`: entries of the catalogue, in the same shapes as /v1/datasets."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.shell import Shell, members, run, told_in
from app.cli.words import Json, show_many, show_one
from app.kit.errors import AppError, Kind

if TYPE_CHECKING:
    from app.catalogue.datasets import NewDataset
    from app.models.datasets import Dataset

app = typer.Typer(no_args_is_help=True, help="Datasets. データセット。")
Id = Annotated[str, typer.Argument(metavar="DATASET")]
_COLUMNS = ("id", "title_ja", "publisher_id", "data_class", "state", "current_version")


class DatasetFileWrong(AppError):
    """The file does not describe a dataset as `POST /v1/datasets` takes it."""

    kind = Kind.INVALID
    code = "invalid_input"
    ja = "{path} はデータセットの登録内容（POST /v1/datasets の本文）になっていません。"
    en = "{path} does not describe a dataset as the body of POST /v1/datasets does."


def _shown(dataset: "Dataset") -> dict[str, Any]:
    return members(dataset, "search_text")


@app.command("list")
def list_all(
    words: Annotated[str | None, typer.Argument(help="In any kana")] = None,
    publisher: Annotated[str | None, typer.Option()] = None,
    as_json: Json = False,
) -> None:
    """List entries but hidden ones. データセットを一覧する。"""

    async def act(shell: Shell) -> list[dict[str, Any]]:
        from app.catalogue import search  # noqa: PLC0415

        wanted = search.Search(words, publisher=publisher, viewer=publisher, limit=10_000)
        async with shell.database.reading() as session:
            found = await search.search(session, wanted)
            return [_shown(each) for each in found.datasets]

    show_many(run(act), as_json, _COLUMNS)


@app.command()
def show(dataset: Id, as_json: Json = False) -> None:
    """Show an entry and its versions. 登録内容と版を表示する。"""

    async def act(shell: Shell) -> dict[str, Any]:
        from app.catalogue import datasets, versions  # noqa: PLC0415

        async with shell.database.reading() as session:
            found = await datasets.get(session, dataset)
            fields = (await datasets.fields_of(session, found))[found.id]
            made = await versions.list_versions(session, dataset)
        listed = [members(each, "fields", "table_name") for each in made]
        if as_json:
            return {
                **_shown(found),
                "fields": [each.as_json() for each in fields],
                "versions": listed,
            }
        told = [f"{one['number']} ({one['state']}, {one['row_count']})" for one in listed]
        named = [f"{each.name} ({each.label}, {each.type})" for each in fields]
        return {**_shown(found), "fields": named, "versions": told}

    show_one(run(act), as_json)


@app.command("files")
def list_files(dataset: Id, as_json: Json = False) -> None:
    """List the ready-made files. 作成済みのファイルを一覧する。"""

    async def act(shell: Shell) -> list[dict[str, Any]]:
        from app.catalogue import datasets, files  # noqa: PLC0415

        async with shell.database.reading() as session:
            await datasets.get(session, dataset)
            found = await files.load_files(session, dataset)
        return [
            {
                "name": each.name, "format": each.format, "version": each.version,
                "revision": each.revision, "size": each.size, "sha256": each.sha256,
                "reason": each.reason, "made_at": each.made_at,
            }
            for each in found
        ]  # fmt: skip

    show_many(run(act), as_json, ("name", "format", "size", "reason", "made_at"))


@app.command()
def add(
    file: Annotated[
        Path, typer.Argument(help="JSON: the body of POST /v1/datasets; README.md holds an example")
    ],
    as_json: Json = False,
) -> None:
    """Register a dataset; the file names its publisher. データセットを登録する。"""
    new = _read(file)

    async def act(shell: Shell) -> "Dataset":
        from app.catalogue import datasets  # noqa: PLC0415

        async with shell.database.writing() as session:
            return await datasets.register(session, new, by=shell.by)

    show_one(_shown(run(act)), as_json)


def _read(path: Path) -> "NewDataset":
    """The dataset that a file describes, checked by the shape of the API."""
    from pydantic import ValidationError  # noqa: PLC0415

    from app.api.dataset_shapes import DatasetIn  # noqa: PLC0415
    from app.api.datasets import new_dataset  # noqa: PLC0415
    from app.api.input_words import faults_of  # noqa: PLC0415

    try:
        return new_dataset(DatasetIn.model_validate_json(told_in(path)), None)
    except OSError as exc:
        raise typer.BadParameter(f"{path}: {exc.strerror}") from exc
    except ValidationError as exc:
        located = [{**each, "loc": ("body", *each["loc"])} for each in exc.errors()]
        raise DatasetFileWrong(path=path, faults=faults_of(located)) from exc


@app.command()
def publish(
    dataset: Id,
    number: Annotated[int | None, typer.Option("--version", help="The newest if absent")] = None,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Fields that break readers are meant so")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a loaded version the one that readers get. 版を公開する。"""

    async def act(shell: Shell) -> dict[str, Any]:
        from app.catalogue import datasets, versions  # noqa: PLC0415
        from app.catalogue.refusals import VersionNotFound  # noqa: PLC0415

        async with shell.database.writing() as session:
            found = await datasets.get(session, dataset, lock=True)
            wanted = number
            if wanted is None:
                made = await versions.list_versions(session, dataset)
                if not made:
                    raise VersionNotFound(dataset=dataset, number="-")
                wanted = made[0].number
            version = await versions.get(session, dataset, wanted)
            await versions.publish(session, found, version, by=shell.by, confirmed=confirm)
        return members(version, "fields", "table_name")

    show_one(run(act), as_json)


@app.command()
def withdraw(
    dataset: Id,
    reason: Annotated[str, typer.Option(help="Every reader is told it. 利用者に示す理由")],
    as_json: Json = False,
) -> None:
    """End a dataset: readers get 410 with the reason. データセットの公開を取りやめる。"""

    async def act(shell: Shell) -> "Dataset":
        from app.catalogue import datasets  # noqa: PLC0415

        async with shell.database.writing() as session:
            return await datasets.withdraw(session, dataset, reason=reason, by=shell.by)

    show_one(_shown(run(act)), as_json)


@app.command()
def reinstate(
    dataset: Id,
    reason: Annotated[str, typer.Option(help="It stands in the log. 記録に残す理由")],
    as_json: Json = False,
) -> None:
    """Take a withdrawal back: the same addresses answer again. 取りやめた公開を元に戻す。"""

    async def act(shell: Shell) -> "Dataset":
        from app.catalogue import datasets  # noqa: PLC0415

        async with shell.database.writing() as session:
            return await datasets.reinstate(session, dataset, reason=reason, by=shell.by)

    show_one(_shown(run(act)), as_json)
