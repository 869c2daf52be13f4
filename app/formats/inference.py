"""Chooses fields for a file that nobody declared, on all its rows; it never rejects by guessing."""

import re
from collections.abc import Sequence
from dataclasses import replace

from app.formats.columns import trimmed
from app.formats.dates import DateOrder
from app.formats.declared_key import DeclaredKey
from app.formats.evidence import Evidence, SwapProof, sample_cells, settled
from app.formats.guidance import Notice
from app.formats.labels import fold, machine_names, standard_type
from app.formats.mapping import Source
from app.formats.placing import plane_columns
from app.formats.proof import (
    COORDINATE_SHARE,
    COORDINATES,
    NUMBERS,
    ColumnProof,
    candidates,
    hint,
    plausible,
)
from app.formats.survey import Chosen, Survey
from app.query.fields import Field, FieldType

_KEY_NAME = re.compile(
    r"^(?:id|no\.?|code|cd|コード|番号|管理番号|整理番号)$|id$|番号$|コ-ド$|_no$"
)

_SHARED = frozenset({FieldType.PHONE, FieldType.POSTAL_CODE})  # one office may have several rows

_NEARLY = 0.95
_FIRST = 20


def infer(survey: Survey) -> Survey:
    """The survey with fields chosen for every column of the file."""
    types = survey.head.types or (None,) * len(survey.head.labels)
    proofs = [
        ColumnProof(label, [kind] if kind else candidates(label), kind)
        for label, kind in zip(survey.head.labels, types, strict=True)
    ]
    for at, proof in enumerate(proofs):
        if proof.declared is None:
            proof.candidates = plausible(proof.candidates, sample_cells(survey, at)[:_FIRST])
        proof.keys = [] if _is_key_name(proof.label) else None
    evidence = Evidence()
    declared = DeclaredKey.of(survey.head)
    pairs = _pairs(proofs)
    for batch in survey.table.batches():
        evidence.rows += batch.frame.height
        cells = [trimmed(column) for column in batch.frame.get_columns()]
        for proof, column in zip(proofs, cells, strict=True):
            proof.add(column)
        if declared is not None:
            declared.add(cells)
        for lat, lon in pairs:
            evidence.swaps.setdefault((lat, lon), SwapProof()).add(cells[lat], cells[lon])
    key = _key(proofs)
    keys: tuple[int, ...] = () if key is None else (key,)
    if declared is not None:
        keys, notices = declared.settle()
        survey = replace(survey, notices=(*survey.notices, *notices))
    return _chosen(survey, proofs, evidence, keys)


def _pairs(proofs: list[ColumnProof]) -> list[tuple[int, int]]:
    lats = [at for at, proof in enumerate(proofs) if FieldType.LATITUDE in proof.candidates]
    lons = [at for at, proof in enumerate(proofs) if FieldType.LONGITUDE in proof.candidates]
    return list(zip(lats, lons, strict=False))


def _chosen(
    survey: Survey, proofs: list[ColumnProof], evidence: Evidence, keys: tuple[int, ...]
) -> Survey:
    has_header = survey.head.header_line is not None
    notices = list(survey.notices)
    kinds = []
    swaps = {at for pair, swap in evidence.swaps.items() if swap.holds for at in pair}
    for at, proof in enumerate(proofs):
        kind = hint(proof.label) if at in swaps else _kind(proof, has_header)
        kinds.append(kind or FieldType.TEXT)
        notice = _notice(proof, kinds[-1])
        if notice is not None:
            notices.append(notice)
    _unpair(kinds, proofs)
    notices += _lost_coordinates(kinds, proofs)
    notices += _unplaced(kinds, survey.head.labels)
    names = machine_names(survey.head.labels)
    sources = tuple(
        Source(
            Field(
                names[at],
                f"c{at + 1:03d}",
                proof.label,
                kinds[at],
                key=at in keys,
                unit=proof.unit if kinds[at] in NUMBERS else None,
            ),
            column=at,
        )
        for at, proof in enumerate(proofs)
    )
    sources += _pair_in_one_cell(proofs, sources, survey)
    for at, proof in enumerate(proofs):
        if kinds[at] in (FieldType.DATE, FieldType.DATETIME):
            evidence.dates[names[at]] = proof.dates
    chosen = tuple(
        _why(proof, source.field) for proof, source in zip(proofs, sources, strict=False)
    )
    return settled(
        replace(survey, sources=sources, notices=tuple(notices), chosen=chosen), evidence
    )


def _why(proof: ColumnProof, field: Field) -> Chosen:
    known = hint(proof.label)
    basis = "values"
    if proof.declared is not None:
        basis = "format"
    elif not proof.filled:
        basis = "empty"
    elif field.type is FieldType.TEXT:
        basis = "text"
    elif known is field.type:
        basis = "heading"
    sure = proof.share(field.type)
    if basis == "text":  # the less some other type would have read, the surer
        sure = 1 - max((proof.share(kind) for kind in proof.candidates), default=0.0)
    return Chosen(
        proof.label, field.name, field.type.value, basis, round(sure, 4), proof.filled,
        proof.nulls, field.unit,
    )  # fmt: skip


