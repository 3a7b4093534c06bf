"""What this machine says of itself."""
