"""Sending over TLS: what goes through it, whom it refuses, and what is said then."""

from __future__ import annotations

import os
import ssl
import time
from pathlib import Path

import behaviours
import pytest
from behaviours import ack_all
from certificates import NAME
from sending import Sending, forward_settings, large_lines, numbered, timed

from fluentlite.config.model import SecuritySettings, Server, TlsSettings
from fluentlite.core.server_session import ServerSecurity

SECURITY = ServerSecurity("key", "server.example", {"alice": "wonder"})
CREDENTIALS = SecuritySettings(
    shared_key="key", self_hostname="client.example", username="alice", password="wonder"
)


def complaint(said):
    """The one thing that was said, without what all such messages have."""
    (text,) = said("ERROR")
    assert text.endswith("; lines wait in the log until a server takes them")
    return text.removesuffix("; lines wait in the log until a server takes them")


def is_refused(sending, server, said):
    """A chunk is waiting; it is refused at least twice, and nothing of it has reached the server."""
    sending.put(b"not for everybody")
    sending.until(lambda: len(server.connections) >= 3)
    assert not sending.delivered
    assert server.chunks == []
    assert b"not for everybody" not in b"".join(bytes(one.received) for one in server.connections)
    return complaint(said)


# -- what goes through it -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "forward",
    [
        pytest.param({}, id="plain"),
        pytest.param({"compress": "gzip"}, id="gzip"),
        pytest.param({"max_in_flight": 1}, id="one-in-flight"),
        pytest.param({"require_ack_response": False}, id="without-acks"),
    ],
)
def test_every_line_arrives_once(serve, authority, forward):
    """Small chunks and such as are larger than what OpenSSL or the kernel take at once arrive whole, in order, once."""
    server, lines = serve(tls=authority.server()), large_lines(12_000)
    with Sending(server, tls=authority.client(), **forward) as sending:
        sending.deliver(b"a")
        sending.put(*lines, steps=180)
        sending.put(b"b")
        sending.until(lambda: len(sending.delivered) == 3)
        server.wait_for(lambda: len(server.chunks) == 3)

        assert server.lines() == [b"a", *lines, b"b"]
        assert sending.sender.connects == 1


def test_with_a_handshake(serve, authority):
    """HELO, PING and PONG travel inside TLS."""
    server = serve(tls=authority.server(), security=SECURITY)
    with Sending(server, tls=authority.client(), security=CREDENTIALS) as sending:
        sending.deliver(b"a")
        assert server.lines() == [b"a"]


def test_many_small_chunks(serve, authority):
    """What fits into one record of TLS is one record, and one write: a small chunk costs no more than it must."""
    server = serve(tls=authority.server())
    with Sending(server, tls=authority.client()) as sending:
        for number in range(200):
            sending.put(b"%d" % number, b"x" * 50, steps=2)
        sending.until(lambda: len(sending.delivered) == 200)
        assert server.lines()[::2] == [b"%d" % number for number in range(200)]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions(serve, authority, version):
    """TLS 1.2 and 1.3 are spoken."""
    context = authority.server()
    context.minimum_version = context.maximum_version = version
    server = serve(tls=context)
    with Sending(server, tls=authority.client()) as sending:
        sending.deliver(b"a")
        assert server.connections[0].socket.version() == version.name.replace("_", ".")


def test_older_versions(serve, authority, said):
    """TLS 1.1 is not: there are attacks on it."""
    context = authority.server()
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    server = serve(tls=context)
    with Sending(server, tls=authority.client()) as sending:
        assert f"{server.address}: TLS failed: " in is_refused(sending, server, said)


def _slowly(connection):
    connection.rest = 0.002
    ack_all(connection)


@pytest.mark.parametrize(
    "behaviour",
    [
        behaviours.ack_in_single_bytes,
        behaviours.acks_joined(3),
        _slowly,
    ],
    ids=["acks-in-pieces", "acks-joined", "reads-slowly"],
)
def test_acks_come_as_they_like(serve, authority, behaviour):
    """An ack may be cut into records, several may share one, and the server may be slower than we are (S05, S10)."""
    server, lines = serve(behaviour, tls=authority.server()), numbered(1, 3000, size=400)
    with Sending(server, tls=authority.client()) as sending:
        for start in range(0, 3000, 500):
            sending.put(*lines[start : start + 500], steps=4)
        sending.until(lambda: len(sending.delivered) == 6, timeout=20)
        assert server.lines() == lines


