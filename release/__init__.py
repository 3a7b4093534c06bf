"""What is shipped: the wheel, the Debian package, and what goes into it (libraries, manual). Not part of the wheel."""
