"""How what is known gets to everybody: what is missing is asked for, what was cut off is put right."""
