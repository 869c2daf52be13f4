"""What the judge is lent beside an address: who it may be, what it may look at, where it is called.

Nothing of it is shown in a report, and nothing of it is sent to anybody but whom it is for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from joserfc.jwk import ECKey


@dataclass(frozen=True, slots=True)
class Client:
    """A client of the judged server: it proves itself by its key (RFC 7523) or by its secret."""

    id: str
    key: ECKey | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Callback:
    """Where notices come to. `url`: as the judged server reaches it; the judge listens at `host`
    and `port`, and whoever lends it sees to it that the one leads to the other."""

    url: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Lent:
    """All that was lent; what was not leaves rules that need it unseen.

    `guarded`: a dataset above public that the client may read for `purpose`; `other_purpose`: one
    for which it may not; `hidden_field`: a field of it that the client may not see. `hidden`: a
    dataset that is there and may not be known. `patience_s`: how long a notice is waited for.
    """

    client: Client | None = None
    authorization_server: str | None = None
    guarded: str | None = None
    hidden_field: str | None = None
    hidden: str | None = None
    purpose: str = "own-duty"
    other_purpose: str | None = None
    expired_token: str | None = field(default=None, repr=False)
    callback: Callback | None = None
    patience_s: float = 120.0
    hang_s: float = 16.0  # the standard gives a receiver 15

    def secrets(self) -> Iterator[str]:
        """What must never be shown."""
        if self.client is not None and self.client.secret:
            yield self.client.secret
        if self.expired_token:
            yield self.expired_token
