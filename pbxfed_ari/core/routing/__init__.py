"""Where a call should go: a pure function of what is known, case by case."""
