"""The other end of the chip's serial port: programs, inputs and results in frames, see ``docs/host.md``."""
