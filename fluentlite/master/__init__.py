"""The master: a daemon that keeps the workers alive, and answers for them."""
