"""Secrets: where they may be kept, and that nothing shows them."""

import os

import pytest

from fluentlite.config.toml import read

USER = 'forward.security.username = "u"\n'


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        pytest.param("s3same\n", "s3same", id="a-line"),
        pytest.param("s3same", "s3same", id="without-newline"),
        pytest.param(" s3 same \r\n", " s3 same ", id="blanks-are-part-of-it"),
        pytest.param("\ufeffschlüssel\n", "schlüssel", id="utf-8"),
    ],
)
def test_a_secret_in_a_file_of_its_own(load_text, write, least, content, secret):
    """The file's one line is the secret, without its newline."""
    write("key", content)
    path = write("password", content)
    text = f'forward.security.shared_key_file = "key"\n{USER}forward.security.password_file = "{path}"\n'
    security = load_text(least + text).logs[0].forward.security

    assert (secret, secret) == (security.shared_key, security.password)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param("", "is empty. Write the secret into it.", id="empty"),
        pytest.param("\n\n", "is empty. Write the secret into it.", id="blank"),
        pytest.param("s3same\nother\n", "has several lines. It must hold the secret", id="several"),
        pytest.param(b"s3same\xff", "is not UTF-8", id="no-text"),
        pytest.param(None, "does not exist. Create it, or correct its name.", id="missing"),
    ],
)
def test_a_file_that_holds_no_secret(problems_of, write, least, tmp_path, content, reason):
    """It is named with reason and remedy; what is in it is not told."""
    path = f"{tmp_path}/key"
    if content is not None:
        write("key", content)
    [problem] = problems_of(f'{least}forward.security.shared_key_file = "{path}"\n')

    assert f'forward.security.shared_key_file = "{path}" names {path}, which {reason}' in problem
    assert "s3same" not in problem


def test_both_a_secret_and_its_file(problems_of, write, least):
    """One of the two is enough, and which one counts is not guessed."""
    write("key", "k\n")
    [problem] = problems_of(
        f'{least}forward.security.shared_key = "k"\nforward.security.shared_key_file = "key"\n'
    )

    assert "shared_key and forward.security.shared_key_file are both given. Keep one." in problem


def test_a_user_needs_a_password(problems_of, write, least):
    """A password's file is as good as a password."""
    write("key", "k\n")
    text = least + 'forward.security.shared_key_file = "key"\n'

    assert "username is given without" in problems_of(text + USER)[0]
    assert "password is given without" in problems_of(text + 'forward.security.password_file = "key"\n')[0]


@pytest.mark.parametrize(
    "name", [".logs.example", "a b", "http://logs.example", "logs.example:24224", "[::1]"]
)
def test_a_server_name_that_is_none(problems_of, least, name):
    """What no certificate can be for is told before anybody connects."""
    [problem] = problems_of(f'{least}forward.tls.server_name = "{name}"\n')

    assert f'server_name = "{name}" is no name of a host' in problem


def test_the_settings_do_not_show_it(load_text, write, least):
    """Not even whoever prints all settings sees a secret."""
    write("key", "s3same\n")
    settings = load_text(least + 'forward.security.shared_key_file = "key"\n')

    assert settings.logs[0].forward.security.shared_key == "s3same"
    assert "s3same" not in repr(settings)
    assert "s3same" not in str(settings)


def test_a_tls_key_that_everybody_can_read(write, least, tmp_path):
    """The key of a certificate is a secret, too."""
    key = write("key.pem", "k")
    text = f'{least}forward.tls = {{cert_file = "c.pem", key_file = "key.pem"}}\n'
    os.chmod(key, 0o644)
    assert read(write("main.toml", text), {}).warnings == (
        f"{key} holds a secret and everybody can read it. Run: chmod o-rwx {key}",
    )
    os.chmod(key, 0o640)
    assert read(f"{tmp_path}/main.toml", {}).warnings == ()
