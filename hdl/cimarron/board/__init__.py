"""Boards: the system with a clock, a reset and pins."""
