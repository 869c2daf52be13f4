"""What the judge wrote on a server, and what of it may be there still. Asks nobody."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Ledger:
    """The account of one run. Keys are as they stand in addresses.

    `dataset`: the only one that is written to. `token`: with which, where it was got for the writing
    and is not the run's own. `number`: of the record that was made last.
    `began` and `at`: positions of the change feed, before the run's first write and the last known.
    """

    dataset: str
    token: str | None = field(default=None, repr=False)
    number: int = 0
    wrote: set[str] = field(default_factory=set)
    left: dict[str, None] = field(default_factory=dict)  # in the order in which they were sent
    began: str | None = None
    at: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What goes with a write beside what goes with every request."""
        return {} if self.token is None else {"authorization": f"Bearer {self.token}"}

    def sends(self, key: str) -> None:
        """From here on it may be there, whatever the server says."""
        self.left[key] = None

    def took(self, key: str) -> None:
        """The server says that it holds it."""
        self.wrote.add(key)

    def gone(self, key: str) -> None:
        """The server says that it is there no more."""
        self.left.pop(key, None)
