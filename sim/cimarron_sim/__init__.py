"""What imitates, feeds and drives the Cimarron hardware."""
