"""How a listener of ours speaks TLS. A client may show a certificate; it is then checked, always."""

import ssl
from datetime import datetime
from pathlib import Path

from cryptography import x509

from app.kit.errors import AppError, Kind


class TlsUnusable(AppError):
    """The listener's certificate, its key or the authorities of its clients cannot be used."""

    kind = Kind.UNAVAILABLE
    code = "tls_unusable"
    ja = "TLSの {setting}（{path}）を使えません（{why}）。PEM形式のファイルを指定してください。"
    en = "{setting} ({path}) cannot be used for TLS ({why}). Name a file in PEM."


def server_context(certificate: Path, key: Path | None, client_ca: Path | None) -> ssl.SSLContext:
    """The context of a listener. Raises `TlsUnusable`.

    With `client_ca` clients are asked for a certificate and may have none; one that no authority
    in the file stands for, that has expired or is not for clients ends the handshake.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Nobody is there to be asked for the passphrase of a key.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as exc:
        raise _unusable("URBANOS_TLS_CERTIFICATE", certificate, exc) from exc
    if client_ca is None:
        return context
    try:
        context.load_verify_locations(client_ca)
    except (OSError, ValueError) as exc:
        raise _unusable("URBANOS_TLS_CLIENT_CA", client_ca, exc) from exc
    context.verify_mode = ssl.CERT_OPTIONAL
    # The one authority below a large root that issues to our clients may be named alone.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    # A session that is taken up again brings its certificate along unasked. In TLS 1.2 one can be,
    # by its id, without a ticket: so the edge looks at the certificate's end with each request.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    return context


def expires_at(certificate: Path) -> datetime:
    """When the listener's own certificate ends. For a file that `server_context` could use."""
    return x509.load_pem_x509_certificates(certificate.read_bytes())[0].not_valid_after_utc


def _unusable(setting: str, path: Path, exc: Exception) -> TlsUnusable:
    why = getattr(exc, "reason", None) or getattr(exc, "strerror", None) or str(exc)
    return TlsUnusable(setting=setting, path=path, why=why)
