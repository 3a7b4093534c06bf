"""Which nodes a phone is told of, by DNS and in its file."""
