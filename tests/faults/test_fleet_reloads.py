"""Reloads of the whole daemon under load: logs come and go and change, and every line arrives once."""

from __future__ import annotations

import pytest

from .fleet import Fleet


@pytest.fixture
def fleet(tmp_path):
    """The daemon in the background, with a second server that it does not know yet; acks are late."""
    with Fleet(tmp_path, is_foreground=False, ack_delay=0.02) as made:
        made.servers[1].up()
        made.start_agent()
        yield made


def change_tags(fleet):
    for index in (3, 10, 11):
        fleet.configuration.logs[fleet.logs[index].path]["tag"] = f"{index}.renamed"


def remove_logs(fleet):
    fleet.configuration.removed |= {fleet.logs[index].path for index in (1, 5)}


def change_field(fleet):
    fleet.configuration.tail["field_name"] = "line"


def add_logs(fleet):
    fleet.add_log()
    fleet.add_log()


def put_logs_back(fleet):
    """They were rotated meanwhile; their positions have stayed."""
    for index in (1, 5):
        fleet.logs[index].writer.rename("shift")
    fleet.run_for(0.2)
    fleet.configuration.removed.clear()


def compress(fleet):
    fleet.configuration.forward["compress"] = "gzip"


def add_a_server(fleet):
    fleet.send_to(*fleet.servers)


def change_limits(fleet):
    for log in fleet.logs[::2]:
        fleet.configuration.logs[log.path] |= {"read_buffer_size": 1 << 15, "forward.max_in_flight": 1}


def leave_a_server(fleet):
    fleet.send_to(fleet.servers[1])


def change_everything_back(fleet):
    configuration = fleet.configuration
    configuration.forward["compress"], configuration.tail["field_name"] = "none", "message"
    for index, log in enumerate(fleet.logs):
        configuration.logs[log.path] = {"tag": f"{index}"}
    fleet.send_to(fleet.servers[0])


CHANGES = (
    change_tags, remove_logs, change_field, add_logs, put_logs_back, compress, add_a_server, change_limits,
    leave_a_server, change_everything_back,
)  # fmt: skip


def as_configured(fleet):
    """Whether the last chunk of every log that is followed came as the configuration says."""
    return all(
        log.shape == fleet.configuration.shape(log.path) for log in fleet.logs if fleet.is_followed(log)
    )


def test_ten_reloads_with_changes(fleet):
    """Ten reloads under load, by command and by HUP, each with another change, each with rotations: each takes effect, every line comes once (C04, P11)."""
    for number, change in enumerate(CHANGES):
        fleet.run_for(0.2)
        change(fleet)
        fleet.reload(by_signal=number % 2 == 1)
        for log in fleet.logs[number::5]:
            log.writer.rename("shift")
        fleet.wait(lambda: as_configured(fleet), f"lines came as {change.__name__} says", writing=True)
    fleet.wait(lambda: fleet.all_go_to(fleet.servers[0]), "all lines came to the first server", writing=True)

    report = fleet.finish()
    assert not report.problems, "\n".join([str(report), *report.problems])
    assert report.written == report.delivered
    assert report.explained == 0
    assert len(fleet.logs) == 22
    assert all(log.model.due == log.model.delivered > 0 for log in fleet.logs)


def test_ten_hangups_with_changes_at_once(fleet):
    """Ten HUPs within a tenth of a second, the configuration changed before each: the last one holds, every line comes once (P11)."""
    fleet.run_for(0.3)
    for number in range(10):
        fleet.configuration.logs[fleet.logs[number].path]["tag"] = f"{number}.at.last"
        fleet.configuration.logs[fleet.logs[19].path]["tag"] = f"19.version{number}"
        fleet.configuration.write()
        fleet.agent.hang_up()
        fleet.run_for(0.01)
    fleet.wait(lambda: as_configured(fleet), "the last configuration was in use", writing=True)

    report = fleet.finish()
    assert not report.problems, "\n".join([str(report), *report.problems])
    assert report.written == report.delivered
    assert report.explained == 0
