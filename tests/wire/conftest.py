"""Fixtures of the wire tests."""

from __future__ import annotations

import pytest
from fluentserver import FluentServer


@pytest.fixture
def start_fluent_server():
    """Start FluentServer of @fluent-org/logger, with its ``security`` and TLS if given; stopped after the test."""
    servers = []

    def start(security=None, tls=None):
        servers.append(FluentServer(security, tls))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
