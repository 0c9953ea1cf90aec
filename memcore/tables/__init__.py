"""Published figures of the components of crossbar systems, in SI units, with their sources."""
