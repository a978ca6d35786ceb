"""The generated hardware: one event-driven integrate-and-fire neuron array in Amaranth."""
