"""``fluentlite check`` and the files of [forward.tls]: what no server would accept, or we could not use, is found before a start."""

import os
import ssl
import subprocess

import pytest
from certificates import expired_authority

from fluentlite.config.certificates import look_at_tls
from fluentlite.config.look import look
from fluentlite.config.model import TlsSettings
from fluentlite.config.toml import read
from fluentlite.tls.context import client_context


def test_good_ones(authority):
    """Nothing is said of what is in order, with and without files."""
    assert list(look_at_tls(authority.client(authority.issue("client.example")))) == []
    assert list(look_at_tls(TlsSettings())) == []


def test_the_verification_is_off(authority):
    """That is possible, and said."""
    [(level, text)] = look_at_tls(authority.client(verify=False))

    assert (level, text) == ("warning", "verify = false: whoever answers can read the lines")


@pytest.mark.parametrize(
    ("days", "level", "words"),
    [
        pytest.param(-1, "error", "would not be accepted: certificate has expired. Renew it", id="expired"),
        pytest.param(5, "warning", "expires on 20", id="soon"),
    ],
)
def test_a_client_certificate_that_ends(authority, days, level, words):
    """One that has expired is an error, one that will soon a warning."""
    own = authority.issue("client.example", days=days)
    [(found, text)] = look_at_tls(authority.client(own))

    assert (found, f"cert_file {own.cert_file} " in text) == (level, True)
    assert words in text


def test_a_client_certificate_that_is_not_for_clients(tmp_path):
    """One that its authority has signed for servers only would be refused by every server that looks."""
    cert, key = f"{tmp_path}/c.pem", f"{tmp_path}/k.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
         "-subj", "/CN=x", "-addext", "extendedKeyUsage=serverAuth", "-addext", "basicConstraints=critical,CA:FALSE",
         "-out", cert, "-keyout", key],
        check=True, capture_output=True,
    )  # fmt: skip
    [(level, text)] = look_at_tls(TlsSettings(ca_file=cert, cert_file=cert, key_file=key))

    assert (level, "purpose" in text) == ("error", True)


def test_a_key_that_does_not_fit(authority):
    """A certificate with another one's key is an error that names both files."""
    own, other = authority.issue("client.example"), authority.issue("client.example")
    [(level, text)] = look_at_tls(TlsSettings(cert_file=own.cert_file, key_file=other.key_file))

    assert level == "error"
    assert f"key_file {other.key_file} does not fit cert_file {own.cert_file}: " in text


def test_an_encrypted_key(authority, tmp_path):
    """Nobody is there to type its password: an error, and nobody is asked."""
    own, locked = authority.issue("client.example"), f"{tmp_path}/locked.pem"
    subprocess.run(
        ["openssl", "pkey", "-in", own.key_file, "-aes128", "-passout", "pass:x", "-out", locked], check=True
    )
    [(level, text)] = look_at_tls(TlsSettings(cert_file=own.cert_file, key_file=locked))

    assert level == "error"
    assert f"key_file {locked} is encrypted, and there is nobody to ask for its password" in text


@pytest.mark.parametrize("name", ["ca_file", "cert_file", "key_file"])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(lambda _path: None, "cannot be read by user", id="missing"),
        pytest.param(lambda path: path.mkdir(), "is not a regular file", id="directory"),
        pytest.param(os.mkfifo, "is not a regular file", id="fifo"),
        pytest.param(lambda path: path.write_text("x"), "", id="no-pem"),
        pytest.param(lambda path: path.write_bytes(b"-----BEGIN CERTIFICATE-----\n\xff\n"), "", id="broken-pem"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used(authority, tmp_path, name, make, words):
    """Each of the three is named with its path and what is wrong with it."""
    path = tmp_path / "bad"
    make(path)
    own = authority.issue("client.example")
    files = {"ca_file": authority.ca_file, "cert_file": own.cert_file, "key_file": own.key_file}
    [(level, text)] = look_at_tls(TlsSettings(**files | {name: str(path)}))

    assert level == "error"
    assert f"{name} {path} " in text
    assert words in text


def test_an_authority_that_has_expired(tmp_path):
    """With it no server will be believed."""
    ca = expired_authority(tmp_path)
    [(level, text)] = look_at_tls(TlsSettings(ca_file=ca))

    assert level == "error"
    assert f"ca_file {ca} has expired (20" in text


@pytest.fixture
def error_of(write, tmp_path):
    """Return the one error that ``check`` finds in a configuration."""

    def error_of(text):
        places = (
            f'[master]\nstate_dir = "{tmp_path}/s"\nrun_dir = "{tmp_path}/r"\nlog_file = "{tmp_path}/l"\n'
        )
        findings = look(read(write("main.toml", f"{places}{text}"), {}), lambda _hosts: {})
        [found] = [finding for finding in findings if finding.level == "error"]
        return found

    return error_of


def test_check_says_it_of_the_log(authority, error_of, least):
    """It stands with the log whose forward.tls it is."""
    own = authority.issue("client.example", days=-1)
    tls = f'{{ca_file = "{authority.ca_file}", cert_file = "{own.cert_file}", key_file = "{own.key_file}"}}'
    found = error_of(f"{least}forward.tls = {tls}\n")

    assert found.subject == "[[log]] app /var/log/app.log"
    assert "certificate has expired" in found.text


def test_what_logs_share_is_said_once(error_of, least, tmp_path):
    """A file that is wrong for all logs is one mistake (S25)."""
    more = f'[[log]]\ntag = "b"\npath = "/var/log/b.log"\n[forward.tls]\nca_file = "{tmp_path}/none"\n'
    found = error_of(least + more)

    assert found.subject == "servers"
    assert f"ca_file {tmp_path}/none cannot be read" in found.text


def test_what_a_context_takes(authority):
    """A context of ours takes TLS 1.2 and newer, and verifies."""
    context = client_context(authority.client())
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
