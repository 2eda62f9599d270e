"""Makes certificates: an authority of one's own, and what it signs."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["Authority", "Identity"]

_NOW = datetime.datetime.now(datetime.UTC)
_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Identity:
    """A certificate and its private key, as PEM files."""

    certificate: Path
    key: Path


class Authority:
    """
    Signs certificates.

    Args:
        directory: Where the files are kept.
        name: What it is called.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = directory / f"{name}.pem"
        made = self._sign(name, self._key, [], until=_NOW + _DAY, is_authority=True)
        self.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, hosts: list[str], *, has_expired: bool = False, by_itself: bool = False) -> Identity:
        """
        Make a certificate for *hosts*.

        Args:
            name: Its common name, and that of its files.
            hosts: Names and addresses that it holds.
            has_expired: Whether it ended yesterday.
            by_itself: Whether its own key signs it, and not the authority's.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        until = _NOW - _DAY if has_expired else _NOW + _DAY
        made = self._sign(name, key, hosts, until=until, signer=key if by_itself else None)
        identity = Identity(self.directory / f"{name}.crt", self.directory / f"{name}.key")
        identity.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        identity.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        identity.key.chmod(0o600)
        return identity

    def _sign(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        hosts: list[str],
        *,
        until: datetime.datetime,
        is_authority: bool = False,
        signer: ec.EllipticCurvePrivateKey | None = None,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(_named(self.name if signer is None else name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_NOW - 2 * _DAY)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(map(_general, hosts)), critical=False)
        return builder.sign(signer or self._key, hashes.SHA256())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
