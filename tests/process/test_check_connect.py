"""``fluentlite check --connect``: the servers are tried as the workers will, and each mistake is found before a start."""

import os
import subprocess
import sys

import behaviours
import pytest
from servers import ScriptedServer

from fluentlite.core.server_session import ServerSecurity

SECURITY = ServerSecurity("s3same", "server.example", {"alice": "wonder"})


@pytest.fixture
def check(tmp_path):
    """Run the command on a configuration with one log; returns status and what stands under "servers"."""

    def check(forward, *words, secrets="", master=""):
        (tmp_path / "app.log").touch()
        config = tmp_path / "main.toml"
        config.touch(0o600)
        config.write_text(
            f'[master]\nstate_dir = "state"\nrun_dir = "run"\nlog_file = "own.log"\n{master}\n'
            f'[forward]\n{forward}\n{secrets}\n[[log]]\ntag = "app"\npath = "app.log"\n'
        )
        command = [sys.executable, "-m", "fluentlite", "check", "-c", str(config), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert done.stderr == ""
        assert "s3same" not in done.stdout
        blocks = {block.splitlines()[0]: block.splitlines()[1:] for block in done.stdout.split("\n\n")}
        return done.returncode, [line.strip() for line in blocks["servers"]]

    return check


def forward_to(*servers, tls=None, **others):
    """The table [forward], inside."""
    lines = [
        f"primary = {[server.address for server in servers]}",
        *(f"{k} = {v}" for k, v in others.items()),
    ]
    if tls is not None:
        named = {"ca_file": tls.ca_file, "cert_file": tls.cert_file, "key_file": tls.key_file}
        lines += [f'tls.{key} = "{value}"' for key, value in named.items() if value]
    return "\n".join(lines)


def credentials(key="s3same", user="alice", password="wonder"):
    return (
        f'[forward.security]\nshared_key = "{key}"\nself_hostname = "client.example"\nusername = "{user}"\n'
        f'password = "{password}"\n'
    )


def test_without_the_word_nobody_is_connected_to(check):
    """check alone looks at names only."""
    with ScriptedServer() as server:
        assert check(forward_to(server)) == (0, ["ok: 127.0.0.1 has an address"])
        assert server.connections == []


@pytest.mark.parametrize("has_tls", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("has_key", [False, True], ids=["open", "shared-key"])
def test_a_good_server(check, authority, has_tls, has_key):
    """It is found to be good, and gets nothing but the handshake."""
    with ScriptedServer(
        tls=authority.server() if has_tls else None, security=SECURITY if has_key else None
    ) as server:
        status, said = check(
            forward_to(server, tls=authority.client() if has_tls else None),
            "--connect",
            secrets=credentials() if has_key else "",
        )
        assert (status, said[-1]) == (0, f"ok: {server.address} takes a connection of ours")
        assert server.chunks == []
        assert server.errors == []


@pytest.mark.parametrize(
    ("security", "reason"),
    [
        pytest.param(credentials(key="wrong"), "it refused our credentials ('shared_key mismatch')", id="key"),
        pytest.param(credentials(password="wrong"), "it refused our credentials ('username/password mismatch')", id="password"),
        pytest.param("", "it asks for a shared key (HELO), but none is configured", id="none"),
    ],
)  # fmt: skip
def test_wrong_credentials(check, security, reason):
    """A wrong shared key or password is found before a start, with the server's name and what to compare (S26, S27)."""
    with ScriptedServer(security=SECURITY) as server:
        status, said = check(forward_to(server), "--connect", secrets=security)

    assert status == 1
    assert said[-1].startswith(f"ERROR: {server.address}: {reason}")


def test_a_server_without_a_key(check):
    """The reverse: a server that says no HELO is found as well (S27)."""
    with ScriptedServer() as server:
        status, said = check(forward_to(server, connect_timeout=0.5), "--connect", secrets=credentials())

    assert status == 1
    assert "it accepted the connection but sent no HELO" in said[-1]


def test_an_impostor(check):
    """Who cannot prove the key is found, too (S26)."""
    behaviour = behaviours.answer_ping(True, "", "server.example", "0" * 128)
    with ScriptedServer(behaviour, security=SECURITY) as server:
        status, said = check(forward_to(server), "--connect", secrets=credentials())

    assert status == 1
    assert "it may be an impostor" in said[-1]


def test_a_client_certificate_that_is_missing(check, authority):
    """In TLS 1.3 a server looks at our certificate when we think that all is done: that is waited for (S25)."""
    with ScriptedServer(behaviours.hold, tls=authority.server(clients=authority)) as server:
        status, said = check(forward_to(server, tls=authority.client()), "--connect")

    assert status == 1
    assert f"ERROR: {server.address}: it asks for a client certificate" in said[-1]


def test_several_servers(check, authority):
    """Each is tried, and what is wrong with one says nothing of the others."""
    with (
        ScriptedServer(listening=False) as down,
        ScriptedServer(behaviours.hold) as silent,
        ScriptedServer(tls=authority.server()) as good,
    ):
        forward = forward_to(down, silent, good, tls=authority.client(), connect_timeout=0.5)
        status, said = check(forward, "--connect")

    assert status == 1
    assert said[-3:] == [
        f"ERROR: {down.address}: Connection refused. Look there, or correct what is configured.",
        f"ERROR: {silent.address}: no handshake within 0.5 s: it accepted the connection but does not answer in TLS; is it "
        "a Forward input with TLS? Look there, or correct what is configured.",
        f"ok: {good.address} takes a connection of ours",
    ]


def test_with_the_rights_of_the_workers(check, authority, tmp_path):
    """A key that only root can read is of no use to the workers' user; root finds that out."""
    own = authority.issue("client.example")
    os.chmod(own.key_file, 0o600)
    with ScriptedServer(tls=authority.server(clients=authority)) as server:
        forward = forward_to(server, tls=authority.client(own))
        status, said = check(forward, "--connect")
        assert (status, said[-1]) == (0, f"ok: {server.address} takes a connection of ours")
        if os.geteuid() == 0:
            for path in (tmp_path, *tmp_path.parents):
                if path.stat().st_uid == 0 and path.is_relative_to("/tmp/pytest-of-root"):
                    path.chmod(path.stat().st_mode | 0o011)
            status, said = check(forward, "--connect", master='user = "nobody"')
            assert status == 1
            assert f"ERROR: {server.address}: key_file {own.key_file} cannot be read by user" in said[-1]
