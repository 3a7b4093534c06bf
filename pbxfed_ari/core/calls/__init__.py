"""What each call is doing, from its first channel to its record. The machine is `switchboard`, its table `transitions`."""
