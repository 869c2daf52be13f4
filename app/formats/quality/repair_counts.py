"""Counts the repairs of a block by field and rule. It keeps no cell beyond the block."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.formats.mapping import Source
from app.formats.quality.repairs import AS_MEANT, MAPPED, rule_of

Counts = dict[tuple[str, str], tuple[int, int]]  # (field, rule): cells, first row


@dataclass(slots=True)
class Repairs:
    """What was repaired so far, and how many cells were not as they should be."""

    counts: Counts = field(default_factory=dict)
    cells: int = 0
    _rules: dict[tuple[str, str | None, str], str] = field(default_factory=dict)

    def add(self, source: Source, before: str | None, after: str, row: int) -> None:
        """Count one cell; rows must come in order within a field."""
        name = source.field.name
        rule = MAPPED if source.is_derived else self._rule(source, before, after)
        cells, first = self.counts.get((name, rule), (0, row))
        self.counts[name, rule] = (cells + 1, first)
        self.cells += rule not in AS_MEANT

    def _rule(self, source: Source, before: str | None, after: str) -> str:
        """Distinct texts are judged once: columns repeat themselves."""
        texts = (source.field.name, before, after)
        rule = self._rules.get(texts)
        if rule is None:
            rule = self._rules[texts] = rule_of(source.field, before, after)
        return rule


def add_up(total: Counts, more: Mapping[tuple[str, str], tuple[int, int]]) -> None:
    """Add a later block's counts to the total."""
    for place, (cells, first) in more.items():
        before, known = total.get(place, (0, first))
        total[place] = (before + cells, known)
