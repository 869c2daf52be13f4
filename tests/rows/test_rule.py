"""Which rows a verdict lets through: from one agreement, cut by the view, and never more."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from app.policy.facts import (
    Action,
    AgreementFacts,
    Caller,
    ClientFacts,
    DatasetFacts,
    Facts,
    PurposeView,
)
from app.policy.rules import decide
from app.policy.verdicts import Allow, Deny, Reason

NOW = datetime(2026, 4, 1, tzinfo=UTC)
COLUMNS = ("a", "b", "c")
AGREED = AgreementFacts(
    id="1", consumer_id="city", actions=frozenset({"read", "write"}), purpose="health",
    columns=frozenset(COLUMNS), state="active", valid_from=NOW - timedelta(1),
    valid_until=NOW + timedelta(1),
)  # fmt: skip
CLIENT = ClientFacts(
    client_id="c", organization_id="city", body_id="city", line=frozenset(), roles=frozenset(),
    zone="internet", auth_method="private_key_jwt", revoked=False,
)  # fmt: skip
some = st.none() | st.sampled_from(("x = 1", "y = 2"))
agreements = st.lists(
    st.builds(
        lambda columns, rows, per_day: replace(
            AGREED, columns=frozenset(columns), rows=rows, per_day=per_day
        ),
        st.sets(st.sampled_from(COLUMNS), min_size=1), some, st.none() | st.just(5),
    ),
    max_size=3,
).map(lambda found: tuple(replace(each, id=str(at)) for at, each in enumerate(found)))  # fmt: skip
views = st.none() | st.builds(
    PurposeView, st.sampled_from(("health", "welfare")),
    st.none() | st.frozensets(st.sampled_from(COLUMNS)), some,
)  # fmt: skip


def facts(
    *agreed: AgreementFacts,
    view: PurposeView | None = None,
    data_class: str = "restricted",
    action: Action = Action.READ,
    organization: str = "city",
    open_columns: frozenset[str] = frozenset(),
) -> Facts:
    """A request of the consumer's, or of another organisation."""
    dataset = DatasetFacts(
        id="d", data_class=data_class, zone="internet", publisher_id="ward", body_id="ward",
        columns=tuple((c, "public" if c in open_columns else "restricted") for c in COLUMNS),
        views=(view,) if view else (),
    )  # fmt: skip
    client = replace(CLIENT, organization_id=organization)
    caller = Caller(client, frozenset({"dataset:d:read", "dataset:d:write"}), bound=True)
    return Facts(
        action=action, dataset=dataset, caller=caller, purpose="health", zone="internet",
        agreements=agreed, purposes=frozenset({"health", "welfare"}), now=NOW,
    )  # fmt: skip


@given(agreements, views)
def test_what_leaves_was_let_out_by_one_agreement_and_by_the_view(
    agreed: tuple[AgreementFacts, ...], view: PurposeView | None
) -> None:
    decision = decide(facts(*agreed, view=view))
    if isinstance(decision, Deny):
        return
    ground = next(each for each in agreed if each.id == decision.agreement_id)
    assert decision.columns <= ground.columns
    assert ground.rows is None or ground.rows in decision.rows
    assert decision.per_day == ground.per_day
    if view is not None and view.purpose == "health":
        assert view.columns is None or decision.columns <= view.columns
        assert view.rows is None or view.rows in decision.rows
    assert set(decision.rows) <= {ground.rows, view.rows if view else None}


@given(agreements, views)
def test_the_publisher_itself_is_bounded_by_no_view_and_no_agreement(
    agreed: tuple[AgreementFacts, ...], view: PurposeView | None
) -> None:
    own = facts(*agreed, view=view, organization="ward")

    assert decide(own) == Allow(frozenset(COLUMNS), "own")


def test_of_two_agreements_the_wider_then_of_all_rows_then_of_most_a_day_is_taken() -> None:
    narrow = replace(AGREED, id="narrow", columns=frozenset("a"))
    some_of_all = replace(AGREED, id="some", rows="x = 1")
    every = replace(AGREED, id="every")
    other = replace(AGREED, id="other", rows="y = 2")
    few, more = [replace(AGREED, id=f"{each} a day", per_day=each) for each in (5, 50)]

    taken = [
        decide(facts(*each))
        for each in (
            (narrow, some_of_all),
            (some_of_all, every),
            (some_of_all, other),
            (few, more),
            (more, every),
        )
    ]

    assert [each.agreement_id for each in taken if isinstance(each, Allow)] == [
        "some", "every", "some", "50 a day", "every",
    ]  # fmt: skip


def test_the_view_is_looked_at_before_one_agreement_is_preferred() -> None:
    wide = replace(AGREED, id="wide", rows="x = 1")
    all_rows = replace(AGREED, id="all", columns=frozenset("ab"))
    view = PurposeView("health", frozenset("ab"))

    assert decide(facts(wide, all_rows, view=view)) == Allow(frozenset("ab"), "agreement", "all")


def test_requests_a_day_of_public_columns_are_not_given_for_any_number_of_them() -> None:
    agreed = replace(AGREED, columns=frozenset("a"), per_day=5)

    of_public = decide(facts(agreed, data_class="public", open_columns=frozenset("ab")))
    of_more = decide(facts(agreed, data_class="public", open_columns=frozenset("b")))

    assert of_public == Allow(frozenset("ab"), "public")
    assert of_more == Allow(frozenset("ab"), "agreement", "1", per_day=5)


def test_some_rows_of_public_columns_are_not_given_for_all_of_them() -> None:
    agreed = replace(AGREED, columns=frozenset("a"), rows="x = 1")

    of_public = decide(facts(agreed, data_class="public", open_columns=frozenset("ab")))
    of_more = decide(facts(agreed, data_class="public", open_columns=frozenset("b")))

    assert of_public == Allow(frozenset("ab"), "public")
    assert of_more == Allow(frozenset("ab"), "agreement", "1", ("x = 1",))


def test_a_write_is_bounded_by_its_agreement_and_by_no_purpose() -> None:
    agreed = replace(AGREED, rows="x = 1")
    view = PurposeView("health", frozenset("a"), "y = 2")

    decision = decide(replace(facts(agreed, view=view, action=Action.WRITE), purpose=None))

    assert decision == Allow(frozenset(COLUMNS), "agreement", "1", ("x = 1",))


def test_a_view_that_leaves_no_column_refuses() -> None:
    decision = decide(facts(AGREED, view=PurposeView("health", frozenset())))

    assert decision == Deny(Reason.NOT_FOR_PURPOSE, {"purpose": "health"})
