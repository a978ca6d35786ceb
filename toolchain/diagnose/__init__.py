"""Where a conversion loses accuracy: the error of every layer split into its causes, and a way out."""

from toolchain.diagnose.account import PARTS, TIE, Diagnosis, LayerAccount, Stages, diagnose, stages
from toolchain.diagnose.remedies import Deployment, Diagnosed, Remedy, diagnose_and_try, find_remedy, try_remedy

__all__ = [
    "PARTS",
    "TIE",
    "Deployment",
    "Diagnosed",
    "Diagnosis",
    "LayerAccount",
    "Remedy",
    "Stages",
    "diagnose",
    "diagnose_and_try",
    "find_remedy",
    "stages",
    "try_remedy",
]
