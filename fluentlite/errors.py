"""The errors that fluentlite raises on purpose; everything else is a bug."""


class FluentliteError(Exception):
    """Base of all; its text names the object, the reason and the remedy."""


class ConfigError(FluentliteError):
    """
    The configuration cannot be used.

    Attributes:
        problems: One complete sentence each; all that were found, not only the first.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class NotConfiguredError(ConfigError):
    """
    There is no configuration file, or no [[log]] in one without mistakes: the program is not configured (LSB status 6),
    rather than wrongly so.
    """


class StateError(FluentliteError):
    """What we keep on disk cannot be used: a checkpoint with its directory and lock, or the control socket."""


class LockedError(StateError):
    """Another process holds the checkpoint; it may be about to leave."""


class LocalProtocolError(FluentliteError):
    """We used a session in a way that its state forbids: a bug of ours."""


class RemoteProtocolError(FluentliteError):
    """The peer is out of step; the connection must be closed."""


class PeerClosedError(RemoteProtocolError):
    """The peer has closed an established connection, for a reason of its own."""


class AuthenticationError(RemoteProtocolError):
    """The peer refused our credentials, or could not prove that it knows the shared key."""


class LetterError(FluentliteError):
    """A file is no dead letter that can be used; its text says why, not which file."""
