"""Zone by class: every meeting of dataset, client and listener, against the sentence of the rule."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from app.policy.facts import Action, AgreementFacts, Caller, ClientFacts, DatasetFacts, Facts
from app.policy.rules import decide
from app.policy.verdicts import Allow, Deny, Reason

NOW = datetime(2026, 4, 1, tzinfo=UTC)
ZONES = ("internet", "lgwan", "mynumber")
CLASSES = ("public", "internal", "restricted", "personal", "specific-personal")
AGREED = AgreementFacts(
    id="a",
    consumer_id="271403",
    actions=frozenset({"read", "write"}),
    purpose="health",
    columns=frozenset({"name"}),
    state="active",
    valid_from=NOW - timedelta(1),
    valid_until=NOW + timedelta(1),
)


def asked(data_class: str, dataset: str, client: str, listener: str, action: Action) -> Facts:
    """A request in which all but the zones is in order."""
    caller = ClientFacts(
        client_id="c",
        organization_id="271403",
        body_id="271403",
        line=frozenset({"271403"}),
        roles=frozenset(),
        zone=client,
        auth_method="private_key_jwt",
        revoked=False,
    )
    return Facts(
        action=action,
        dataset=DatasetFacts(
            "d", data_class, dataset, "271004-kenko", "271004", (("name", data_class),)
        ),
        caller=Caller(
            caller, frozenset({"dataset:d:read", "dataset:d:write"}), True, AGREED.id, "health"
        ),
        purpose="health",
        zone=listener,
        agreements=(AGREED,),
        purposes=frozenset({"health"}),
        now=NOW,
    )


@pytest.mark.parametrize(
    ("data_class", "dataset", "client", "listener"), [*product(CLASSES, ZONES, ZONES, ZONES)]
)
def test_data_is_read_in_its_own_zone_and_public_internet_data_in_every_zone(
    data_class: str, dataset: str, client: str, listener: str
) -> None:
    is_open = data_class == "public" and dataset == "internet"
    is_home = dataset == client == listener
    may_read = data_class != "specific-personal" and (is_open or is_home)

    for action in (Action.READ, Action.AGGREGATE):
        facts = asked(data_class, dataset, client, listener, action)
        is_counted = action is Action.AGGREGATE
        decision = decide(replace(facts, dataset=replace(facts.dataset, aggregate_only=is_counted)))

        assert isinstance(decision, Allow) == may_read
        if isinstance(decision, Deny):
            never = data_class == "specific-personal"
            assert decision.reason is (Reason.NEVER_BROKERED if never else Reason.ZONE)
