"""Voltage waveforms and the response of devices to them."""
