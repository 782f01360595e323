"""How much training a reproduction spends: the paper's, or what a small machine can do in an hour."""

from typing import Any

#: Keys of the configurations, on top of ``train_decoders.json``, ``paper.json`` and the overlay of the data set.
BUDGETS: dict[str, dict[str, Any]] = {
    "paper": {},
    # Two CPU cores: narrow decoders, few warps and few steps at five times the paper's rate.
    "small": {
        "network#global_channels": 64,
        "network#local_channels": 64,
        "warps": 20,
        "batch_size": 1,
        "learning_rate": 0.001,
        "global_iterations": 240,
        "local_iterations": 20,
    },
}

#: The network of each embedded encoder under the paper's method; all others have the paper's own sizes.
#: XFeat has one cell for 8 pixels; at the long side 480 its map has about as many cells as the paper's. Of 320, 480,
#: 640 and 960, it was the best on 40 images of the split training of isbi2015, which is why the table says so.
ENCODER_NETWORKS: dict[str, dict[str, Any]] = {
    "xfeat": {"network#working_sides": [480], "network#working_side": "long"},
    # A patch of 14 pixels at 392 covers as much of the image as the paper's 8 at 224, and the map has as many cells.
    "dinov2_vits14": {"network#working_sides": [392]},
}


def describe(budget: str) -> str:
    """The budget in words, for the foot of a table."""
    if budget == "paper":
        return "the paper's own training"
    return "a small budget: " + ", ".join(
        f"{key.removeprefix('network#')} {value}" for key, value in BUDGETS[budget].items()
    )
