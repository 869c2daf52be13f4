"""What the server has above public that the judge may look at, and how it is read. Writes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.certify.cases.asking import code_of
from app.certify.client import Exchange, Server
from app.certify.granted import Token, call, client_of, entitled
from app.certify.judge import NotShown, not_unless

_GUARDED: Final = ("internal", "restricted", "personal")


@dataclass(frozen=True, slots=True)
class Guarded:
    """A dataset above public, as the catalogue tells of it."""

    id: str
    data_class: str
    fields: Sequence[str]

    @property
    def base(self) -> str:
        """Of all that is read of it."""
        return f"/v1/datasets/{self.id}"

    @property
    def path(self) -> str:
        """Of its records."""
        return f"{self.base}/records"

    @property
    def scope(self) -> str:
        """That reads it."""
        return f"dataset:{self.id}:read"


async def guarded_of(server: Server) -> Guarded:
    """The dataset that was named, or the first above public that is listed. Raises `NotShown`."""
    found: Guarded = await server.once("guarded", lambda: _find(server))
    return found


async def _find(server: Server) -> Guarded:
    named, entries = server.lent.guarded, []
    if named is not None:
        entries = [(await server.get(f"/v1/datasets/{named}")).json]
    else:
        for name in _GUARDED:
            listed = await server.get("/v1/datasets", {"class": name, "limit": 10})
            told = listed.member("datasets")
            entries += told if isinstance(told, list) else []
    for each in entries:
        if isinstance(each, dict) and each.get("data_class") in _GUARDED:
            fields = each.get("fields") or []
            names = [str(one["name"]) for one in fields if isinstance(one, dict) and "name" in one]
            return Guarded(str(each["id"]), str(each["data_class"]), names)
    not_unless(
        not any(isinstance(each, dict) and each.get("data_class") == "public" for each in entries),
        f"{named} is public", f"{named} は公開データです",
    )  # fmt: skip
    if named is not None:  # it may be known to those alone who show a token
        return Guarded(named, "", ())
    raise NotShown(
        "no dataset above public is listed; name one with --guarded",
        "公開以外のデータセットが一覧にありません。--guarded で指定してください",
    )


async def read_guarded(
    server: Server, token: Token | None, guarded: Guarded, **query: Any
) -> Exchange:
    """The records of the guarded dataset for the purpose that was lent."""
    told = {"purpose": server.lent.purpose, **query}
    asked = {name: value for name, value in told.items() if value is not None}
    return await call(server, token, "GET", guarded.path, asked)


async def reading(server: Server) -> tuple[Guarded, Token]:
    """The guarded dataset and a token to read it with. Raises `NotShown`."""
    if server.token is None:
        client_of(server)  # nobody is asked in vain
    guarded = await guarded_of(server)
    return guarded, await entitled(server, guarded.scope)


async def readable(server: Server) -> tuple[Guarded, Token, Exchange]:
    """A token that reads the guarded dataset, and what it read. Raises `NotShown`."""
    guarded, token = await reading(server)
    page = await server.once("readable", lambda: read_guarded(server, token, guarded, limit=100))
    not_unless(
        page.status == 200,
        f"the lent client cannot read {guarded.id} for {server.lent.purpose}: {code_of(page)}",
        f"貸与されたクライアントは {guarded.id} を利用目的 {server.lent.purpose} で"
        f"読めません（{code_of(page)}）",
    )
    return guarded, token, page
