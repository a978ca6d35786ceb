"""Exact software models of the integers, and the co-simulation that holds the hardware to them."""
