"""What random faults against the real worker have found, each in its shortest form."""

from following import numbered

OLD = numbered(1, 200)
"""More than a marker's bytes: where the new content is short, there is nothing in the place of the marker."""


def test_copytruncate_and_a_rotation_at_once(log, follower):
    """The copy of a file that was then renamed is no generation of its own: nothing of it is read again (T07, T09, T41)."""
    log.append(*OLD)
    follower.start()
    follower.follow()
    log.copytruncate()
    log.append("three")
    log.rotate()
    log.create("four")
    _look_often(follower)

    assert follower.lines == [*OLD, "three", "four"]


def test_copytruncate_and_a_deletion_at_once(log, follower):
    """The same where the emptied file is deleted: what came into it before is read from the open file (T07, T33)."""
    log.append(*OLD)
    follower.start()
    follower.follow()
    log.copytruncate()
    log.append("three")
    log.path.unlink()
    log.create("four")
    _look_often(follower)

    assert follower.lines == [*OLD, "three", "four"]


def _look_often(follower):
    """As when names change in the directory: looks come within milliseconds."""
    for _ in range(10):
        follower.look(after=0.05)
        follower.read()
        follower.deliver()
    follower.finish()
