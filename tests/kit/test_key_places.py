"""The secret key from a key store's command: in each form, once, and told in words when it fails."""

import base64
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.kit.crypto import load_sealer
from app.kit.key_places import KeyCommand, KeyFile, SecretKeyUnusable
from app.kit.settings import Settings

KEY = bytes(range(31)) + b"\n"  # ends as a line does


def _printing(tmp_path: Path, printed: bytes, then: str = "") -> tuple[KeyCommand, Path]:
    """A key store's client that notes each call."""
    calls, script = tmp_path / "calls", tmp_path / "store.py"
    script.write_text(
        "import sys\n"
        f"open({str(calls)!r}, 'a').write('x')\n"
        f"sys.stdout.buffer.write({printed!r})\n{then}\n", "utf-8",
    )  # fmt: skip
    return KeyCommand(f"{sys.executable} '{script}' --token hvs.SECRET"), calls


@pytest.mark.parametrize(
    "printed", [KEY, KEY.hex().encode() + b"\n", base64.b64encode(KEY) + b"\r\n"]
)
def test_a_command_gives_the_key_in_each_form_and_is_asked_once(
    tmp_path: Path, printed: bytes
) -> None:
    place, calls = _printing(tmp_path, printed)
    file = KeyFile(tmp_path / "key")
    file.path.write_bytes(KEY)
    sealed = load_sealer(file).seal(b"x", about="a")

    opened = [load_sealer(place).unseal(sealed, about="a") for _ in range(3)]

    assert opened == [b"x"] * 3
    assert calls.read_text() == "x"


@pytest.mark.parametrize(
    ("printed", "then", "why"),
    [
        (b"short", "", "5 bytes instead of 32"),
        (b"", "", "0 bytes instead of 32"),
        (KEY, "sys.exit(3)", "it ended with 3"),
    ],
)
def test_a_command_without_a_key_is_told_without_its_words_and_what_it_printed(
    tmp_path: Path, printed: bytes, then: str, why: str
) -> None:
    place, _ = _printing(tmp_path, printed, then)

    with pytest.raises(SecretKeyUnusable) as refused:
        load_sealer(place)

    told = refused.value.words("en")
    assert why in told
    assert sys.executable in told
    assert not [each for each in ("hvs.SECRET", "store.py", "short") if each in told]


def test_a_command_that_is_not_there_is_told_and_one_that_is_none_is_a_wrong_setting() -> None:
    with pytest.raises(SecretKeyUnusable) as refused:
        load_sealer(KeyCommand("/nowhere/kms decrypt"))

    assert "/nowhere/kms" in refused.value.words("ja")
    for wrong in ("", "'open"):
        with pytest.raises(ValueError, match="no command"):
            Settings(secret_key_command=SecretStr(wrong))
    assert isinstance(Settings(secret_key_command=SecretStr("kms x")).secret_key, KeyCommand)
