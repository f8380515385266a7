"""The one way out of a demo before its end."""


class StoppedError(Exception):
    """Somebody wants the demo to end; the text says who."""
