"""The verdict over a record: refused by every server, or an outage."""

from __future__ import annotations

import pytest

from fluentlite.core.trial import ALONE_TRIES, MOST_ALONE_TRIES, REFUSALS, UNREACHED_LIMIT, Outages, Trial


def trial_of(*servers, began=0.0, outages=None):
    return Trial("record", servers, outages or Outages(), began)


def story(trial, text, now=1.0):
    """Let things happen: ``a:alone``, ``a:refused``, ``a:witness`` (failed), ``a:down``, ``a:acks``, ``+60`` seconds."""
    for word in text.split():
        if word.startswith("+"):
            now += float(word)
            continue
        server, what = word.split(":")
        match what:
            case "alone":
                trial.failed_alone(server)
            case "refused":
                trial.refused(server, "closed")
            case "witness":
                trial.witness_failed(server)
                trial.outages.failed(server, now)
            case "down":
                trial.outages.failed(server, now)
            case "acks":
                trial.outages.works(server)
    return now


DOWN = " ".join(["b:down +50"] * 13)  # 650 s
ALONE = " ".join(["a:alone"] * ALONE_TRIES)
REFUSED = " ".join(["a:refused"] * REFUSALS)


@pytest.mark.parametrize(
    ("servers", "happens", "is_refused"),
    [
        pytest.param("a", "", False, id="nothing"),
        pytest.param("a", f"{ALONE} {ALONE} {ALONE}", False, id="alone-it-is-never-refused"),
        pytest.param("a", " ".join(["a:witness +60"] * 100), False, id="an-outage-is-no-refusal"),
        pytest.param("a", " ".join(["a:down +60"] * 100), False, id="nor-is-a-server-that-is-down"),
        pytest.param("a", "a:refused a:refused", False, id="twice"),
        pytest.param("a", REFUSED, True, id="three-times"),
        pytest.param("ab", REFUSED, False, id="by-one-of-two"),
        pytest.param("ab", f"{REFUSED} b:refused b:refused", False, id="the-other-one-only-twice"),
        pytest.param("ab", f"{REFUSED} b:refused b:refused b:refused", True, id="by-both"),
        pytest.param("ab", f"{REFUSED} b:down +590 b:down", False, id="the-other-one-is-down"),
        pytest.param("ab", f"{REFUSED} {DOWN}", True, id="for-long"),
        pytest.param("ab", f"{DOWN} a:refused a:refused", False, id="nobody-has-refused-it-often-enough"),
        pytest.param("ab", f"{DOWN} {REFUSED}", True, id="down-before-the-others-were-asked"),
        pytest.param("ab", f"{REFUSED} {DOWN} b:acks", False, id="it-is-back"),
        pytest.param("ab", f"{REFUSED} {DOWN} b:acks b:down +60", False, id="it-was-back"),
        pytest.param("ab", f"{REFUSED} b:down +700", False, id="it-was-down-once"),
        pytest.param("ab", f"{REFUSED} b:down +700 b:down", False, id="and-again-much-later"),
        pytest.param("ab", f"{REFUSED} " + "b:witness +60 " * 12, True, id="it-acknowledges-nothing-for-long"),
        pytest.param("ab", f"{REFUSED} " + "b:alone +60 " * 12, False, id="it-has-seen-no-witness-yet"),
    ],
)  # fmt: skip
def test_verdicts(servers, happens, is_refused):
    """Every server must have refused it, but one that was out of order all the time, for long (S36)."""
    trial = trial_of(*servers)
    now = story(trial, happens)

    assert trial.is_refused(now) is is_refused


def test_an_outage_outlasts_trials():
    """A server that is down for long is not waited for again with each record; but it is asked each time (S36)."""
    outages = Outages()
    now = story(trial_of("a", "b", outages=outages), f"{REFUSED} {DOWN}")
    trial = trial_of("a", "b", began=now, outages=outages)
    now = story(trial, REFUSED, now)
    assert not trial.is_refused(now)

    now = story(trial, "b:down", now + 1.0)
    assert trial.is_refused(now)


def test_alone_before_a_witness_is_asked_for():
    """A witness overtakes the record: it is asked for after some tries, and after each vain one half as often (S36)."""
    trial, counts = trial_of("a"), []
    for _ in range(8):
        counts.append(0)
        while not trial.wants_witness("a", 0.0):
            trial.failed_alone("a")
            counts[-1] += 1
        trial.witness_failed("a")

    assert counts[:5] == [ALONE_TRIES * 2**n for n in range(5)]
    assert counts[5:] == [MOST_ALONE_TRIES] * 3


def test_each_server_for_itself():
    """What one server does says nothing of another one (S36)."""
    trial = trial_of("a", "b")
    story(trial, f"{ALONE} {REFUSED}")

    assert (trial.wants_witness("a", 0.0), trial.is_settled("a", 0.0)) == (False, True)
    assert (trial.wants_witness("b", 0.0), trial.is_settled("b", 0.0)) == (False, False)
    assert trial.reasons() == [("a", "closed"), ("b", "")]


def test_after_a_refusal_witnesses_go_first():
    """Once a server has refused it behind a witness, each further connection there begins with one (S36)."""
    trial = trial_of("a")
    story(trial, f"{ALONE} a:refused")

    assert trial.wants_witness("a", 0.0)


def test_after_the_verdict():
    """While its letter cannot be written, a refused record is tried alone, everywhere: somebody may take it yet (S36)."""
    trial = trial_of("a", "b")
    now = story(trial, f"{ALONE} {REFUSED} {DOWN}")

    assert trial.is_refused(now)
    assert [trial.wants_witness(server, now) for server in "ab"] == [False, False]
    assert [trial.is_settled(server, now) for server in "ab"] == [False, False]
    assert UNREACHED_LIMIT >= 600, "what is not asked is not lightly passed over"
