"""TLS, for both sides of a connection."""
