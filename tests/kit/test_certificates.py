"""A certificate in a header is read in the one form that the setting names, and in no other."""

from pathlib import Path
from urllib.parse import quote

import pytest

from app.kit import clock
from app.kit.certificates import (
    CertificateUnreadable,
    certificate_from,
    is_of,
    normal_subject,
    read_header,
)
from tests.oauth.certificates import Authority, Shown, subject


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return Authority(tmp_path_factory.mktemp("authority")).issue("app.city.test")


def test_both_forms_tell_the_same_certificate(shown: Shown) -> None:
    read = [
        read_header("client-cert", shown.sequence.encode()),
        read_header("x-ssl-client-cert", shown.escaped.encode()),
    ]

    assert [each.thumbprint for each in read if each] == [shown.thumbprint] * 2


@pytest.mark.parametrize("name", ["client-cert", "x-ssl-client-cert"])
def test_an_empty_header_is_no_certificate(name: str) -> None:
    assert read_header(name, b"") is None


@pytest.mark.parametrize("fault", ["form", "two", "key", "cut", "more", "padding", "long", "text"])
@pytest.mark.parametrize("name", ["client-cert", "x-ssl-client-cert"])
def test_what_is_not_exactly_one_certificate_is_refused(
    shown: Shown, name: str, fault: str
) -> None:
    pem = name == "x-ssl-client-cert"
    right = shown.escaped if pem else shown.sequence
    sent = {
        "form": shown.sequence if pem else shown.escaped,
        "two": right * 2,
        "key": quote(Path(shown.key).read_text(), safe="") if pem else ":AAAA:",
        "cut": right[: len(right) // 2],
        "more": right + "x",
        "padding": right.replace("E", "=", 1),
        "long": right + "%0A" * 6_000 if pem else f":{'A' * 17_000}:",
        "text": "-----BEGIN CERTIFICATE-----",
    }[fault]

    with pytest.raises(CertificateUnreadable):
        read_header(name, sent.encode())


@pytest.mark.parametrize(
    ("said", "same"),
    [
        (subject("app.city.test"), True),
        (r"CN=app.city.test,O=\E5\A0\BA\E5\B8\82,C=JP", True),  # as openssl escapes it
        ("CN=app.city.test,O=堺市", False),
        ("C=JP,O=堺市,CN=app.city.test", False),
        ("CN=app.city.test,O=堺市,C=JP,emailAddress=a@b.test", False),
        (subject("APP.city.test"), False),
    ],
)
def test_a_subject_is_the_whole_name_and_nothing_like_it(
    shown: Shown, said: str, same: bool
) -> None:
    certificate = certificate_from(shown.der)

    assert is_of(certificate, said, clock.now()) is same
    assert is_of(certificate, normal_subject(said), clock.now()) is same
