"""The fixtures of the control socket's tests."""

from asking import open_dir, served, socket_file

__all__ = ["open_dir", "served", "socket_file"]
