"""Two devices and a non-ideality for memcore, found through entry points."""
