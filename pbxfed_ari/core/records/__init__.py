"""What is known: facts with one writer, configuration that anyone may write, and how both travel as streams of records."""
