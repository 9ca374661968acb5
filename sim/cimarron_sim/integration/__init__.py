"""What others need to build the hardware into a system of their own."""
