"""Hardware of the Cimarron compute-in-memory system, and the contract it shares with software."""
