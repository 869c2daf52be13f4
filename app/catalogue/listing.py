"""Many datasets as the rules see them, in a constant number of statements. Reads only."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.catalogue.views import view_facts
from app.policy.facts import DatasetFacts

# Of the fields only what rules look at: their JSON as a whole would be most of the answer.
_SELECT: Final = text("""
SELECT d.id, d.title_ja, d.title_en, d.publisher_id, d.data_class, d.zone, d.state = 'withdrawn',
       d.suppression IS NOT NULL,
       ARRAY(SELECT f ->> 'name' FROM jsonb_array_elements(kept.fields) f),
       ARRAY(SELECT coalesce(f ->> 'visibility', d.data_class) FROM jsonb_array_elements(kept.fields) f),
       (SELECT jsonb_agg(jsonb_build_array(p.purpose, p.columns, p.rows, p.consent))
        FROM purpose_view p WHERE p.dataset_id = d.id),
       d.subject
FROM dataset d LEFT JOIN version v ON v.dataset_id = d.id AND v.number = d.current_version
CROSS JOIN LATERAL (SELECT coalesce(v.fields, d.fields, '[]'::jsonb) AS fields) kept
WHERE (NOT d.hidden OR d.publisher_id = :viewer) AND d.id > :after ORDER BY d.id LIMIT :most
""")
_BODIES: Final = text(
    "SELECT id, coalesce(body_of(id), id) FROM organization WHERE id IN :publishers"
).bindparams(bindparam("publishers", expanding=True))


@dataclass(frozen=True, slots=True)
class Listed:
    """A dataset's name beside its facts."""

    title_ja: str
    title_en: str | None
    facts: DatasetFacts


async def list_facts(
    session: AsyncSession, *, viewer: str, after: str | None, most: int
) -> list[Listed]:
    """By id, withdrawn ones too; hidden ones are their publisher's to see."""
    asked = {"viewer": viewer, "after": after or "", "most": most}
    rows = (await session.execute(_SELECT, asked)).all()
    publishers = sorted({row[3] for row in rows})
    found = await session.execute(_BODIES, {"publishers": publishers})
    bodies: dict[str, str] = {each: body for each, body in found}
    return [_listed(row, bodies[row[3]]) for row in rows]


def _listed(row: Any, body_id: str) -> Listed:
    dataset_id, title_ja, title_en, publisher_id, data_class, zone, *rest = row
    withdrawn, aggregate_only, names, seen_by, views, subject = rest
    facts = DatasetFacts(
        id=dataset_id,
        data_class=data_class,
        zone=zone,
        publisher_id=publisher_id,
        body_id=body_id,
        columns=tuple(zip(names, seen_by, strict=True)),
        withdrawn=withdrawn,
        aggregate_only=aggregate_only,
        views=tuple(view_facts(*view) for view in views or ()),
        subject=subject,
    )
    return Listed(title_ja, title_en, facts)
