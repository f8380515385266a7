"""Which server is tried next."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentlite.core.servers import ServerChoice

PRIMARY, SECONDARY = ["p1", "p2", "p3"], ["s1", "s2"]


def choice(primary=PRIMARY, secondary=SECONDARY, seed=1):
    return ServerChoice(primary, secondary, random.Random(seed))


def rest_of_round(servers):
    """Everything that is left of a round."""
    return list(iter(servers.next, None))


@given(
    primary=st.lists(st.integers(0, 9), unique=True),
    secondary=st.lists(st.integers(10, 19), unique=True),
    seed=st.integers(),
)
def test_a_round_tries_every_server_once(primary, secondary, seed):
    """A round is all primaries, then all secondaries, each once, and then it has ended (S19)."""
    servers = choice(primary, secondary, seed)
    for _ in range(3):
        tried = rest_of_round(servers)
        assert sorted(tried[: len(primary)]) == sorted(primary)
        assert sorted(tried[len(primary) :]) == sorted(secondary)
        assert servers.next() is None
        servers.start_round()


def test_the_first_server_is_chosen_at_random():
    """Every primary comes first about equally often, in rounds and when one is looked for beside a secondary (S23)."""
    servers, first_in_round, first_candidate = choice(), Counter(), Counter()
    for _ in range(3000):
        servers.start_round()
        first_in_round[servers.next()] += 1
        first_candidate[servers.primaries()[0]] += 1

    for counted in first_in_round, first_candidate:
        assert set(counted) == set(PRIMARY)
        assert min(counted.values()) > 850


def test_workers_choose_differently():
    """Different seeds give different first servers: a host's workers do not all go to the same one (S21)."""
    assert {choice(seed=seed).next() for seed in range(20)} == set(PRIMARY)


@pytest.mark.parametrize(
    ("avoid", "place"),
    [pytest.param("p2", 2, id="primary"), pytest.param("s1", 4, id="secondary")],
)
def test_the_server_that_failed_is_last_of_its_kind(avoid, place):
    """After a failure all others of the same kind come first; the other kind keeps its place (S19, S20)."""
    servers = choice()
    for _ in range(50):
        servers.start_round(avoid=avoid)
        assert rest_of_round(servers)[place] == avoid


@pytest.mark.parametrize("stuck", [*PRIMARY, *SECONDARY])
def test_a_stuck_server_is_last_of_all(stuck):
    """A server that accepts connections and does nothing more comes after the secondaries as well (S09, S20)."""
    servers = choice()
    for _ in range(50):
        servers.start_round(avoid=stuck, is_stuck=True)
        *others, last = rest_of_round(servers)
        assert last == stuck
        assert set(others[: len(PRIMARY) - (stuck in PRIMARY)]) == set(PRIMARY) - {stuck}


def test_an_avoided_server_is_not_avoided_for_ever():
    """The next round forgets what failed in this one."""
    servers, first = choice(), set()
    servers.start_round(avoid="p1", is_stuck=True)
    for _ in range(50):
        servers.start_round()
        first.add(servers.next())
    assert first == set(PRIMARY)


def test_a_single_server_is_tried_though_it_failed():
    """Where there is no other server, the one that failed is tried again."""
    servers = choice(["only"], [])
    servers.start_round(avoid="only", is_stuck=True)
    assert rest_of_round(servers) == ["only"]


def test_primaries_and_secondaries_are_told_apart():
    """A primary is a primary; all primaries are looked for beside a secondary, and no secondary is."""
    servers = choice()
    assert [server for server in PRIMARY + SECONDARY if servers.is_primary(server)] == PRIMARY
    assert sorted(servers.primaries()) == PRIMARY
