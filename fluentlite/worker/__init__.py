"""What acts, in one process per log: tail, drain, pack, send."""
