"""The report of a run: one HTML file to look at. Data model, then figures, then templates."""

from bundle.report.page import draw_figures, write_page
from bundle.report.pictures import PictureStore
from bundle.report.raster import as_pixels
from bundle.report.records import ReportCase, ReportRun, ReportTemplate, case_row
from bundle.report.svg import as_svg

__all__ = [
    "PictureStore",
    "ReportCase",
    "ReportRun",
    "ReportTemplate",
    "as_pixels",
    "as_svg",
    "case_row",
    "draw_figures",
    "write_page",
]
