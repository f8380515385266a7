"""What once could not be taken, and what was thought of as likely to be, is taken now; and so is what is as it should be."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from .__main__ import NAMES, PATIENCE
from .targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


@pytest.mark.parametrize("path", FILES, ids=[f"{path.parent.name}/{path.name}" for path in FILES])
def test_the_corpus(path):
    """Each input, named after what it shows, does no harm and takes no time."""
    began = time.process_time()
    TARGETS[path.parent.name].run(path.read_bytes())

    assert time.process_time() - began < PATIENCE


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_as_it_should_be(name):
    """The seeds are read, whole and cut short anywhere."""
    for seed in TARGETS[name].seeds:
        for size in {len(seed), *range(0, min(len(seed), 200), 7)}:
            TARGETS[name].run(seed[:size])


def test_the_names_of_the_targets():
    """The command knows them before they can be imported; each has a corpus, and no corpus is without a target."""
    assert list(NAMES) == list(TARGETS)
    assert {path.parent.name for path in FILES} == set(TARGETS)
