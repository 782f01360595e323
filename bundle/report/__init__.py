"""The report of a run: one HTML file to look at. Data model, then figures, then templates."""

from bundle.report.chart import ReportFigure
from bundle.report.page import draw_figures, write_page
from bundle.report.pictures import PICTURE_BUDGET, PictureStore
from bundle.report.records import ReportRun

__all__ = [
    "PICTURE_BUDGET",
    "PictureStore",
    "ReportFigure",
    "ReportRun",
    "draw_figures",
    "write_page",
]
