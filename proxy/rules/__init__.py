"""Pure decisions. Nothing in this package awaits, reads a clock, or does I/O."""
