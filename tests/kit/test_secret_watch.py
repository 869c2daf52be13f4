"""The watch over the suite's own logs can fail: each kind of secret is seen, by either logger."""

import logging
import secrets

import pytest
import structlog
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.secret_watch import SecretWatch, holds_secret

KEY = ECKey.generate_key("P-256", private=True)
TOKEN = jwt.encode({"alg": "ES256"}, {"sub": "a"}, KEY, algorithms=["ES256"])
SECRETS = [
    f"Authorization: Bearer {TOKEN}",
    f"client_assertion={TOKEN}&scope=a",
    KEY.as_pem(private=True).decode(),
    str(KEY.as_dict(private=True)),
    f'{{"kty": "EC", "d": "{secrets.token_urlsafe(32)}"}}',
]


@pytest.mark.parametrize("line", SECRETS, ids=range(len(SECRETS)))
def test_a_secret_is_seen(line: str) -> None:
    assert holds_secret(line)


@pytest.mark.parametrize(
    "line",
    [
        "GET /v1/datasets?q=eyJ 200 OK",
        f"jti={secrets.token_urlsafe(16)} kid={KEY.thumbprint()}",
        str(KEY.as_dict(private=False)),
        "-----BEGIN PUBLIC KEY-----",
        "{'d': 'd-1'}",
    ],
    ids=range(5),
)
def test_what_is_no_secret_is_let_through(line: str) -> None:
    assert not holds_secret(line)


def test_a_secret_in_any_logger_at_debug_fails_the_test_that_wrote_it(
    secret_watch: SecretWatch,
) -> None:
    logging.getLogger("asyncpg.of.a.test").debug("sent %s", TOKEN)
    structlog.get_logger().debug("sent", token=TOKEN)

    found = secret_watch.take()  # taken here, so that this test does not fail by it

    assert [line.partition(",")[0] for line in found] == ["asyncpg.of.a.test", "structlog"]
    assert TOKEN not in str(found)