@pytest.mark.parametrize(
    "behaviour",
    [behaviours.close_in_ack(1), behaviours.close_after(1, reset=True), behaviours.close_in_chunk(30_000)],
    ids=["in-an-ack", "reset", "in-a-chunk"],
)
def test_a_connection_that_breaks(serve, authority, behaviour):
    """Whatever was not acknowledged on it goes again, with the same id, on the next one (S02, S11, S12)."""
    server, lines = serve([behaviour, ack_all], tls=authority.server()), numbered(1, 2000, size=100)
    with Sending(server, tls=authority.client()) as sending:
        for start in range(0, 2000, 500):
            sending.put(*lines[start : start + 500])
        sending.until(lambda: len(sending.delivered) == 4)
        assert sending.lines == lines
        assert set(lines) == set(server.lines(acked=True))


def test_a_server_that_stops_reading(serve, authority, said):
    """It is given up after send_timeout, as without TLS, and another one gets everything (S09)."""
    stuck, good = serve(behaviours.stop_reading(1), tls=authority.server()), serve(tls=authority.server())
    lines = large_lines()
    with Sending(stuck, secondary=[good], tls=authority.client(), send_timeout=0.5) as sending:
        sending.deliver(b"a")
        sending.put(*lines, steps=250)
        sending.until(lambda: len(sending.delivered) == 2)
        assert complaint(said) == f"{stuck.address}: it did not take a chunk within 0.5 s"
        assert good.lines() == lines


def test_without_acks_only_what_has_left_counts(serve, authority):
    """Without acks a chunk is delivered when the kernel has taken its last encrypted byte, not when it is encrypted."""
    server = serve(behaviours.stop_reading(), tls=authority.server())
    with Sending(server, tls=authority.client(), require_ack_response=False) as sending:
        sending.until(lambda: sending.server)
        sending.put(*large_lines(), steps=250)
        sending.run(0.5)
        assert sending.delivered == []
        assert sending.sender.has_unsent


def test_a_renewal_over_tls(serve, authority):
    """HUP prepares the next connection, TLS and all, beside the one in use: nothing is sent twice."""
    server = serve(tls=authority.server())
    with Sending(server, tls=authority.client()) as sending:
        sending.deliver(b"a")
        sending.sender.reconnect(time.monotonic())
        sending.until(lambda: sending.sender.connects == 2)
        sending.deliver(b"b")
        assert server.lines() == [b"a", b"b"]
        assert sending.sender.in_flight.resent == 0


def test_a_renewal_that_is_refused(serve, authority, said):
    """
    A certificate that has expired meanwhile does not cost the connection in use: in TLS 1.3 the server says so when we
    think that all is done, and that is waited for; it is told, since the next connection may be needed (S25).
    """
    server = serve(tls=authority.server(clients=authority))
    own, expired = authority.issue("client.example"), authority.issue("client.example", days=-1)
    with Sending(server, tls=authority.client(own)) as sending:
        sending.deliver(b"a")
        own.replace_by(expired)
        sending.sender.reconnect(time.monotonic())
        sending.until(lambda: said())
        sending.deliver(b"b")
        assert sending.sender.connects == 1
        assert [one.connection for one in server.chunks] == [0, 0]
        (text,) = said()
        assert (
            f"our certificate has expired; see cert_file and key_file in [forward.tls], and its own log; staying with {server.address}"
            in text
        )


# -- whom it refuses ----------------------------------------------------------------------------------


def test_a_certificate_of_an_unknown_authority(serve, authority, other, said):
    """A server whose certificate nobody we trust has signed gets nothing (S25)."""
    server = serve(tls=other.server())
    with Sending(server, tls=authority.client()) as sending:
        text = is_refused(sending, server, said)
        assert text.startswith(f"{server.address}: its certificate is not accepted: ")
        assert (
            "; set ca_file in [forward.tls] to the authority that has signed it, or, if it is, let the server"
            in text
        )


