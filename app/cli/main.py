"""The operator's command `urbanos`: groups of commands and their exit codes. Holds no command."""

import gc
import sys
from collections.abc import Sequence
from typing import Final

import typer

from app.cli import (
    agent,
    agreement,
    audit,
    certify,
    client,
    connector,
    dataset,
    demo,
    doctor,
    finding,
    invite,
    keys,
    lint_openapi,
    load,
    moving,
    openapi,
    org,
    profile,
    programme,
    provider,
    quality,
    runs,
    serve,
    subject,
    system,
    test_issuer,
    token,
    usage,
    user,
    verify_certificate,
    witness,
)
from app.cli.shell import USAGE
from app.cli.words import show_refusal
from app.formats.individual_number import holds_number
from app.formats.number_refusal import IndividualNumberRefused, Where
from app.kit.errors import AppError

REFUSED: Final = 1
DATABASE_UNREACHABLE: Final = 3
CHECK_FAILED: Final = 4
SECRET_KEY_UNUSABLE: Final = 5
# Refusals that a supervisor can act on; all others are 1.
_EXIT_CODES: Final = {
    "database_unavailable": DATABASE_UNREACHABLE,
    "embedded_database_failed": DATABASE_UNREACHABLE,
    "embedded_database_ended": DATABASE_UNREACHABLE,
    "log_not_signed": CHECK_FAILED,
    "log_rolled_back": CHECK_FAILED,
    "log_forked": CHECK_FAILED,
    "certificate_invalid": CHECK_FAILED,
    "secret_key_unusable": SECRET_KEY_UNUSABLE,
    "tls_unusable": USAGE,
}

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Urban OS: a regional data-linkage platform. 都市OS・広域データ連携基盤の運用コマンド。",
    epilog=(
        "Exit: 0 ok, 1 refused or failed, 2 usage, 3 database unreachable or lost, "
        "4 check failed, 5 secret key unusable."
    ),
)
for made, name in (
    (org.app, "org"),
    (client.app, "client"),
    (user.app, "user"),
    (dataset.app, "dataset"),
    (connector.app, "connector"),
    (agent.app, "agent"),
    (runs.app, "run"),
    (profile.app, "profile"),
    (provider.app, "provider"),
    (agreement.app, "agreement"),
    (audit.app, "audit"),
    (finding.app, "finding"),
    (keys.app, "keys"),
    (subject.app, "subject"),
    (system.app, "system"),
    (programme.app, "programme"),
):
    app.add_typer(made, name=name)
for command in (
    demo.demo,
    serve.serve,
    serve.work,
    serve.migrate,
    invite.invite,
    load.load,
    token.token,
    openapi.openapi,
    doctor.doctor,
    quality.quality,
    lint_openapi.lint_openapi,
    certify.certify,
    verify_certificate.verify_certificate,
    usage.usage,
    witness.witness,
    test_issuer.test_issuer,
    moving.export,
):
    app.command()(command)
app.command("import")(moving.import_)


def _check_words(words: Sequence[str]) -> None:
    """Raises `IndividualNumberRefused`: what is typed here is stored like what comes by HTTP."""
    for at, word in enumerate(words, 1):
        if holds_number(word.encode("utf-8", "replace")):
            raise IndividualNumberRefused(
                Where(f"コマンドの{at}番目の語", f"word {at} of the command")
            )


def main() -> None:
    """Run one command. A refusal is told in words, with its exit code and no traceback."""
    # Reading the code makes half a million objects that all stay: at Python's own threshold of 700
    # looking through them again and again takes 1.5 of 3.4 seconds. Serving sets its own.
    gc.set_threshold(100_000, 20, 100)
    try:
        _check_words(sys.argv[1:])
        app()
    except AppError as refusal:
        show_refusal(refusal)
        sys.exit(_EXIT_CODES.get(refusal.code, REFUSED))
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell says: ended by Ctrl-C