def _pair_in_one_cell(
    proofs: list[ColumnProof], sources: tuple[Source, ...], survey: Survey
) -> tuple[Source, ...]:
    """Latitude and longitude of a column that holds both; the column itself stays as it is."""
    if any(source.field.type in COORDINATES for source in sources):
        return ()
    at = next((at for at, proof in enumerate(proofs) if proof.filled and proof.in_one_cell), None)
    if at is None:
        return ()
    first, second = r"^[^0-9]*([0-9.]+)", r"[,、，]\s*([0-9.]+)"
    sample = next(filter(None, sample_cells(survey, at)), "")
    if re.match(r"[^0-9]*1[0-9]{2}\.", sample):  # 122 to 154.5 can only be a longitude
        first, second = second, first
    taken = {source.field.name for source in sources}
    made: list[Source] = []
    for kind, label, pattern in (
        (FieldType.LATITUDE, "緯度", first),
        (FieldType.LONGITUDE, "経度", second),
    ):
        name = kind.value if kind.value not in taken else f"{kind.value}_value"
        field = Field(name, f"c{len(sources) + len(made) + 1:03d}", label, kind)
        made.append(Source(field, column=at, pattern=pattern))
    return tuple(made)


def _kind(proof: ColumnProof, has_header: bool) -> FieldType:
    if proof.declared is not None:
        return proof.declared
    if not proof.filled:
        return standard_type(proof.label) or FieldType.TEXT
    known = hint(proof.label)
    if known is not None and _hint_holds(proof, known):
        return known
    # Without a heading, equally long numbers are rather numbers of something than amounts.
    fixed = not has_header and len(proof.lengths) == 1 and min(proof.lengths) >= 5
    if (proof.leading_zero or fixed) and proof.reads_all(FieldType.INTEGER):
        return FieldType.CODE
    if proof.leading_zero:
        return FieldType.TEXT
    general = (kind for kind in proof.candidates if kind not in COORDINATES)
    return next((kind for kind in general if _is_read(proof, kind)), FieldType.TEXT)


def _hint_holds(proof: ColumnProof, known: FieldType) -> bool:
    """Whether the heading's word is borne out; a few bad coordinates are refused later."""
    if known not in COORDINATES:
        return _is_read(proof, known)
    good = proof.filled - proof.failures.get(known, 0)
    return known in proof.candidates and good >= proof.filled * COORDINATE_SHARE


def _is_read(proof: ColumnProof, kind: FieldType) -> bool:
    if kind is FieldType.PHONE and kind in proof.candidates:
        return True  # what is no number stays as it is, and no row is lost
    if not proof.reads_all(kind):
        return False
    if kind in (FieldType.DATE, FieldType.DATETIME) and proof.dates.seen:
        return proof.dates.order is not DateOrder.UNKNOWN
    if kind in NUMBERS and not proof.has_one_unit:
        return False
    return not (kind is FieldType.INTEGER and proof.leading_zero)


def _notice(proof: ColumnProof, kind: FieldType) -> Notice | None:
    """Why a column stays text, where the clerk would have expected something else."""
    if not proof.filled:
        return Notice("column_empty", {"label": proof.label})
    if kind is not FieldType.TEXT:
        return None
    if proof.exponents:
        return Notice("exponents_kept", {"label": proof.label, "count": proof.exponents})
    if proof.dates.seen and FieldType.DATE in proof.candidates:
        return Notice("ambiguous_dates", {"label": proof.label})
    for candidate in proof.candidates:
        bad = proof.failures.get(candidate, 0)
        if 0 < bad <= proof.filled * (1 - _NEARLY):
            details = {"label": proof.label, "type": candidate.value, "count": bad}
            return Notice("mixed_values", details)
    return None


def _unpair(kinds: list[FieldType], proofs: list[ColumnProof]) -> None:
    """A latitude without a longitude (or the reverse) is only a number."""
    if kinds.count(FieldType.LATITUDE) == kinds.count(FieldType.LONGITUDE):
        return
    for at, kind in enumerate(kinds):
        if kind in COORDINATES:
            is_number = proofs[at].reads_all(FieldType.DECIMAL)
            kinds[at] = FieldType.DECIMAL if is_number else FieldType.TEXT


def _lost_coordinates(kinds: list[FieldType], proofs: list[ColumnProof]) -> list[Notice]:
    """Columns named like a coordinate that were not taken as one: no map will show them."""
    return [
        Notice("not_taken_as_coordinate", {"label": proof.label, "type": kind.value})
        for kind, proof in zip(kinds, proofs, strict=True)
        if proof.filled and kind not in COORDINATES and hint(proof.label) in COORDINATES
    ]


def _unplaced(kinds: list[FieldType], labels: Sequence[str]) -> list[Notice]:
    """Numbers under X座標 and Y座標 (or 北距 and 東距) of a system that nobody has said."""
    pair = plane_columns(labels)
    if pair is None or COORDINATES & set(kinds) or any(kinds[at] not in NUMBERS for at in pair):
        return []
    return [Notice("coordinates_unplaced", {"north": labels[pair[0]], "east": labels[pair[1]]})]


def _is_key_name(label: str) -> bool:
    """Whether a heading speaks of a number of the row's own: 電話番号 and 郵便番号 do not."""
    return bool(_KEY_NAME.search(fold(label))) and hint(label) not in _SHARED


def _key(proofs: list[ColumnProof]) -> int | None:
    """The first column named like an ID that is complete and unique; plain names go first."""
    ranked = sorted(
        (at for at, proof in enumerate(proofs) if proof.keys),
        key=lambda at: (not re.fullmatch(r"id|no\.?|code|番号|コ-ド", fold(proofs[at].label)), at),
    )
    return next((at for at in ranked if proofs[at].is_key), None)