def test_the_authorities_of_the_system(serve, authority, said):
    """Without ca_file those of the system count, and verification is on."""
    server = serve(tls=authority.server())
    with Sending(server, tls=TlsSettings()) as sending:
        assert "its certificate is not accepted" in is_refused(sending, server, said)


def test_a_certificate_for_another_name(serve, authority, said):
    """A server that has somebody else's certificate gets nothing; the message names both, and the remedy (S25)."""
    server = serve(tls=authority.server(authority.issue("elsewhere.example")))
    with Sending(server, tls=authority.client()) as sending:
        text = is_refused(sending, server, said)
        assert text.startswith(f"{server.address}: its certificate is not accepted: ")
        assert "certificate is not valid for '127.0.0.1'" in text
        assert "or set server_name in [forward.tls]" in text


def test_server_name(serve, authority):
    """server_name is what the certificate must be for, and what the server is told that we want (SNI)."""
    context = authority.server(authority.issue("elsewhere.example"))
    asked = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    server = serve(tls=context)
    with Sending(server, tls=authority.client(server_name="elsewhere.example")) as sending:
        sending.deliver(b"a")
        assert asked == ["elsewhere.example"]


def test_the_name_that_is_configured(serve, authority, names):
    """Otherwise it is the server's name as configured, also where that ends in a dot."""
    server = serve(tls=authority.server(authority.issue(NAME)))
    for name in (NAME, f"{NAME}."):
        names[name] = [("127.0.0.1", server.port)]
        with Sending(Server(name, server.port), tls=authority.client()) as sending:
            sending.deliver(name.encode())
    assert len(server.lines()) == 2


def test_an_expired_certificate(serve, authority, said):
    """A server whose certificate has expired gets nothing, and is named with the remedy (S25)."""
    server = serve(tls=authority.server(authority.issue(days=-1)))
    with Sending(server, tls=authority.client()) as sending:
        assert is_refused(sending, server, said) == (
            f"{server.address}: its certificate is not accepted: certificate has expired; renew it there (or the "
            "authority's in ca_file), or correct the clock here"
        )


def test_verification_switched_off(serve, other):
    """verify = false takes whoever answers."""
    server = serve(tls=other.server(other.issue("elsewhere.example", days=-1)))
    with Sending(server, tls=TlsSettings(verify=False)) as sending:
        sending.deliver(b"a")


