"""Feeds and telegrams that are made up here, in the forms of RSS 2.0, Atom and 気象庁防災情報XML.

SYNTHETIC: every name, code and warning in them was invented for tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from tests.connectors.sources import Asked, reply

_JMX = "http://xml.kishou.go.jp/jmaxml1/"


def atom(entries: Sequence[tuple[str, str, str]]) -> bytes:
    """An Atom feed of (id, title, link)."""
    inner = "".join(
        f'<entry><id>{escape(name)}</id><title>{escape(title)}</title><link href="{escape(link)}"/>'
        f"<updated>2026-11-29T00:00:00Z</updated></entry>"
        for name, title, link in entries
    )
    head = '<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom">'
    return f"{head}<title>架空</title>{inner}</feed>".encode()


def telegram(
    event: str = "",
    *,
    sent: str = "2026-11-29T00:00:00Z",
    status: str = "通常",
    what: str = "発表",
    until: str = "",
    headline: str = "架空の警報",
    areas: Sequence[tuple[str, str]] = (("2799100", "架空市"),),
    kind: str = "架空警報",
) -> bytes:
    """A telegram about some places."""
    its = "".join(f"<Area><Name>{name}</Name><Code>{code}</Code></Area>" for code, name in areas)
    item = (
        f"<Item><Kind><Name>{kind}</Name><Code>99</Code></Kind>"
        f'<Areas codeType="気象・地震・火山情報／市町村等">{its}</Areas></Item>'
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><Report xmlns="{_JMX}" xmlns:jmx="{_JMX}"><Control>'
        f"<Title>架空情報</Title><DateTime>{sent}</DateTime><Status>{status}</Status>"
        f"<EditorialOffice>架空気象台</EditorialOffice></Control>"
        f'<Head xmlns="{_JMX}informationBasis1/"><Title>架空地方</Title>'
        f"<ReportDateTime>2026-11-29T09:00:00+09:00</ReportDateTime><EventID>{event}</EventID>"
        f"<ValidDateTime>{until}</ValidDateTime><InfoType>{what}</InfoType><Headline>"
        f"<Text>{headline}</Text><Information>{item if areas else ''}</Information></Headline></Head>"
        f"<Body/></Report>"
    ).encode()


@dataclass(slots=True)
class Office:
    """Who publishes telegrams in a feed, the newest first. Tells of the feed by a tag."""

    telegrams: dict[str, bytes] = field(default_factory=dict)  # by path, in the order they came
    lost: set[str] = field(default_factory=set)

    def answer(self, asked: Asked) -> bytes:
        """The feed or a telegram."""
        if asked.path in self.lost:
            return reply(b"", "404 Not Found")
        if asked.path in self.telegrams:
            return reply(self.telegrams[asked.path], kind="application/xml")
        tag = f'"{len(self.telegrams)}"'
        if asked.headers.get("if-none-match") == tag:
            return reply(b"", "304 Not Modified")
        listed = [(path, "架空情報", path) for path in reversed(self.telegrams)]
        return reply(atom(listed), kind="application/atom+xml", ETag=tag)

    def publish(self, body: bytes) -> None:
        """One more."""
        self.telegrams[f"/{len(self.telegrams) + 1}.xml"] = body
