"""The report of a run: one HTML file to look at. Data model, then figures, then templates."""

from bundle.report.cases import ReportRun, small_jpeg
from bundle.report.figures import ReportFigure
from bundle.report.page import draw_figures, write_page

__all__ = [
    "ReportFigure",
    "ReportRun",
    "draw_figures",
    "small_jpeg",
    "write_page",
]
