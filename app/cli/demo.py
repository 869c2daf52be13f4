"""`urbanos demo`: a whole platform on one machine, with made-up data, and what to try on it."""

import asyncio
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.serve import Host, Port
from app.cli.shell import embedded_or, read_settings
from app.cli.words import Json, note, said, show_json

if TYPE_CHECKING:
    from app.kit.settings import Settings


def demo(
    host: Host = None,
    port: Port = None,
    only_prepare: Annotated[
        bool, typer.Option("--only-prepare", help="Load the samples and stop")
    ] = False,
    as_json: Json = False,
) -> None:
    """Serve with an embedded database and made-up samples. 見本データ付きで起動する。"""
    from app.cli.serving import serve_until_stopped  # noqa: PLC0415

    # Its console is for what to try; the log of calls is wanted by those who ask for it.
    level = None if "URBANOS_LOG_LEVEL" in os.environ else "WARNING"
    # The provider of made-up citizens runs on this machine, if anybody starts it.
    near = None if "URBANOS_OUTBOUND_ALLOW" in os.environ else "127.0.0.1"
    settings = read_settings(host=host, port=port, log_level=level, outbound_allow=near)

    def ready() -> None:
        if as_json:
            show_json(tour(settings))
        else:
            typer.echo(_guide(settings))

    if only_prepare:
        asyncio.run(_prepare_alone(settings))
        return
    serve_until_stopped(settings, worker=True, prepare=_migrate, furnish=_furnish, ready=ready)


async def _prepare_alone(settings: "Settings") -> None:
    from app.cli.serving import supervised_worker  # noqa: PLC0415

    async with embedded_or(settings) as url:
        await _migrate(settings, url)
        async with supervised_worker(settings, url):
            await _furnish(settings, url)


async def _migrate(_settings: "Settings", url: str) -> None:
    from app.cli.profile import add_built_in  # noqa: PLC0415
    from app.kit import migrations  # noqa: PLC0415

    found = await migrations.current(url)
    if found != migrations.newest():
        note("データベースを準備しています…", "Preparing the database …")
        await asyncio.to_thread(migrations.upgrade, url)
    await add_built_in(url)


async def _furnish(settings: "Settings", url: str) -> None:
    from app.cli.demo_world import furnish  # noqa: PLC0415

    await furnish(settings, url)


def tour(settings: "Settings") -> dict[str, str]:
    """The calls to try, ready to paste."""
    base = settings.issuer
    urbanos = shlex.quote(_short(sys.argv[0]))
    key = shlex.quote(_short(settings.home / "keys" / "demo-sakai.jwk"))
    away = "" if base == "http://127.0.0.1:8000" else f" --url {base}"
    # Restricted data leaves on a token that is bound to its sender: one for each call.
    sakai = (
        f"sakai() {{ {urbanos} token --client demo-sakai --key {key}"
        f' --scope dataset:demo-inspections:read{away} --dpop GET "$1" | curl -H @- "$@"; }}'
    )
    records = f"{base}/v1/datasets/demo-inspections/records?purpose=disaster-response&limit=2"
    at = "" if not away else f"URBANOS_PUBLIC_URL={base} "
    return {
        "docs": f"{base}/docs",
        # curl sends an address as it is typed, and Japanese in one is not HTTP.
        "public": f"curl -G '{base}/v1/datasets/demo-shelters/records'"
        " -d limit=2 --data-urlencode 'ward=北架空区'",
        "sakai": sakai,
        "allowed": f"sakai '{records}'",
        "refused": f"sakai '{records}&fields=key_location'",
        "citizen": f"{urbanos} test-issuer",
        "staff": f"{at}{urbanos} user add --organization 271403 --name '架空 花子'"
        " --email hanako@example.jp --role steward",
    }


def _short(path: str | Path) -> str:
    """The path as one would type it from here."""
    return min(os.path.relpath(path), str(Path(path).absolute()), key=len)


def _guide(settings: "Settings") -> str:
    calls = tour(settings)
    keys, base = _short(settings.home / "keys"), settings.issuer
    parts = (
        (said("API文書", "The API, to read"), "docs"),
        (said("公開データ（トークン不要）", "Public data, without a token"), "public"),
        (said(f"堺市（見本）として呼ぶ: 呼出しごとに、鍵に結び付くトークンで（鍵は {keys}/）",
              f"To call as Sakai: with a token of its own for each call (keys in {keys}/)"),
         "sakai"),
        (said("許可される要求: 利用協定の列", "Allowed: the columns that were agreed on"),
         "allowed"),
        (said("拒否される要求: 協定にない列「鍵の保管場所」",
              "Refused, and told why: a column that was not agreed on"), "refused"),
        (said(f"職員の登録: 表示されるリンクでパスワードを決め、{settings.issuer}/sign-in へ",
              f"A member of staff: set a password at the link, then {settings.issuer}/sign-in"),
         "staff"),
        (said(f"住民として試す: 別の端末で起動し、{base}/me へ",
              f"As a made-up citizen: start this beside it, then {base}/me"), "citizen"),
    )  # fmt: skip
    lines = [said(f"起動しました: {settings.issuer}", f"Serving at {settings.issuer}")]
    for title, name in parts:
        lines += ["", f"# {title}", calls[name]]
    return "\n".join([*lines, "", said("終了は Ctrl-C", "Ctrl-C stops everything.")])
