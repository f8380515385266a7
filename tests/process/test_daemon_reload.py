"""Reloads: a new configuration takes effect without a lost or doubled line, a broken one not at all."""

import os
import signal
import time
from pathlib import Path

import pytest
from arrivals import Arrivals
from following import numbered
from kernel import children, is_alive, open_files
from writing import Writing


def reload(daemon):
    daemon.write_config()
    result = daemon.run("reload")
    assert result.status == 0, result
    return result.out


def log_entry(daemon, name, **more):
    return {"tag": name, "path": str(daemon.path(name)), **more}


def broken(daemon):
    with open(daemon.config_path, "a") as file:
        file.write('poll_intervall = 1\n[[log]]\ntag = ""\n')


def half(daemon):
    daemon.config_path.write_bytes(daemon.config_path.read_bytes()[:-20])


@pytest.mark.parametrize("spoil", [broken, half])
def test_a_broken_configuration(daemon, arrivals, spoil):
    """
    A configuration that cannot be used changes nothing: ``reload`` fails with the reasons, ``status`` and the log tell
    them, and HUP is as harmless; a good one makes them forgotten (P10).
    """
    daemon.announce("reload refused")
    before = daemon.processes()
    spoil(daemon)
    result = daemon.run("reload")
    os.kill(daemon.master(), signal.SIGHUP)
    daemon.eventually(lambda: daemon.said().count("reload refused") >= 2)
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])

    assert (result.status, daemon.processes()) == (1, before)
    assert str(daemon.config_path) in result.err
    assert str(daemon.config_path) in daemon.status()["master"]["reload_error"]
    reload(daemon)
    assert not daemon.status()["master"]["reload_error"]


def test_a_configuration_that_is_gone(daemon, arrivals):
    """The same when there is no configuration at all any more (P10)."""
    daemon.announce("reload refused.*there is no configuration")
    before = daemon.processes()
    daemon.config_path.unlink()
    os.kill(daemon.master(), signal.SIGHUP)
    daemon.wait_until_said("reload refused")
    assert daemon.run("reload").status != 0
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])

    assert daemon.processes() == before


def test_what_a_reload_does(make_daemon, arrivals):
    """New logs start, removed ones leave, changed ones are replaced, all others keep their process and reconnect."""
    daemon = make_daemon("kept", "changed", "removed")
    daemon.start()
    before = daemon.workers()
    for name in before:
        daemon.append(name, "one")
        arrivals.wait_for_lines(name, ["one"])
    connections = arrivals.connections
    kept, changed, _removed = daemon.config["log"]
    daemon.config["log"] = [kept, changed | {"field_name": "log"}, log_entry(daemon, "new")]
    said = reload(daemon)
    daemon.eventually(lambda: not is_alive(before["removed"]))
    after = daemon.wait_for_workers(but=[before["changed"]])
    daemon.append("kept", "two")
    arrivals.wait_for_lines("kept", ["one", "two"])
    arrivals.wait_for(lambda: arrivals.connections >= connections + 3)

    assert all(f"{what} 1" in said for what in ("started", "stopped", "replaced", "kept"))
    assert set(after) == {"kept", "changed", "new"}
    assert after["kept"] == before["kept"]
    assert after["changed"] != before["changed"]


def test_a_new_tag_keeps_the_position(daemon, arrivals):
    """The position belongs to the file: with another tag and other options it is read on from there (C04)."""
    daemon.append("a", *numbered(1, 100))
    arrivals.wait_for_lines("a", numbered(1, 100))
    daemon.config["log"][0] |= {"tag": "other", "read_buffer_size": 4096, "forward": {"max_in_flight": 2}}
    daemon.config["log"].reverse()
    reload(daemon)
    daemon.append("a", *numbered(101, 200))
    arrivals.wait_for_lines("other", numbered(101, 200))

    daemon.config["log"][1]["tag"] = "third"
    daemon.write_config()
    assert daemon.run("restart").status == 0
    daemon.append("a", *numbered(201, 300))
    arrivals.wait_for_lines("third", numbered(201, 300))
    assert arrivals.lines("a") == numbered(1, 100)


def test_removed_and_added_again(daemon, arrivals):
    """A log that was removed and comes back is read on from its position; what was written meanwhile arrives (C04)."""
    daemon.append("a", *numbered(1, 100))
    arrivals.wait_for_lines("a", numbered(1, 100))
    entry = daemon.config["log"].pop(0)
    reload(daemon)
    daemon.eventually(lambda: set(daemon.workers()) == {"b"})
    daemon.append("a", *numbered(101, 200))
    daemon.config["log"].append(entry)
    reload(daemon)

    arrivals.wait_for_lines("a", numbered(1, 200))


def test_removed_and_added_while_it_finishes(make_daemon, arrivals):
    """A log that comes back while its worker still finishes gets a new one after it: never two, never none (P02)."""
    daemon = make_daemon("a", "b")
    daemon.start()
    entry = daemon.config["log"].pop(0)
    with Writing(daemon, "a") as writing:
        for _ in range(5):
            daemon.write_config()
            os.kill(daemon.master(), signal.SIGHUP)
            if entry in daemon.config["log"]:
                daemon.config["log"].remove(entry)
            else:
                daemon.config["log"].append(entry)
        reload(daemon)
    assert entry in daemon.config["log"]

    arrivals.wait_for_lines("a", writing.lines("a"))
    assert len(daemon.processes()) == 3


