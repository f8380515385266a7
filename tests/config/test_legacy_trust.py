"""A shell configuration runs with our rights, so nobody else may have had a hand in it."""

import os
import pwd
import stat

import pytest

from fluentlite.config.legacy import read
from fluentlite.config.trust import open_trusted
from fluentlite.errors import ConfigError

SCRIPT = "PRIMARY_SERVER=192.0.2.1\nLOGS='app /var/log/app.log'\n"
OTHER = pwd.getpwnam("nobody").pw_uid
ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def script(write):
    """A configuration that may be used, in a directory of its own."""
    path = write("conf/old.conf", SCRIPT)
    os.chmod(path, 0o644)
    os.chmod(os.path.dirname(path), 0o755)
    return path


def give_away(path):
    """Let *path* belong to somebody who is neither root nor the caller; only root can."""
    os.chown(path, OTHER, -1, follow_symlinks=False)


def problems_of(path):
    with pytest.raises(ConfigError) as caught:
        read(path, {})
    return list(caught.value.problems)


def test_ones_own_file_is_read(script):
    """The caller's own file, in directories of his own or root's, is run."""
    assert [log.tag for log in read(script, {}).settings.logs] == ["app"]


@pytest.mark.parametrize(
    ("mode", "who"), [(0o664, "its group"), (0o646, "everybody"), (0o622, "everybody"), (0o4666, "everybody")]
)
def test_a_file_that_others_may_write_is_refused(script, mode, who):
    """Neither its group nor the others may write; the command that mends it is told."""
    os.chmod(script, mode)

    [problem] = problems_of(script)
    assert f"with the rights of {ME}, but it can be written by {who}" in problem
    assert problem.endswith(f"run: chmod go-w {script}")


def test_nothing_of_a_refused_file_is_run(script, tmp_path):
    """It is refused before bash sees it."""
    with open(script, "a") as file:
        file.write(f"touch {tmp_path}/ran\n")
    os.chmod(script, 0o666)
    problems_of(script)

    assert not (tmp_path / "ran").exists()


def test_a_file_of_somebody_else_is_refused(script):
    """Who may change it could make us run anything."""
    give_away(script)
    [problem] = problems_of(script)

    assert "but it belongs to nobody." in problem
    assert problem.endswith(f"run: chown {ME} {script}")


@pytest.mark.parametrize(("mode", "who"), [(0o777, "everybody"), (0o775, "its group")])
def test_a_directory_in_which_others_may_replace_it_is_refused(script, mode, who):
    """Write permission on any directory of the way is as good as on the file."""
    directory = os.path.dirname(script)
    os.chmod(directory, mode)

    [problem] = problems_of(script)
    assert f"the directory {directory} on the way to this script can be written by {who}" in problem
    assert f"Run: chmod go-w {directory}, or" in problem


def test_a_sticky_directory_is_enough(script):
    """In /tmp everybody may write, but only owners replace their entries."""
    os.chmod(os.path.dirname(script), 0o1777)

    assert read(script, {}).settings.logs


def test_a_directory_of_somebody_else_is_refused_even_if_sticky(script):
    """Its owner may replace everything in it."""
    directory = os.path.dirname(script)
    os.chmod(directory, 0o1755)
    give_away(directory)
    [problem] = problems_of(script)

    assert f"the directory {directory} on the way to this script belongs to nobody" in problem


def test_a_directory_far_above_counts_as_well(write, tmp_path):
    """The whole way is looked at, not only its end."""
    path = write("a/b/c/old.conf", SCRIPT)
    os.chmod(tmp_path / "a", 0o777)

    [problem] = problems_of(path)
    assert f"the directory {tmp_path}/a on the way" in problem


def test_links_are_followed_and_looked_at(script, tmp_path):
    """A symbolic link adds its own way: where it lies, and where it leads to."""
    safe = tmp_path / "safe"
    safe.mkdir(mode=0o755)
    (safe / "link.conf").symlink_to("../conf/old.conf")
    (safe / "dir").symlink_to(tmp_path / "conf")
    for path in (safe / "link.conf", safe / "dir" / "old.conf"):
        assert read(str(path), {}).settings.logs
    os.chmod(tmp_path / "conf", 0o777)
    for path in (safe / "link.conf", safe / "dir" / "old.conf"):
        [problem] = problems_of(str(path))
        assert f"the directory {tmp_path}/conf on the way" in problem


def test_a_link_of_somebody_else_is_refused(script, tmp_path):
    """In a sticky directory he could point it elsewhere."""
    drop = tmp_path / "drop"
    drop.mkdir()
    os.chmod(drop, 0o1777)
    link = drop / "link.conf"
    link.symlink_to(script)
    give_away(link)
    [problem] = problems_of(str(link))

    assert f"the symbolic link {link} on the way to this script belongs to nobody" in problem
    assert f"Run: chown -h {ME} {link}, or" in problem


def test_links_in_a_circle_end(tmp_path):
    """They are reported as the kernel does."""
    (tmp_path / "a.conf").symlink_to("b.conf")
    (tmp_path / "b.conf").symlink_to("a.conf")

    with pytest.raises(ConfigError, match="Too many levels of symbolic links"):
        open_trusted(f"{tmp_path}/a.conf")


def test_all_reasons_are_told_at_once(script):
    """Whoever mends one thing need not come back for the next."""
    os.chmod(script, 0o666)
    os.chmod(os.path.dirname(script), 0o777)
    give_away(script)
    assert len(problems_of(script)) == 3


def test_what_is_no_file_is_refused(tmp_path):
    """A directory, and a FIFO without making us wait for its other end."""
    (tmp_path / "d.conf").mkdir()
    os.mkfifo(tmp_path / "f.conf")
    for name in ("d.conf", "f.conf"):
        [problem] = problems_of(f"{tmp_path}/{name}")
        assert f"{name}: it is not a regular file." in problem


def test_what_was_checked_is_what_is_opened(script):
    """The descriptor leads to the file that was checked, and no other process inherits it."""
    fd = open_trusted(script)
    os.unlink(script)
    try:
        assert os.pread(fd, 100, 0) == SCRIPT.encode()
        assert stat.S_ISREG(os.fstat(fd).st_mode)
        assert not os.get_inheritable(fd)
    finally:
        os.close(fd)


def test_refusals_leave_no_descriptor_open(script):
    """A master that is asked to reload a bad file again and again does not run out of them."""
    os.chmod(script, 0o666)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        problems_of(script)

    assert len(os.listdir("/proc/self/fd")) == before
