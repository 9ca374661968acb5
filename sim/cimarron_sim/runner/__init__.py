"""Verilog out, simulator in, results back."""
