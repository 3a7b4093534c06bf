"""Who lives, how well it can serve, how it is heard, and who is responsible when nobody says."""