def test_the_server_itself_is_trusted(serve, authority):
    """ca_file may hold the server's own certificate instead of an authority's."""
    shown = authority.issue()
    server = serve(tls=authority.server(shown))
    with Sending(server, tls=TlsSettings(ca_file=shown.cert_file)) as sending:
        sending.deliver(b"a")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda _own, _other: None, "it asks for a client certificate", id="none"),
        pytest.param(
            lambda _own, other: other.issue("client.example"),
            "it does not know who has signed our certificate",
            id="of-another-authority",
        ),
        pytest.param(
            lambda own, _other: own.issue("client.example", days=-1), "our certificate has expired", id="expired"
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_client_certificate_that_is_not_accepted(serve, authority, other, said, version, make, reason):
    """A server that refuses our certificate, or misses it, is named with the reason; the chunk is not to blame (S25)."""
    context = authority.server(clients=authority)
    context.minimum_version = context.maximum_version = version
    server = serve(tls=context)
    with Sending(server, tls=authority.client(make(authority, other)), reconnect_wait_max=0.5) as sending:
        chunk = sending.put(b"not for everybody", b"at all", steps=2)
        sending.until(lambda: len(server.connections) >= 5)
        assert not sending.delivered
        assert server.chunks == []
        assert [one.id for one in sending.sender.in_flight.unacknowledged()] in ([chunk.id], [])
        text = complaint(said)
        assert text.startswith(f"{server.address}: ")
        if version is ssl.TLSVersion.TLSv1_2 and "asks for" in reason:
            reason = "it may ask for a client certificate, or for another kind of TLS"
        assert f"{reason}; see cert_file and key_file in [forward.tls], and its own log" in text


@pytest.mark.parametrize(
    "leave", [behaviours.close_at_once, behaviours.reset_at_once], ids=["closes", "resets"]
)
def test_a_server_that_leaves_without_a_word(serve, authority, said, leave):
    """
    In TLS 1.3 a server sees our certificate when we are through with it, and may have no word for what it sees: no chunk
    was given to it by then, and none is to blame (S25).
    """
    context = authority.server()
    context.num_tickets = 0
    server = serve(leave, tls=context)
    with Sending(server, tls=authority.client(), reconnect_wait_max=0.1) as sending:
        sending.put(b"a", b"b")
        sending.until(lambda: len(server.connections) >= 8)
        assert sending.sender.in_flight.resent == 0
        assert "before it had answered; does it accept our certificate?" in complaint(said)

        server.restart(ack_all)
        sending.until(lambda: sending.lines == [b"a", b"b"])
        assert [one.lines() for one in server.chunks] == [[b"a", b"b"]]


@pytest.mark.parametrize("connect_timeout", [5.0, 0.2])
def test_a_server_that_gives_no_tickets(serve, authority, connect_timeout):
    """A server that has nothing to say in TLS 1.3 is believed after a while, however short its deadline is."""
    context = authority.server()
    context.num_tickets = 0
    server = serve(tls=context)
    with Sending(server, tls=authority.client(), connect_timeout=connect_timeout) as sending:
        sending.deliver(b"a")
        assert sending.sender.connects == 1


def test_a_client_certificate(serve, authority):
    """cert_file and key_file are shown to a server that asks for them."""
    server = serve(tls=authority.server(clients=authority))
    with Sending(server, tls=authority.client(authority.issue("client.example"))) as sending:
        sending.deliver(b"a")
        assert server.connections[0].socket.getpeercert()["subjectAltName"] == (("DNS", "client.example"),)


# -- files that change, or are missing ----------------------------------------------------------------


def test_an_authority_that_is_replaced(serve, authority, other, said):
    """ca_file is read at each connection: one that is replaced counts without a restart (S25)."""
    server = serve(tls=other.server())
    with Sending(server, tls=authority.client(), reconnect_wait_max=0.5) as sending:
        is_refused(sending, server, said)
        other.write_to(authority.ca_file)
        sending.until(lambda: sending.delivered)
        assert said()[-1] == f"{server.address}: it takes lines again"


def test_a_client_certificate_that_is_renewed(serve, authority, said):
    """So are cert_file and key_file."""
    server = serve(tls=authority.server(clients=authority))
    own, renewed = authority.issue("client.example", days=-1), authority.issue("client.example")
    with Sending(server, tls=authority.client(own), reconnect_wait_max=0.5) as sending:
        sending.put(b"a")
        sending.until(lambda: len(server.connections) >= 2)
        assert "our certificate has expired" in complaint(said)
        own.replace_by(renewed)
        sending.until(lambda: sending.delivered)


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        pytest.param(lambda path: path.unlink(), "(No such file or directory)", id="missing"),
        pytest.param(lambda path: path.write_text("no certificate\n"), "holds no certificate that can be read", id="no-pem"),
        pytest.param(lambda path: (path.unlink(), os.mkfifo(path)), "is not a regular file", id="fifo"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used(serve, authority, said, break_it, reason):
    """It is named with reason and remedy, nothing is sent without it, and once it is there all goes on by itself."""
    server, path = serve(tls=authority.server()), Path(authority.ca_file)
    good = path.read_bytes()
    break_it(path)
    with Sending(server, tls=authority.client(), reconnect_wait_max=0.5) as sending:
        text = is_refused(sending, server, said)
        assert text.startswith(f"{server.address}: ca_file {path} ")
        assert reason in text
        path.unlink(missing_ok=True)
        path.write_bytes(good)
        sending.until(lambda: sending.delivered)


# -- servers that speak something else ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "security", "reason"),
    [
        pytest.param(ack_all, SECURITY, "what it sends is no TLS; is its Forward input one with TLS?", id="helo"),
        pytest.param(behaviours.close_at_once, None, "is it a Forward input with TLS?", id="closes"),
        pytest.param(lambda c: c.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), None, "what it sends is no TLS", id="http"),
    ],
)  # fmt: skip
def test_a_server_without_tls(serve, authority, said, behaviour, security, reason):
    """A server that does not speak TLS gets nothing in the clear, and the message asks what to look at (S27)."""
    server = serve(behaviour, security=security)
    with Sending(server, tls=authority.client(), reconnect_wait_max=0.5) as sending:
        sending.put(b"not for everybody")
        sending.until(lambda: len(server.connections) >= 3)
        assert any(reason in text for text in said("ERROR"))
        assert all(text.startswith(f"{server.address}: ") for text in said("ERROR"))
    server.stop()
    server.errors.clear()  # it did not understand TLS, either
    assert not any(b"not for everybody" in bytes(one.received) for one in server.connections)


