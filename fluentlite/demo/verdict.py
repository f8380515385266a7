"""The last words of every demo."""

from __future__ import annotations

from fluentlite.demo.stage import Stage


def judge(stage: Stage, is_good: bool, what: str = "every line") -> int:
    """
    Tell the verdict on *what*; a bad one with the end of the daemon's log, which may say why.

    Returns:
        The exit status.
    """
    if is_good:
        stage.show.tell(f"verdict: {what} arrived, once and whole")
        return 0
    stage.show.tell(f"verdict: NOT {what} arrived exactly once; the daemon's log ends with:")
    stage.show.tell(stage.daemon.last_words())
    return 1
