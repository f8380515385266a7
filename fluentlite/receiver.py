"""``fluentlite receive``: the embedded Forward server as a command that prints what arrives."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import select
import signal
import socket
import ssl
import stat
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass

from setproctitle import setproctitle

from fluentlite.config.file_kinds import SecretFile
from fluentlite.config.kinds import UnfitError
from fluentlite.config.model import DEFAULT_PORT, Server
from fluentlite.config.textfile import UnreadableError, read_text
from fluentlite.core.decode import Reading, ReceivedChunk
from fluentlite.core.display import defuse
from fluentlite.core.printing import json_lines, raw_lines
from fluentlite.core.server_session import ServerSecurity
from fluentlite.forward_server import Counters, Receiver
from fluentlite.signals import SignalInbox
from fluentlite.tls.context import server_context

__all__ = ["Counters", "Receiver", "run_receive"]

STDOUT, STDERR = 1, 2
COUNTER_INTERVAL = 1.0
DEFAULT_HOSTNAME = "fluentlite-receive"
"""Not this host's name: clients refuse a server that has their own."""
PIPE_BYTES = 4096
"""What can be written to a pipe that is ready without being blocked (PIPE_BUF)."""


def run_receive(argv: Sequence[str]) -> int:
    """
    Run ``fluentlite receive`` with the arguments *argv* (those after the word ``receive``).

    Returns:
        The exit code: 0 after TERM or INT, or when whoever read the output went away; 1 on an error,
        which has been reported on standard error.
    """
    options = _parse(argv)
    _fill_standard_descriptors()
    inbox = SignalInbox((signal.SIGTERM, signal.SIGINT))
    output = _Output(STDOUT, inbox) if options.output != "none" else None
    try:
        receiver = Receiver(
            options.bind,
            _printer(options, output),
            reading=_reading(options),
            acks=not options.no_ack,
            security=_security(options),
            tls=_tls(options),
            on_problem=_say,
            wake=inbox.fileno(),
        )
    except (OSError, UnicodeError) as exc:
        reason = _bind_problem(exc)
        _say(f"cannot listen on {options.bind}: {reason}. Choose another address with --bind.")
        return 1
    # Whatever secret the command line had, the list of processes does not show it any more.
    setproctitle(f"fluentlite: receive {receiver.address}")
    _say(f"listening on {receiver.address}{' with TLS' if options.tls_cert else ''}")
    with receiver:
        return _serve(receiver, inbox, _Ticker(receiver) if options.counter else None)


def _bind_problem(exc: OSError | UnicodeError) -> str:
    if isinstance(exc, UnicodeError):
        return "this is no host name"
    # The resolver's errors have numbers of their own; the others' text repeats the address.
    return str(exc.strerror) if isinstance(exc, socket.gaierror) else os.strerror(exc.errno or 0)


def _serve(receiver: Receiver, inbox: SignalInbox, ticker: _Ticker | None) -> int:
    begin = time.monotonic()
    try:
        while not inbox.has_stop():
            receiver.poll(ticker.tick() if ticker else None)
    except _StoppedError:
        pass  # nobody read the output; the chunk was not acknowledged
    except BrokenPipeError:
        _say("standard output was closed")
    except OSError as exc:
        _say(f"cannot write to standard output: {exc.strerror}. The last chunk was not acknowledged.")
        return 1
    finally:
        _say(f"total in {time.monotonic() - begin:.1f} s: {_summary(receiver.counters)}")
    return 0


def _fill_standard_descriptors() -> None:
    """Open the null device for those that are closed: else a client's socket would become standard output."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(fd)


class _StoppedError(Exception):
    """A signal to stop came while the output was blocked."""


class _Output:
    """Standard output, written so that a reader that has stopped reading does not keep TERM from being obeyed."""

    def __init__(self, fd: int, inbox: SignalInbox) -> None:
        self._fd, self._inbox = fd, inbox
        self._piece = sys.maxsize if stat.S_ISREG(os.fstat(fd).st_mode) else PIPE_BYTES

    def write(self, data: bytes) -> None:
        """
        Write all of *data*; nothing is kept in a buffer.

        Raises:
            BrokenPipeError: Nobody will ever read it.
            OSError: It cannot be written.
        """
        rest = memoryview(data)
        while rest:
            _, writable, _ = select.select([self._inbox], [self._fd], [])
            if writable:
                with contextlib.suppress(BlockingIOError):
                    rest = rest[os.write(self._fd, rest[: self._piece]) :]
            elif self._inbox.has_stop():
                raise _StoppedError


class _Ticker:
    """Reports once a second what came in that second."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._last, self._counted = time.monotonic(), astuple(receiver.counters)

    def tick(self) -> float:
        """Report if it is time; return the seconds until the next report."""
        now = time.monotonic()
        passed = now - self._last
        if passed >= COUNTER_INTERVAL:
            counted = astuple(self._receiver.counters)
            events, size, chunks, acks, _ = (
                (new - old) / passed for new, old in zip(counted, self._counted, strict=True)
            )
            _say(
                f"{events:.0f} events/s, {size:.0f} bytes/s, {chunks:.0f} chunks/s, {acks:.0f} acks/s, "
                f"{self._receiver.open_connections} connections; so far {_summary(self._receiver.counters)}"
            )
            self._last, self._counted, passed = now, counted, 0.0
        return COUNTER_INTERVAL - passed


