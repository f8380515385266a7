"""The fixtures of the control socket's tests, and of those of places that others can write."""

from asking import open_dir, served, socket_file
from strangers import give_away

__all__ = ["give_away", "open_dir", "served", "socket_file"]
