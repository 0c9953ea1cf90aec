"""Voltage waveforms and what they do to a device."""
