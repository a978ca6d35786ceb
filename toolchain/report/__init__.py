"""The report page: one HTML file with everything in it that a sceptical reader asks for."""

from toolchain.report.content import LABELS, Evidence, page_content, with_page
from toolchain.report.equivalence import checked, read_verification
from toolchain.report.page import render
from toolchain.report.rasters import choose, rasters
from toolchain.report.sensitivity import tornado
from toolchain.report.surface import surface

__all__ = [
    "LABELS",
    "Evidence",
    "checked",
    "choose",
    "page_content",
    "rasters",
    "read_verification",
    "render",
    "surface",
    "tornado",
    "with_page",
]
