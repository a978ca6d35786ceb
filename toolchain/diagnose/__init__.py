"""Where a conversion loses accuracy: the error of every layer split into its causes, and a way out."""

from toolchain.diagnose.account import PARTS, TIE, Diagnosis, LayerAccount, Stages, diagnose, stages
from toolchain.diagnose.remedies import Deployment, Remedy, find_remedy, try_remedy

__all__ = [
    "PARTS",
    "TIE",
    "Deployment",
    "Diagnosis",
    "LayerAccount",
    "Remedy",
    "Stages",
    "diagnose",
    "find_remedy",
    "stages",
    "try_remedy",
]
