"""Two devices, a non-ideality and a programmer for memcore, found through entry points."""
