"""The report of a run: one HTML file to look at. Data model, then figures, then templates."""

from bundle.report.cases import small_jpeg
from bundle.report.chart import ReportFigure
from bundle.report.page import draw_figures, write_page
from bundle.report.records import ReportRun

__all__ = [
    "ReportFigure",
    "ReportRun",
    "draw_figures",
    "small_jpeg",
    "write_page",
]
