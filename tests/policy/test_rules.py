"""The rules alone: no by default, and never more than was agreed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.policy.facts import Action, AgreementFacts, Caller, ClientFacts, DatasetFacts, Facts
from app.policy.moments import same_until
from app.policy.rules import decide
from app.policy.verdicts import Allow, Deny, Reason

NOW = datetime(2026, 4, 1, tzinfo=UTC)
CLASSES = ("public", "internal", "restricted", "personal", "specific-personal", "secret")
COLUMNS = ("name", "phone", "note")
ORGANIZATIONS = ("271004", "271004-kenko", "271403")

client = st.builds(
    ClientFacts,
    client_id=st.just("c"),
    organization_id=st.sampled_from(ORGANIZATIONS),
    body_id=st.sampled_from(("271004", "271403")),
    line=st.just(frozenset[str]()),
    roles=st.just(frozenset[str]()),
    zone=st.sampled_from(("internet", "lgwan")),
    auth_method=st.sampled_from(("private_key_jwt", "client_secret_basic")),
    revoked=st.booleans(),
)
caller = st.builds(
    Caller,
    client=client,
    scope=st.frozensets(st.sampled_from(("dataset:d:read", "dataset:d:write", "dataset:e:read"))),
    bound=st.booleans(),
)
agreement = st.builds(
    AgreementFacts,
    id=st.just("a"),
    consumer_id=st.sampled_from(ORGANIZATIONS),
    actions=st.frozensets(st.sampled_from(("read", "write"))),
    purpose=st.sampled_from(("welfare", "health")),
    columns=st.frozensets(st.sampled_from(COLUMNS)),
    state=st.sampled_from(("active", "suspended", "revoked", "no-such-state")),
    valid_from=st.sampled_from((NOW - timedelta(1), NOW, NOW + timedelta(1))),
    valid_until=st.sampled_from((NOW - timedelta(hours=1), NOW, NOW + timedelta(2))),
)
dataset = st.builds(
    DatasetFacts,
    id=st.just("d"),
    data_class=st.sampled_from(CLASSES),
    zone=st.sampled_from(("internet", "lgwan")),
    publisher_id=st.sampled_from(ORGANIZATIONS),
    body_id=st.sampled_from(("271004", "271403")),
    columns=st.tuples(
        *(st.tuples(st.just(name), st.sampled_from(CLASSES[:4])) for name in COLUMNS)
    ),
    withdrawn=st.booleans(),
    aggregate_only=st.booleans(),
)
facts = st.builds(
    Facts,
    action=st.sampled_from(Action),
    dataset=dataset,
    caller=st.none() | caller,
    purpose=st.sampled_from((None, "welfare", "health", "nonsense")),
    zone=st.sampled_from(("internet", "lgwan")),
    agreements=st.tuples(agreement) | st.tuples(agreement, agreement) | st.just(()),
    purposes=st.just(frozenset({"welfare", "health"})),
    now=st.just(NOW),
)


@given(facts)
def test_what_is_neither_public_nor_own_nor_of_the_body_needs_an_agreement_in_force(
    asked: Facts,
) -> None:
    decision = decide(asked)
    if not isinstance(decision, Allow) or decision.ground != "agreement":
        return
    assert asked.caller is not None
    in_force = [
        each
        for each in asked.agreements
        if each.consumer_id == asked.caller.client.organization_id
        and asked.action.needs in each.actions
        and each.state == "active"
        and each.valid_from <= NOW < each.valid_until
        and (asked.action is Action.WRITE or each.purpose == asked.purpose)
    ]
    public = {name for name, seen_by in asked.dataset.columns if seen_by == "public"}
    assert any(decision.columns <= each.columns | public for each in in_force)


@given(facts)
def test_every_yes_has_its_preconditions(asked: Facts) -> None:
    decision = decide(asked)
    if isinstance(decision, Deny):
        return
    kept = asked.dataset
    assert not kept.withdrawn
    assert kept.data_class in CLASSES[:4]
    if decision.ground == "public":
        seen_by = dict(kept.columns)
        assert asked.action is not Action.WRITE
        assert kept.data_class == "public"
        assert all(seen_by[name] == "public" for name in decision.columns)
        return
    assert asked.caller is not None
    assert not asked.caller.client.revoked
    assert f"dataset:d:{asked.action.needs}" in asked.caller.scope
    if kept.data_class != "public" or kept.zone != "internet":
        assert {kept.zone} == {asked.zone, asked.caller.client.zone}
    if kept.data_class in ("restricted", "personal"):
        assert asked.caller.bound
        assert asked.caller.client.auth_method == "private_key_jwt"
    if asked.action is not Action.WRITE:
        assert asked.purpose in asked.purposes


@given(facts)
def test_no_column_leaves_above_what_the_proof_of_identity_reaches(asked: Facts) -> None:
    decision = decide(asked)
    if isinstance(decision, Deny) or asked.caller is None:
        return
    is_strong = asked.caller.bound and asked.caller.client.auth_method == "private_key_jwt"
    reached = CLASSES[:4] if is_strong else CLASSES[:2]
    seen_by = dict(asked.dataset.columns)
    assert all(seen_by[name] in reached for name in decision.columns)


@given(facts)
def test_who_may_read_may_count_what_is_suppressed_and_nobody_else(asked: Facts) -> None:
    open_ = replace(asked, dataset=replace(asked.dataset, aggregate_only=False))
    counted = replace(asked, dataset=replace(asked.dataset, aggregate_only=True))

    assert decide(replace(open_, action=Action.READ)) == decide(
        replace(counted, action=Action.AGGREGATE)
    )


@given(facts)
def test_without_suppression_nothing_personal_is_counted_for_another_organisation(
    asked: Facts,
) -> None:
    plain_ = replace(asked.dataset, aggregate_only=False)

    decision = decide(replace(asked, action=Action.AGGREGATE, dataset=plain_))

    if isinstance(decision, Deny) or decision.ground == "own":
        return
    seen_by = dict(plain_.columns)
    assert plain_.data_class != "personal"
    assert "personal" not in {seen_by[name] for name in decision.columns}


@given(facts)
def test_where_records_are_only_counted_nobody_but_their_own_organisation_reads_one(
    asked: Facts,
) -> None:
    closed = replace(asked, action=Action.READ, dataset=replace(asked.dataset, aggregate_only=True))

    decision = decide(closed)

    assert isinstance(decision, Deny) or decision.ground == "own"


def plain() -> Facts:
    """A request under an agreement that is let through."""
    return Facts(
        action=Action.READ,
        dataset=DatasetFacts(
            "d", "restricted", "internet", "271004-kenko", "271004",
            (("name", "restricted"), ("phone", "restricted")),
        ),
        caller=Caller(
            ClientFacts(
                "c", "271403", "271403", frozenset({"271403"}), frozenset(), "internet",
                "private_key_jwt", revoked=False,
            ),
            frozenset({"dataset:d:read"}), bound=True,
        ),
        purpose="welfare",
        zone="internet",
        agreements=(
            AgreementFacts(
                "a", "271403", frozenset({"read"}), "welfare", frozenset({"name"}), "active",
                NOW - timedelta(1), NOW + timedelta(1),
            ),
        ),
        purposes=frozenset({"welfare", "health"}),
        now=NOW,
    )  # fmt: skip


def test_an_agreement_in_force_lets_its_columns_through_and_no_others() -> None:
    assert decide(plain()) == Allow(frozenset({"name"}), "agreement", "a")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"state": "suspended"}, Reason.AGREEMENT_SUSPENDED),
        ({"state": "revoked"}, Reason.AGREEMENT_REVOKED),
        ({"state": "no-such-state"}, Reason.AGREEMENT_SUSPENDED),
        ({"valid_until": NOW}, Reason.AGREEMENT_EXPIRED),
        ({"valid_from": NOW + timedelta(seconds=1)}, Reason.AGREEMENT_NOT_STARTED),
        ({"purpose": "health"}, Reason.PURPOSE_NOT_AGREED),
        ({"actions": frozenset({"write"})}, Reason.ACTION_NOT_AGREED),
        ({"columns": frozenset({"gone"})}, Reason.NO_COLUMNS),
        ({"consumer_id": "271004"}, Reason.NO_AGREEMENT),
    ],
)
def test_a_refusal_names_what_is_wrong_with_the_agreement(
    change: dict[str, object], reason: Reason
) -> None:
    asked = plain()
    broken = replace(asked.agreements[0], **change)  # type: ignore[arg-type]

    decision = decide(replace(asked, agreements=(broken,)))

    assert isinstance(decision, Deny)
    assert decision.reason is reason


def test_a_token_for_one_agreement_keeps_its_purpose_when_the_agreement_changes_its_own() -> None:
    asked = plain()
    assert asked.caller is not None
    bound_to_one = replace(asked.caller, agreement_id="a", purpose="health")

    assert isinstance(
        decide(replace(asked, caller=replace(bound_to_one, purpose="welfare"))), Allow
    )
    assert decide(replace(asked, caller=bound_to_one)) == Deny(
        Reason.PURPOSE_NOT_AGREED, {"purpose": "health"}
    )


@given(facts, st.timedeltas(timedelta(-3), timedelta(3)))
def test_a_verdict_stands_until_the_moment_that_is_told_and_no_longer(
    asked: Facts, later: timedelta
) -> None:
    asked = replace(asked, now=NOW - timedelta(2))
    moments = [asked.now]
    while (until := same_until(replace(asked, now=moments[-1]))) is not None:
        moments.append(until)

    at = NOW + later
    began = max((each for each in moments if each <= at), default=None)

    if began is not None:
        assert decide(replace(asked, now=at)) == decide(replace(asked, now=began))
    ends = {each for a in asked.agreements for each in (a.valid_from, a.valid_until)}
    assert set(moments[1:]) == {each for each in ends if each > asked.now}
