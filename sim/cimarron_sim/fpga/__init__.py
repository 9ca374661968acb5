"""From the system on a board to a bitstream, with Yosys, nextpnr and the packers."""
