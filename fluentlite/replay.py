"""``fluentlite replay``: dead letters are sent again, each as a worker would send it, and removed when that was acknowledged."""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import random
import time
from collections.abc import Sequence
from dataclasses import replace

from fluentlite.config.load import load
from fluentlite.config.model import DEFAULT_CONFIG_PATH, ForwardSettings, LogSettings, Settings
from fluentlite.config.problems import shown
from fluentlite.core.display import defuse
from fluentlite.core.forward import ChunkEncoder
from fluentlite.core.letter import Letter, decode_letter
from fluentlite.errors import ConfigError, LetterError
from fluentlite.letter_file import LetterFile
from fluentlite.loop import Loop
from fluentlite.options import Options
from fluentlite.saying import say
from fluentlite.worker.sender import Sender

REPLAY_HELP = f"""\
Usage: fluentlite replay [-c FILE] [--log TAG] [--keep] LETTER ...

Sends dead letters again: records that every server had refused, which lie in state_dir/dead-letters. "head -n 1 LETTER"
shows what each is and why it was refused. A letter goes, with its own tag, where the configuration FILE (default:
$FLUENTLITE_CONFIG, then {DEFAULT_CONFIG_PATH}) sends the lines of its log; if there is no such log any more, as
those of the log with its tag, or of the log that --log names. When a server has acknowledged it, the file is removed,
unless you say --keep. Interrupted at any moment, a letter is still there, or has been delivered.
Exit status: 0 all were delivered, 1 some were not: then it says why, and their files stay."""

INTERRUPTED = 130


def run_replay(argv: Sequence[str]) -> int:
    """
    Send dead letters again.

    Args:
        argv: The arguments after ``fluentlite replay``.

    Raises:
        ConfigError: They, or the configuration, cannot be used.
    """
    parser = Options("replay", REPLAY_HELP)
    parser.add_argument("--log", metavar="TAG")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("letters", nargs="*", metavar="LETTER")
    options = parser.read(argv)
    if options is None:
        return 0
    if not options.letters:
        raise ConfigError('Name the letters to send, as in "fluentlite replay /var/lib/fluentlite/dead-letters/*.letter".')  # fmt: skip
    logging.getLogger("fluentlite").addHandler(logging.NullHandler())  # what is to be said is said here
    settings = load(options.config, os.environ)
    are_delivered = True
    for path in options.letters:
        try:
            said = _replay(path, settings, options.log, keep=options.keep)
        except LetterError as exc:
            say(f"fluentlite replay: {defuse(path)}: {exc}. It stays where it is.", is_error=True)
            are_delivered = False
        except KeyboardInterrupt:
            say(f"fluentlite replay: {defuse(path)}: interrupted before a server had acknowledged it. It stays where it is.", is_error=True)  # fmt: skip
            return INTERRUPTED
        else:
            say(f"{defuse(path)}: {said}")
    return 0 if are_delivered else 1


def _replay(path: str, settings: Settings, tag: str | None, *, keep: bool) -> str:
    """Send one letter; returns what was done. LetterError: it could not be."""
    with LetterFile(path, _owners(settings)) as file:
        letter = decode_letter(file.read())
        server = _deliver(letter, _log_of(letter, settings, tag).forward)
        if keep:
            return f"delivered to {server}; kept"
        file.remove()
        return f"delivered to {server}, and removed"


def _owners(settings: Settings) -> set[int]:
    """Whose letters are believed: root's, our own, and those of the user that workers run as."""
    owners = {0, os.geteuid()}
    with contextlib.suppress(KeyError):  # a user that there is not has written none
        if settings.master.user is not None:
            owners.add(pwd.getpwnam(settings.master.user).pw_uid)
    return owners


def _log_of(letter: Letter, settings: Settings, tag: str | None) -> LogSettings:
    """Return the log whose settings are used."""
    if tag is None:
        found = [log for log in settings.logs if log.path == letter.path]
        found += [log for log in settings.logs if log.tag == letter.tag]
        problem = (
            f"{settings.path} has no log with the path {shown(letter.path)} or the tag {shown(letter.tag)}; say with "
            "--log TAG which log's servers are meant"
        )
    else:
        found = [log for log in settings.logs if log.tag == tag]
        problem = f"{settings.path} has no log with the tag {shown(tag)}"
    if not found:
        raise LetterError(problem)
    return found[0]


def _deliver(letter: Letter, configured: ForwardSettings) -> str:
    """Send *letter*; every server is tried once. Returns which has acknowledged it. LetterError: none has."""
    if letter.format == "json" and configured.security is not None:
        raise LetterError("it was sent as JSON, and servers with [forward.security] take none")
    # It can only have become a letter where servers acknowledge.
    forward = replace(configured, format=letter.format, require_ack_response=True)
    encoder = ChunkEncoder(
        letter.tag, require_ack=True, compress=forward.compress, as_json=letter.format == "json"
    )
    loop = Loop()
    sender = Sender(forward, encoder, loop, random.Random())
    try:
        sender.send(letter.to_chunk(encoder), time.monotonic())
        while True:
            sender.advance(time.monotonic())
            if sender.in_flight.take_delivered():
                return str(sender.server or "a server")  # which may have gone since
            if sender.is_resting:
                raise LetterError(f"no server has taken it: {'; '.join(sender.failures)}")
            loop.wait(max(0.0, sender.deadline - time.monotonic()))
    finally:
        sender.close()
        loop.close()
