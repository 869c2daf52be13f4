"""The lock-in score: its parts add up, each mend lowers it, and old findings can be scored anew."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.systems import lock_in
from app.systems.description import Description
from app.systems.lock_in import BUILT_IN, Proof, Signs, score_of, signs_of

TODAY = date(2026, 11, 29)
WORST: dict[str, Any] = {
    "name": "古い台帳", "function": "ledger",
    "contract": {"since": "2006-04-01", "renewals": 5, "bidders": 1},
    "interfaces": [{"name": "独自", "standard": False}], "export": {"formats": []},
    "customisation": "full", "documentation": "none", "succession": "high",
}  # fmt: skip
BEST: dict[str, Any] = {
    "name": "新しい台帳", "function": "ledger",
    "contract": {"since": "2026-11-29", "renewals": 0, "bidders": 3},
    "interfaces": [{"name": "linkage-v1", "standard": True}], "export": {"formats": ["csv"]},
    "certificates": [{"name": "linkage-v1 core", "until": "2027-03-31"}],
    "customisation": "none", "documentation": "full", "succession": "low",
}  # fmt: skip


def scored(
    told: dict[str, Any], proof: Proof | None = None, *, certified: bool = False
) -> lock_in.Score:
    said = Description.model_validate(told)
    return score_of(signs_of(said, proof, TODAY, certified=certified), BUILT_IN)


def part(score: lock_in.Score, name: str) -> lock_in.Part:
    (found,) = [each for each in score.parts if each.name == name]
    return found


def test_who_can_leave_scores_nothing_and_who_cannot_scores_all() -> None:
    free, held = scored(BEST, Proof(TODAY, 10), certified=True), scored(WORST)
    told = {part.name: (part.ja, part.en) for part in (*free.parts, *held.parts)}

    assert (free.score, held.score) == (Decimal(0), Decimal(100))
    assert all(each.mend_ja is None for each in free.parts)
    assert told["customisation"] == ("個別改修: 全般。", "Customisation: full.")
    assert told["certificate"][0] == "適合証明の申告: なし、公開一覧での確認: なし。"
    assert told["certificate"][1].startswith("A certificate is told of: no;")
    assert all(each.mend_ja and each.mend_en for each in held.parts)


def test_what_nobody_has_said_counts_in_full_and_says_so() -> None:
    score = scored({"name": "何か", "function": "ledger"})

    assert score.score == 100
    assert [each.name for each in score.parts if each.known] == ["certificate"]
    assert part(score, "bidders").en == "Not known: it counts in full."


@pytest.mark.parametrize(
    ("proof", "points"),
    [
        (None, "10.0"),
        (Proof(TODAY, 0), "10.0"),  # a load that took nothing in
        (Proof(date(2024, 11, 28), 10), "10.0"),  # two years and a day ago
        (Proof(date(2024, 11, 29), 10), "0.0"),
    ],
)
def test_an_export_is_proven_by_rows_that_were_loaded_lately(
    proof: Proof | None, points: str
) -> None:
    score = scored(BEST, proof)

    assert part(score, "export").points == Decimal(points)


def test_a_certificate_that_is_told_of_counts_half_to_its_last_day_and_a_proven_one_whole() -> None:
    day = {**BEST, "certificates": [{"name": "core", "until": "2026-11-29"}]}
    over = {**BEST, "certificates": [{"name": "core", "until": "2026-11-28"}]}

    assert part(scored(day), "certificate").points == 5
    assert part(scored(over), "certificate").points == 10
    assert part(scored(over, certified=True), "certificate").points == 0


def test_a_diagnosis_from_before_certificates_were_proven_keeps_its_score() -> None:
    kept = signs_of(Description.model_validate(BEST), None, TODAY).as_json()
    del kept["certificate_proven"]

    assert part(score_of(Signs(**kept), BUILT_IN), "certificate").points == 0


_SIGNS = st.builds(
    Signs,
    years=st.none() | st.floats(-1, 60).map(lambda n: round(n, 1)),
    renewals=st.none() | st.integers(0, 100),
    interfaces=st.just(7),
    standard_interfaces=st.none() | st.integers(0, 7),
    export_formats=st.none() | st.integers(0, 20),
    export_proven=st.booleans(),
    certified=st.booleans(),
    certificate_proven=st.sampled_from([None, True, False]),
    bidders=st.none() | st.integers(0, 10),
    customisation=st.sampled_from([None, "none", "some", "full"]),
    documentation=st.sampled_from([None, "none", "some", "full"]),
    succession=st.sampled_from([None, "low", "medium", "high"]),
)


@given(_SIGNS, st.permutations([15, 15, 20, 10, 15, 10, 5, 10]))
def test_the_parts_add_up_whatever_was_found_and_however_it_is_weighed(
    signs: Signs, shares: list[int]
) -> None:
    weights = dict(zip(lock_in.NAMES, shares, strict=True))

    score = score_of(signs, weights)
    again = score_of(Signs(**signs.as_json()), weights)

    assert lock_in.checked(weights)
    assert score == again
    assert score.score == sum(each.points for each in score.parts)
    assert 0 <= score.score <= 100
    assert all(0 <= each.points <= each.weight for each in score.parts)
