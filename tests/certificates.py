"""Certificates for tests, as files: an authority, what it signs, good and bad."""

from __future__ import annotations

import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fluentlite.config.model import TlsSettings
from fluentlite.tls.context import server_context

HOST = "127.0.0.1"
NAME = "logs.test"


@dataclass(frozen=True)
class Certificate:
    """A certificate with its key, in two PEM files."""

    cert_file: str
    key_file: str

    def replace_by(self, other: Certificate) -> None:
        """Put the files of *other* in the place of its own, as whoever renews a certificate does."""
        Path(other.key_file).rename(self.key_file)
        Path(other.cert_file).rename(self.cert_file)


class Authority:
    """
    Args:
        directory: Its files go there; the names begin with *name*.

    Attributes:
        ca_file: What those who trust it are given.
    """

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self._directory, self._name, self._issued = directory, name, 0
        self._ca = trustme.CA()
        self.ca_file = str(directory / f"{name}.pem")
        self.write_to(self.ca_file)

    def write_to(self, path: str) -> None:
        """Put its own certificate at *path*, as one that replaces another."""
        draft = Path(f"{path}.new")
        self._ca.cert_pem.write_to_path(draft)
        draft.rename(path)

    def issue(self, *names: str, days: int = 30) -> Certificate:
        """Sign a certificate for *names* (default: where test servers listen) that is valid for *days* from, or before, now."""
        self._issued += 1
        now = datetime.datetime.now(datetime.UTC)
        leaf = self._ca.issue_cert(
            *(names or (HOST, NAME)),
            not_before=now - datetime.timedelta(days=60),
            not_after=now + datetime.timedelta(days=days),
        )
        paths = [self._directory / f"{self._name}-{self._issued}-{kind}.pem" for kind in ("cert", "key")]
        paths[0].write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        paths[1].touch(0o600)
        leaf.private_key_pem.write_to_path(paths[1])
        return Certificate(*map(str, paths))

    def server(
        self, certificate: Certificate | None = None, clients: Authority | None = None
    ) -> ssl.SSLContext:
        """The context of a server with a certificate of ours; *clients* signs those of its clients, if it wants any."""
        shown = certificate or self.issue()
        return server_context(shown.cert_file, shown.key_file, clients.ca_file if clients else "")

    def client(self, certificate: Certificate | None = None, **others: object) -> TlsSettings:
        """The settings of a client that trusts it, and shows *certificate*."""
        own = {"cert_file": certificate.cert_file, "key_file": certificate.key_file} if certificate else {}
        return TlsSettings(**{"ca_file": self.ca_file, **own, **others})  # type: ignore[arg-type]


def expired_authority(directory: Path) -> str:
    """The certificate of an authority that expired yesterday, as a file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "expired")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=9))
        .not_valid_after(now - datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    path = directory / "expired.pem"
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return str(path)
