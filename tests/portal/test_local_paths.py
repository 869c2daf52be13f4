"""Where a page may lead back to: never to another address, however it is written."""

import pytest

from app.portal.local_path import HOME, leading_to, local_path


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/account",
        "/oauth/authorize?client_id=a&request_uri=urn:ietf:params:oauth:request_uri:Zx_-9",
        "/account?next=https%3A%2F%2Fexample.jp",
    ],
)
def test_a_path_of_this_server_is_led_back_to(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "asked",
    [
        None,
        "",
        "account",
        "https://evil.example",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        " //evil.example",
        "/%2Fevil.example",
        "/%2f%2fevil.example",
        "/%5Cevil.example",
        "/%255cevil.example",
        "/%252fevil.example",
        "/%09/evil.example",
        "/.//evil.example",
        "/a/..//evil.example",
        "/a/../b",
        "javascript:alert(1)",
        "/a#b",
        "/架空",
        "/" + "a" * 2_001,
    ],
)
def test_anything_else_leads_to_the_account(asked: str | None) -> None:
    assert local_path(asked) == HOME


def test_the_path_is_encoded_as_one_value() -> None:
    assert leading_to("/sign-in", "/a?b=c&d") == "/sign-in?return_to=%2Fa%3Fb%3Dc%26d"
