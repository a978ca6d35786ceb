"""Spikeloom's tool chain: from a trained PyTorch network to integers, Verilog and reports."""

__version__ = "0.1.0"
