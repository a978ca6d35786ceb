"""What a network takes of a device, and how fast it runs there, estimated without synthesis."""

from toolchain.sizing.activity import USUAL, Activity, expected_cycles
from toolchain.sizing.prediction import CANDIDATES, External, Prediction, holding, predict, recommended

__all__ = [
    "CANDIDATES",
    "USUAL",
    "Activity",
    "External",
    "Prediction",
    "expected_cycles",
    "holding",
    "predict",
    "recommended",
]
