"""What random faults against the real worker have found, each in its shortest form."""

import os
import shutil
import subprocess
import sys
import threading

from following import numbered

OLD = numbered(1, 200)
"""More than a marker's bytes: where the new content is short, there is nothing in the place of the marker."""


SWITCH_ON = """
import os, sys
for number in range(6000):
    os.symlink(("r1", "r2")[number % 2], "draft")
    os.rename("draft", sys.argv[1])
"""
"""A process that switches a link for about half a second."""


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


def test_filled_and_emptied_between_two_looks(log, follower):
    """A file that was empty at the last look may have been cut short since: its copies are read first (T07, T08)."""
    log.create()
    follower.start()
    follower.look()
    for number in range(3):
        log.append(f"copied {number}")
        log.copytruncate()
    log.append("now")
    follower.finish()

    assert follower.lines == ["copied 0", "copied 1", "copied 2", "now"]


def test_filled_and_emptied_while_nothing_can_be_sent(log, follower):
    """The same where the looks go on but nothing is read, as while all servers are down (T03, T07)."""
    log.create()
    follower.start()
    follower.look()
    log.append("copied")
    log.copytruncate()
    log.append("now")
    follower.look()
    log.append("and then")
    follower.look()
    follower.finish()

    assert follower.lines == ["copied", "now", "and then"]


def test_filled_and_emptied_while_stopped(log, follower):
    """The same where nobody looked in between (T05, T07)."""
    log.create()
    follower.start()
    follower.stop()
    log.append("copied")
    log.copytruncate()
    log.append("now")
    follower.start()
    follower.finish()

    assert follower.lines == ["copied", "now"]


def test_a_backup_of_a_new_file(log, follower):
    """A copy beside a file that still has what was copied is no generation, whole or while it is being made (T41)."""
    log.create()
    follower.start()
    follower.look()
    log.append("one", "two")
    backup = log.path.with_name("app.log.old")
    backup.write_bytes(b"one\n")
    follower.look()
    backup.write_bytes(log.path.read_bytes())
    follower.look()
    follower.finish()

    assert follower.lines == ["one", "two"]


def test_an_empty_file_whose_inode_is_used_again(log, follower):
    """A file of which nothing was ever seen says nothing by its inode: what was rotated meanwhile is read (T05, T12)."""
    log.create()
    inode = log.inode()
    follower.start()
    follower.stop()
    log.append("rotated")
    log.copytruncate()  # to the agent this looks as if the inode had been used again for the file at the path
    assert log.inode() == inode
    log.append("rotated, too")
    log.copytruncate()
    log.append("now")
    follower.start()
    follower.finish()

    assert follower.lines == ["rotated", "rotated, too", "now"]


def test_rotations_do_not_wait_while_we_look(log, follower):
    """With a rotation every millisecond while the agent looks around, no file is overlooked and none read twice (T04, T42)."""
    follower.start()
    is_over, expected = threading.Event(), []

    def rotate():
        for number in range(400):
            lines = [f"{number}.{k}" for k in range(1 + number % 3)]
            with open(log.path, "a") as file:  # real times: the verbs of log give files others for a moment
                file.write("".join(f"{line}\n" for line in lines))
            expected.extend(lines)
            aside = log.path.with_name(f"app.log-{number:04}")
            if number % 4:
                shutil.copyfile(log.path, aside)
                os.truncate(log.path, 0)
            else:
                log.path.rename(aside)
        is_over.set()

    writer = threading.Thread(target=rotate)
    writer.start()
    while not is_over.is_set():
        follower.look(after=0.05)
        follower.read()
        follower.deliver()
    writer.join()
    follower.finish()

    assert sorted(follower.lines) == sorted(expected)


def test_a_link_that_leads_elsewhere_while_we_look(directory, make_follower):
    """A link in the path that is switched again and again harms nobody who is just looking around (T16)."""
    for name in ("r1", "r2"):
        (directory / name).mkdir()
        (directory / name / "app.log.1").write_text("old\n")
    link = directory / "current"
    link.symlink_to(directory / "r1")
    follower = make_follower(link / "app.log")
    follower.start()
    with subprocess.Popen([sys.executable, "-c", SWITCH_ON, str(link)], cwd=directory) as switching:
        places = set()
        while switching.poll() is None:
            places |= {sibling.name for sibling in follower.tail._directory.rotated()}

    assert places == {str(directory / name / "app.log.1") for name in ("current", "r1", "r2")}
