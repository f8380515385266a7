"""A certificate for the server of the benchmark, and the authority that has signed it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme

from bench.loops import HOST


@dataclass(frozen=True, slots=True)
class Certificate:
    """Names of PEM files."""

    ca_file: str
    cert_file: str
    key_file: str


def make_certificate(directory: Path) -> Certificate:
    """Make one for the address that sinks listen on (P-256, as most servers have today)."""
    authority = trustme.CA()
    leaf = authority.issue_cert(HOST)
    made = Certificate(*(str(directory / f"{name}.pem") for name in ("ca", "cert", "key")))
    authority.cert_pem.write_to_path(made.ca_file)
    leaf.cert_chain_pems[0].write_to_path(made.cert_file)
    leaf.private_key_pem.write_to_path(made.key_file)
    return made
