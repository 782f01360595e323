"""What the paper (FM-OSD, MICCAI 2024) reports: Tables 1 and 2, and the losses of section 3 (figure 3).

Figure 4 (encoders, facets, layers) is a drawing without numbers, so it has no entry here.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PaperFigure:
    """One row of the paper on one data set.

    Attributes:
        mre_mm: mean radial error in mm; None where the paper has none.
        sdr: detection rate in percent by radius in mm, as text such as ``"2.0"``; empty where the paper has none.
    """

    mre_mm: float | None
    sdr: Mapping[str, float]


def _head(mre: float, *rates: float) -> PaperFigure:
    return PaperFigure(mre, dict(zip(("2.0", "2.5", "3.0", "4.0"), rates)))


def _hand(mre: float, *rates: float) -> PaperFigure:
    return PaperFigure(mre, dict(zip(("2.0", "4.0", "10.0"), rates)))


#: Table 1, our method's row: by data set.
TABLE_1 = {"head": _head(1.82, 67.35, 77.92, 84.59, 91.92), "hand": _hand(1.41, 86.66, 96.66, 99.11)}

#: Table 1, the other methods: (name, labelled / unlabelled images, data set) with their figures.
TABLE_1_OTHERS = {
    ("GU2Net", "988/0", "head"): _head(1.54, 77.79, 84.65, 89.41, 94.93),
    ("CC2D", "1/149", "head"): _head(2.36, 51.81, 63.13, 73.66, 86.25),
    ("SAEM", "1/149", "head"): _head(2.58, 54.34, 64.51, 70.82, 80.76),
    ("SCP", "1/149", "head"): _head(2.74, 43.79, 53.05, 64.12, 79.05),
    ("EGTNLR", "1/149", "head"): _head(2.27, 49.45, 63.07, 74.70, 88.91),
    ("UOD", "3/985", "head"): _head(2.43, 51.14, 62.37, 74.40, 86.49),
    ("GU2Net", "988/0", "hand"): _hand(0.84, 95.40, 99.35, 99.75),
    ("CC2D", "1/608", "hand"): _hand(2.65, 51.19, 82.56, 95.62),
    ("SAEM", "1/608", "hand"): _hand(1.69, 76.61, 92.52, 99.08),
    ("SCP", "1/608", "hand"): PaperFigure(2.47, {}),
    ("EGTNLR", "1/608", "hand"): _hand(1.81, 64.62, 95.03, 99.97),
    ("UOD", "3/985", "hand"): _hand(2.52, 53.37, 84.27, 97.59),
}

#: Table 2 (hand): by step of the method.
TABLE_2 = {
    "plain": _hand(3.72, 31.13, 77.49, 97.60),
    "bdm": _hand(2.82, 51.87, 89.06, 98.23),
    "global": _hand(1.86, 76.75, 96.60, 99.13),
    "local": _hand(1.41, 86.66, 96.66, 99.11),
}

#: Section 3, figure 3 (hand): by loss of the global decoder.
LOSSES = {
    "contrastive": PaperFigure(4.54, {}),
    "one_hot": PaperFigure(2.33, {}),
    "distance_aware": TABLE_2["global"],
}
