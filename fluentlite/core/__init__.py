"""What decides: pure functions and state machines. No I/O, no clock; a test holds this."""
