"""What a client's token may name: facts gathered and policy asked. Has no rule of its own."""

from app.api.state import Platform
from app.catalogue.refusals import DatasetNotFound
from app.kit import clock
from app.oauth.grants import Reach
from app.policy.facts import Action, AgreementFacts, Caller, ClientFacts
from app.policy.rules import Allow, DatasetFacts, Facts, decide


def reach_of(platform: Platform) -> Reach:
    """A judge of what a token may name, by what the platform knows at that moment."""

    async def reach(client: ClientFacts, dataset_id: str, action: Action) -> str | None:
        try:
            known = await platform.snapshot.dataset(dataset_id)
        except DatasetNotFound:
            return None
        dataset = known.entry.facts
        if _is_allowed(platform, client, dataset, action, known.agreements):
            return dataset.data_class
        return None

    return reach


def _is_allowed(
    platform: Platform,
    client: ClientFacts,
    dataset: DatasetFacts,
    action: Action,
    agreements: tuple[AgreementFacts, ...],
) -> bool:
    """Whether any purpose would be let through: the purpose itself is told with each read."""
    mine = {a.purpose for a in agreements if a.consumer_id == client.organization_id}
    purposes = mine or {"own-duty"}
    caller = Caller(client, frozenset({f"dataset:{dataset.id}:{action.value}"}))
    # The scope to read serves for counting too, where nothing else is given.
    least = Action.AGGREGATE if action is Action.READ else action
    return any(
        isinstance(
            decide(
                Facts(
                    action=least,
                    dataset=dataset,
                    caller=caller,
                    purpose=purpose,
                    zone=platform.zone,
                    agreements=agreements,
                    purposes=frozenset(purposes),
                    now=clock.now(),
                )
            ),
            Allow,
        )
        for purpose in purposes
    )