def test_ten_hups_at_once(make_daemon, arrivals):
    """Ten HUPs in 100 ms, the configuration another one each time: the last one counts, no line is lost or doubled (P11)."""
    daemon = make_daemon("a", "b")
    daemon.start()
    master = daemon.master()
    with Writing(daemon, "a", "b") as writing:
        arrivals.wait_for(lambda: arrivals.lines("a"))
        begin = time.monotonic()
        for number in range(10):
            daemon.config["log"][0]["tag"] = f"a{number}"
            daemon.config["log"][1]["read_buffer_size"] = 4096 + number
            daemon.write_config()
            os.kill(master, signal.SIGHUP)
        assert time.monotonic() - begin < 1.0
        arrivals.wait_for(lambda: arrivals.lines("a9"))
    arrivals.wait_for_lines("b", writing.lines("b"))
    arrivals.wait_for(lambda: arrivals.lines("a9")[-1:] == writing.lines("a")[-1:])
    came = [line for tag, _id, lines in arrivals.chunks if tag != "b" for line in lines]

    assert came == writing.lines("a")
    daemon.eventually(lambda: set(daemon.workers()) == {"a9", "b"})
    assert sorted(children(master)) == sorted(daemon.workers().values())


def test_ten_reloads_with_twenty_logs(make_daemon, arrivals):
    """Twenty logs under load through ten reloads that all change something: each line arrives once, in order (P11)."""
    names = [f"log{number:02}" for number in range(20)]
    daemon = make_daemon(*names)
    daemon.start()
    with Writing(daemon, *names, burst=2) as writing:
        for number in range(10):
            for log in daemon.config["log"][number::3]:
                log["read_buffer_size"] = 65536 + number
            daemon.config["forward"]["max_in_flight"] = 4 + number % 2 * (number > 7)
            reload(daemon)
    for name in names:
        arrivals.wait_for_lines(name, writing.lines(name), 40)

    assert len(daemon.processes()) == 21


def test_what_a_reload_cannot_change(daemon):
    """Another run_dir or state_dir is refused with the remedy; all goes on as before."""
    daemon.announce("reload refused")
    before = daemon.processes()
    for key in ("run_dir", "state_dir"):
        path = daemon.config["master"][key]
        daemon.config["master"][key] = f"{path}-other"
        daemon.write_config()
        os.kill(daemon.master(), signal.SIGHUP)
        error = daemon.wait_until_said(rf"reload refused.*{key}.*").group()
        assert "Change it back; then say fluentlite stop" in error
        daemon.config["master"][key] = path
    reload(daemon)

    assert daemon.processes() == before


def test_another_log_file(daemon, arrivals):
    """A reload can name another log_file and log_level: master and workers write there, and nowhere else."""
    new = daemon.directory / "other.log"
    daemon.config["master"] |= {"log_file": str(new), "log_level": "debug"}
    reload(daemon)
    daemon.wait_for_workers()
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])

    def write_to_it_alone():
        opened = [set(open_files(pid).values()) for pid in daemon.processes()]
        return all(str(new) in paths and str(daemon.log_path) not in paths for paths in opened)

    daemon.eventually(write_to_it_alone)  # a worker that is replaced may still be leaving
    assert "started" in new.read_text()


def demand_tls(daemon, ca_file):
    daemon.config["forward"]["tls"] = {"ca_file": str(ca_file)}
    daemon.write_config()


@pytest.mark.parametrize("command", ["reload", "restart"])
def test_certificates_that_cannot_be_used(daemon, arrivals, command):
    """What delivers is not replaced by what cannot: both refuse, with the file and what is wrong with it (P10)."""
    daemon.announce("reload refused")
    before, missing = daemon.processes(), daemon.directory / "ca.pem"
    demand_tls(daemon, missing)
    result = daemon.run(command)
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])

    assert (result.status, daemon.processes()) == (1, before), result
    assert f"ca_file {missing} cannot be read by user" in result.err
    assert "No such file" in result.err


def test_a_start_without_its_certificates(make_daemon, authority):
    """A start warns of them and begins: workers try until the file is there, and then deliver without a reload."""
    with Arrivals(tls=authority.server()) as server:
        daemon = make_daemon("a", server=server.address)
        daemon.announce("ca_file .* cannot be read")
        ca_file = daemon.directory / "ca.pem"
        demand_tls(daemon, ca_file)
        started = daemon.run("start")
        daemon.append("a", "one")
        daemon.eventually(lambda: f"ca_file {ca_file}" in daemon.row("a")["last_error"])
        ca_file.write_bytes(Path(authority.ca_file).read_bytes())
        server.wait_for_lines("a", ["one"])
        daemon.stop()

        assert started.status == 0
        assert f"ca_file {ca_file} cannot be read by user" in started.err
