"""What encrypts a connection, and what to do when TLS fails."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Tls", "tls_failure", "tls_of"]

_UNTRUSTED: Final = (
    "the server's certificate comes from an authority that is not trusted here. Name the authority's own certificate "
    "as sslrootcert=FILE; sslrootcert=system takes those that the system trusts"
)
_OTHER_NAME: Final = (
    "the server's certificate is not for {host!r}. Connect by a name that it holds; sslmode=verify-ca looks at its "
    "authority alone"
)
# By the number that OpenSSL gives a failed verification (X509_V_ERR_… of its x509_vfy.h).
_BY_VERIFICATION: Final = {
    3: "there is no revocation list of the authority of the server's certificate. Add it to ~/.postgresql/root.crl",
    9: "the server's certificate is not valid yet. Compare the clocks of both machines",
    10: "the server's certificate has expired. Renew it on the server",
    18: "the server's certificate is signed by itself alone. If it is yours, name it as sslrootcert=FILE",
    19: _UNTRUSTED,
    20: _UNTRUSTED,
    21: _UNTRUSTED,
    23: "the server's certificate has been revoked. Renew it on the server",
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}
# Words of the alerts by which a server refuses the certificate of a client, or the lack of one.
_CLIENT_REFUSED: Final = ("CERTIFICATE", "UNKNOWN_CA")


@dataclass(frozen=True, slots=True)
class Tls:
    """
    What encrypts a connection.

    Attributes:
        version: Of the protocol, for example "TLSv1.3".
        cipher: OpenSSL's name of it, for example "TLS_AES_256_GCM_SHA384".
    """

    version: str
    cipher: str


def tls_of(raw: Any) -> Tls | None:
    """
    Return what encrypts the database library's connection *raw*; None when it is not encrypted.

    This end of the connection is asked: behind a pooler the server's pg_stat_ssl tells of the pooler's connection.
    """
    transport = getattr(raw, "_transport", None)
    secured = None if transport is None else transport.get_extra_info("ssl_object")
    if secured is None or secured.cipher() is None:
        return None
    return Tls(secured.version(), secured.cipher()[0])


def tls_failure(error: ssl.SSLError, host: str) -> str:
    """Return what *error* of a connection to *host* means, and what to do."""
    # The library sets these attributes; an error made by hand has none of them.
    reason = getattr(error, "reason", None) or ""
    if isinstance(error, ssl.SSLCertVerificationError):
        text = _BY_VERIFICATION.get(getattr(error, "verify_code", 0))
        words = getattr(error, "verify_message", None) or reason or "the server's certificate is refused"
        return text.format(host=host) if text else f"TLS failed: {words}"
    if "ALERT" in reason and any(word in reason for word in _CLIENT_REFUSED):
        return (
            f"the server refused the certificate of this client, or the lack of one ({reason}). Give one that it "
            "trusts as sslcert=FILE and sslkey=FILE"
        )
    return f"TLS failed: {reason or 'handshake error'}"
