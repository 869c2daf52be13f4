"""Certificates as files: genuine to the byte, and nothing else is ever taken for one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey

from app.conformance import signed
from app.conformance.refusals import CertificateInvalid

KEY = ECKey.generate_key("P-256", private=True)
KID = KEY.thumbprint()
KEYS: dict[str, Any] = {"keys": [{**KEY.as_dict(private=False), "kid": KID}]}
NOW = datetime(2026, 11, 1, tzinfo=UTC)
CLAIMS: dict[str, Any] = {
    "jti": "a", "iat": int(NOW.timestamp()),
    "exp": int((NOW + timedelta(days=365)).timestamp()),
}  # fmt: skip


def test_every_changed_byte_is_noticed() -> None:
    text = signed.sign(signed.CERTIFICATE, CLAIMS, KID, KEY)
    assert signed.opened(signed.CERTIFICATE, text, KEYS) == CLAIMS

    for at, sign in enumerate(text):
        # Neighbours in base64 too: the last sign of a part holds bits that say nothing.
        for other in {chr(ord(sign) ^ 1), "A" if sign != "A" else "B", "="}:
            with pytest.raises(CertificateInvalid):
                signed.opened(signed.CERTIFICATE, text[:at] + other + text[at + 1 :], KEYS)


@pytest.mark.parametrize("junk", ["", ".", "..", "a.b.c", "é", "{}", "x" * 2_000_000, "a.b"])
def test_what_is_no_file_of_ours_is_refused_and_breaks_nothing(junk: str) -> None:
    with pytest.raises(CertificateInvalid):
        signed.opened(signed.CERTIFICATE, junk, KEYS)


def test_a_file_of_another_kind_key_or_algorithm_is_refused() -> None:
    other = ECKey.generate_key("P-256", private=True)
    public = KEY.as_dict(private=False)
    secret = OctKey.import_key(str(public["x"]))  # the public half, taken for a secret
    head = {"alg": "HS256", "typ": signed.CERTIFICATE, "kid": KID}
    with_key = {"alg": "ES256", "typ": signed.CERTIFICATE, "kid": KID, "jwk": public}
    for text in (
        signed.sign(signed.REVOCATIONS, CLAIMS, KID, KEY),
        signed.sign("at+jwt", CLAIMS, KID, KEY),
        signed.sign(signed.CERTIFICATE, CLAIMS, KID, other),
        signed.sign(signed.CERTIFICATE, CLAIMS, "unknown", KEY),
        jws.serialize_compact(head, b"{}", secret, algorithms=["HS256"]),
        jws.serialize_compact(with_key, b"{}", KEY, algorithms=["ES256"]),
        jws.serialize_compact({**head, "alg": "ES256"}, b"[]", KEY, algorithms=["ES256"]),
    ):
        with pytest.raises(CertificateInvalid):
            signed.opened(signed.CERTIFICATE, text, KEYS)


def test_what_has_ended_or_is_listed_as_revoked_is_not_in_force() -> None:
    signed.check_in_force(CLAIMS, NOW, ())
    for claims, now, revoked in (
        (CLAIMS, NOW + timedelta(days=365), ()),
        (CLAIMS, NOW, ("a",)),
        ({"jti": "a"}, NOW, ()),
    ):
        with pytest.raises(CertificateInvalid):
            signed.check_in_force(claims, now, revoked)


def test_a_revocation_list_that_is_out_of_date_proves_nothing() -> None:
    told = {**CLAIMS, "exp": CLAIMS["iat"] + 60, "revoked": [{"id": "a"}]}
    assert signed.revoked_in(told, NOW) == {"a"}

    with pytest.raises(CertificateInvalid):
        signed.revoked_in(told, NOW + timedelta(seconds=61))
