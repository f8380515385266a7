"""
What all tests share. Its being here also makes ``tests/`` importable: ``import servers``, ``import recorded``.
"""

import signal

# Whoever runs the tests in the background ignores SIGINT, and so would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
