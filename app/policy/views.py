"""What a publisher's view of a purpose leaves of a verdict: pure, and never more than there was."""

from dataclasses import replace

from app.policy.facts import Action, AgreementFacts, Facts, PurposeView
from app.policy.verdicts import Allow, ByConsent
from app.query.masks import Way


def view_of(facts: Facts) -> PurposeView | None:
    """What the publisher declared for the purpose that was given."""
    for view in facts.dataset.views:
        if view.purpose == facts.purpose:
            return view
    return None


def viewed(facts: Facts, allowed: Allow) -> Allow:
    """What its publisher lets out for the purpose at most. What is one's own has no such bound."""
    if allowed.ground == "own":
        return allowed
    if facts.action is Action.WRITE:
        allowed = replace(allowed, columns=allowed.columns - _stood_in_for(facts))
    view = view_of(facts)
    if view is None:
        return allowed
    columns = let_out(view, allowed.columns)
    masks = tuple(each for each in sorted(view.masks) if each[0] in columns)
    rows = tuple(dict.fromkeys((*allowed.rows, *rows_of(view))))
    plain = columns - {name for name, _ in masks}
    consent = _consent_to(facts, view)
    return replace(allowed, columns=plain, rows=rows, masks=masks, consent=consent)


def _consent_to(facts: Facts, view: PurposeView) -> ByConsent | None:
    """To what the people must consent whose records leave under the view."""
    if not view.consent or facts.caller is None:
        return None
    subject = facts.dataset.subject or ""  # which the rule "subject-told" lets by for nobody
    return ByConsent(subject, facts.caller.client.organization_id, view.purpose)


def _stood_in_for(facts: Facts) -> frozenset[str]:
    """Columns that somebody is shown stand-ins of: who wrote to them would learn whose they are."""
    masks = [each for view in facts.dataset.views for each in view.masks]
    return frozenset(name for name, mask in masks if mask == Way.PSEUDONYMISE)


def let_out(view: PurposeView | None, columns: frozenset[str]) -> frozenset[str]:
    """Those of which the view lets something out."""
    if view is None:
        return columns
    named = columns if view.columns is None else columns & view.columns
    return named - {name for name, mask in view.masks if mask == Way.DROP}


def rows_of(bound: AgreementFacts | PurposeView) -> tuple[str, ...]:
    """Its condition on rows. An empty one is none that anybody can meet, and stays."""
    return () if bound.rows is None else (bound.rows,)
