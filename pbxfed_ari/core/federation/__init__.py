"""The first machine: what follows from what is heard, read, edited and asked, all of it together."""
