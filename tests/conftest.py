"""
What all tests share. Its being here also makes ``tests/`` importable: ``import servers``, ``import recorded``.
"""