def _summary(counters: Counters) -> str:
    return (
        f"{counters.events} events, {counters.bytes} bytes, {counters.chunks} chunks, "
        f"{counters.acks} acks, {counters.connections} connections"
    )


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # a closed standard error is no reason to stop receiving
        os.write(STDERR, f"fluentlite receive: {defuse(text)}\n".encode())


@dataclass(frozen=True, slots=True)
class _Options:
    """The command line, parsed."""

    bind: Server
    output: str
    field: str
    verify: bool
    counter: bool
    no_ack: bool
    shared_key: str | None
    self_hostname: str
    user: list[tuple[str, str]]
    tls_cert: str
    tls_key: str
    tls_client_ca: str


def _parse(argv: Sequence[str]) -> _Options:
    parser = argparse.ArgumentParser(
        prog="fluentlite receive",
        description="Receive events over the Forward protocol and print them.",
        epilog="Secrets on a command line can be seen by every user of this host while it starts: better give files.",
    )
    add = parser.add_argument
    add("--bind", type=_address, default=Server("127.0.0.1", DEFAULT_PORT), metavar="HOST:PORT",
        help="where to listen; [HOST]:PORT for IPv6, port 0 for any free one (default: %(default)s)")  # fmt: skip
    add("--output", choices=["json", "raw", "none"], default="json",
        help="json: one JSON object per event; raw: the log lines as they were; none: only count (default: %(default)s)")  # fmt: skip
    add("--field", default="message", metavar="NAME", help="the field that raw prints (default: %(default)s)")
    add(
        "--verify",
        action="store_true",
        help="look at every entry, also with --output none, and check the option size",
    )
    add("--counter", action="store_true", help="report once a second what arrives, on standard error")
    add("--no-ack", action="store_true", help="give no acks, also to clients that ask for them")
    add("--shared-key", metavar="KEY", help="ask every client for this key, as Fluentd's <security> does")
    add("--shared-key-file", type=_secret_file, dest="shared_key", metavar="FILE",
        help="the same, from a file that holds the key and nothing else")  # fmt: skip
    add("--self-hostname", default=DEFAULT_HOSTNAME, metavar="NAME",
        help="what to call itself in the handshake (default: %(default)s)")  # fmt: skip
    add("--user", type=_user, action="append", default=[], metavar="NAME:PASSWORD",
        help="ask for a user as well; may be given several times; needs a shared key")  # fmt: skip
    add("--user-file", type=_users, action="extend", dest="user", metavar="FILE",
        help="the same, from a file with NAME:PASSWORD in each line")  # fmt: skip
    add("--tls-cert", default="", metavar="FILE", help="speak TLS, with this certificate in PEM")
    add("--tls-key", default="", metavar="FILE", help="the key of that certificate, in PEM")
    add("--tls-client-ca", default="", metavar="FILE",
        help="ask every client for a certificate that was signed by one of these, in PEM")  # fmt: skip
    options = parser.parse_args(argv)
    if options.shared_key == "":
        parser.error("--shared-key is empty, so everybody would be let in")
    if options.user and not options.shared_key:
        parser.error(
            "--user needs --shared-key or its file: the handshake that carries users begins with the key"
        )
    if bool(options.tls_cert) != bool(options.tls_key) or (options.tls_client_ca and not options.tls_cert):
        parser.error("TLS needs both --tls-cert and --tls-key")
    return _Options(**vars(options))


def _address(text: str) -> Server:
    match = re.fullmatch(r"(?:\[(?P<ipv6>[^][]+)\]|(?P<host>[^][:]+)):(?P<port>[0-9]{1,5})", text)
    if not match or int(match["port"]) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no address; write HOST:PORT, or [HOST]:PORT for IPv6")
    return Server(match["ipv6"] or match["host"], int(match["port"]))


def _user(text: str) -> tuple[str, str]:
    name, colon, password = text.partition(":")
    if not name or not colon:
        raise argparse.ArgumentTypeError("a user is written NAME:PASSWORD")
    return name, password


def _secret_file(path: str) -> str:
    try:
        return SecretFile().read(path, os.getcwd())
    except UnfitError as exc:
        raise argparse.ArgumentTypeError(f"{path} {exc}") from None


def _users(path: str) -> list[tuple[str, str]]:
    try:
        lines = read_text(path).splitlines()
    except UnreadableError as exc:
        raise argparse.ArgumentTypeError(f"{path} {exc}") from None
    users = []
    for number, line in enumerate(lines, 1):
        try:
            users += [_user(line)] if line.strip() else []
        except argparse.ArgumentTypeError as exc:
            raise argparse.ArgumentTypeError(f"{path}, line {number}: {exc}") from None
    if not users:
        raise argparse.ArgumentTypeError(f"{path} names no user, so everybody would be let in")
    return users


def _tls(options: _Options) -> ssl.SSLContext | None:
    if not options.tls_cert:
        return None
    return server_context(options.tls_cert, options.tls_key, options.tls_client_ca)


def _reading(options: _Options) -> Reading:
    if options.verify:
        return Reading.VERIFY
    return Reading.COUNT if options.output == "none" else Reading.DECODE


def _security(options: _Options) -> ServerSecurity | None:
    if not options.shared_key:
        return None
    return ServerSecurity(options.shared_key, options.self_hostname, dict(options.user))


def _printer(options: _Options, output: _Output | None) -> Callable[[ReceivedChunk], None]:
    if output is None:
        return lambda _chunk: None
    if options.output == "json":
        return lambda chunk: output.write(json_lines(chunk))
    return lambda chunk: output.write(raw_lines(chunk, options.field))