def test_a_server_that_wants_tls(serve, authority, said):
    """The reverse: without [forward.tls] nothing counts as delivered to a server that waits for TLS, and that is asked (S27)."""
    server = serve(tls=authority.server())
    with Sending(server, ack_response_timeout=0.3, reconnect_wait_max=0.5) as sending:
        sending.put(b"a")
        sending.until(lambda: len(server.connections) >= 3)
        assert not sending.delivered
        assert "before it had acknowledged anything; does it want TLS?" in complaint(said)


def test_a_server_that_takes_no_json(serve, said):
    """A server that closes as soon as it sees JSON, as Fluent Bit, is asked about that."""
    server = serve(behaviours.close_after(0))
    with Sending(server, format="json", reconnect_wait_max=0.5) as sending:
        sending.put(b"a")
        sending.until(lambda: len(server.connections) >= 2)
        assert "before it had acknowledged anything; does it take JSON? Fluent Bit does not" in complaint(
            said
        )


def _tls_and_silence(authority):
    """The server's part of the handshake, up to the last byte but one, and then nothing."""

    def behave(connection):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = authority.server().wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(connection.read())
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        connection.send(outgoing.read()[:-1])
        connection.hold()

    return behave


@pytest.mark.parametrize("kind", ["silent", "stops-in-the-middle", "drips"])
def test_a_handshake_without_end(serve, authority, said, kind):
    """One deadline covers TCP, TLS and HELO: a server that is silent, stops or drips is given up, and another one takes over (S24)."""
    behaviour = {
        "silent": behaviours.hold,
        "stops-in-the-middle": _tls_and_silence(authority),
        "drips": behaviours.drip(b"\x16\x03\x03\x3f\xff"),  # a record of TLS that never ends
    }[kind]
    silent, good = serve(behaviour), serve(tls=authority.server())
    with Sending(silent, secondary=[good], tls=authority.client(), connect_timeout=0.5) as sending:
        sending.put(b"a")
        assert 0.5 <= timed(sending.until, lambda: sending.delivered) < 2.0
        assert complaint(said) == (
            f"{silent.address}: no handshake within 0.5 s: it accepted the connection but does not answer in TLS; is it a "
            "Forward input with TLS?"
        )


def test_tls_without_a_helo(serve, authority, said):
    """TLS is there, but no HELO comes: the same deadline, and the message says what is missing (S24, S27)."""
    silent, good = (
        serve(behaviours.hold, tls=authority.server()),
        serve(tls=authority.server(), security=SECURITY),
    )
    with Sending(
        silent, secondary=[good], tls=authority.client(), security=CREDENTIALS, connect_timeout=0.5
    ) as sending:
        sending.put(b"a")
        assert 0.5 <= timed(sending.until, lambda: sending.delivered) < 2.0
        assert "no handshake within 0.5 s: it accepted the connection but sent no HELO" in complaint(said)


def test_an_impostor_behind_tls(serve, authority, said):
    """A certificate does not prove the shared key: who cannot gets no data, whatever its certificate (S26)."""
    impostor = behaviours.answer_ping(True, "", "server.example", "0" * 128)
    server = serve(impostor, tls=authority.server(), security=SECURITY)
    with Sending(server, tls=authority.client(), security=CREDENTIALS) as sending:
        assert "it could not prove that it knows our shared_key" in is_refused(sending, server, said)


def test_settings_are_not_shown():
    """Nothing that is logged of settings shows a secret."""
    assert "wonder" not in repr(forward_settings([Server("a")], security=CREDENTIALS))
