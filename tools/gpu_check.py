"""What a GPU is worth here, in at most 8 minutes: whether its points are the CPU's, and how fast it is.

It runs the tests that use the GPU, compares points of the default and of the preset ``paper`` with those of the CPU,
measures their images per second in both precisions and how often one image waits for the GPU, and extrapolates the
paper's training from a minute of it. Images are noise, DINO's weights are random: they cost what others cost.
``--device cpu`` rehearses all of it in small.

Example:
    python -m tools.gpu_check
"""

import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow
from PIL import Image

from bundle import CONFIGS, LandmarkFinder
from bundle.errors import ConfigError
from bundle.io.template import read_template
from bundle.records.console import SOME_FAILED, CommandParser, command
from tools.benchmarking.growth import make_scene
from tools.benchmarking.paper import paper_finder

#: Workflows run where there is CUDA on it.
TESTS = ("tests/metrics/test_landmark_metrics.py", "tests/workflows/test_paper_preset.py", "tests/test_finder.py")

#: A rehearsal's network.
SMALL: dict[str, Any] = {
    "encoder": {"name": "vit_tiny_patch16_224", "block": 1, "stride": 8},
    "working_sides": [96],
    "global_channels": 16,
    "local_channels": 16,
    "local_window": 64,
}

#: Points of the GPU are those of the CPU where half of them are as near as that, in pixels, and this share within one
#: pixel: random weights make ties, between which the paper's maximum may choose either way.
NEAR, SHARES = 0.1, {"default": 1.0, "paper": 0.9}

WARPS = 8


def mean_seconds(action: Callable[[], object], budget: float, device: str) -> float:
    """Seconds of a call, the mean over as many as fit into a time, after one that does not count."""
    wait = torch.cuda.synchronize if device != "cpu" else lambda: None
    action()
    wait()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < budget:
        action()
        wait()
        count += 1
    return (time.perf_counter() - start) / count


def waits(action: Callable[[], object]) -> int:
    """How often a call waits for the GPU."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        action()
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing CUDA operation" in str(one.message) for one in caught)


def compare(
    name: str, make: Callable[[str, str], LandmarkFinder], query: np.ndarray, device: str, budget: float
) -> bool:
    """Whether a finder finds the same points on both devices; prints that, and its images per second."""
    points = {}
    for where, precision in (("cpu", "float32"), (device, "float32"), (device, "bfloat16")):
        finder = make(where, precision)
        image = torch.from_numpy(query)[None, None].to(where)

        def find(finder: LandmarkFinder = finder, image: torch.Tensor = image) -> torch.Tensor:
            with torch.no_grad():
                return finder.inferer(image, finder.model.network)

        points[where, precision] = find()[0, :, :2].cpu()
        if where == device:
            rate = 1 / mean_seconds(find, budget, device)
            waiting = f", waits for the GPU {waits(find)} times per image" if device != "cpu" else ""
            print(f"{name}, {precision}: {rate:.2f} images per second{waiting}", flush=True)
    apart = [(points["cpu", "float32"] - points[device, kind]).norm(dim=1) for kind in ("float32", "bfloat16")]
    for kind, distance in zip(("float32", "bfloat16"), apart):
        print(
            f"{name}, {kind}: {distance.median():.3f} pixels from the CPU in the median, {distance.max():.3f} at most"
        )
    return bool(apart[0].median() <= NEAR and (apart[0] <= 1).float().mean() >= SHARES[name])


def training_hours(
    folder: Path, image: Path, table: Path, device: str, budget: float, network: dict[str, Any]
) -> float:
    """Hours of the paper's training: 500 warps encoded for each stage, and all steps, from some of both."""
    workflow = ConfigWorkflow(
        [str(CONFIGS / name) for name in ("train_decoders.json", "paper.json")],
        workflow_type="train",
        logging_file=False,
        **{"template_image": str(image), "template_landmarks": str(table), "model_path": str(folder / "model.pt")},
        **{"output_dir": str(folder), "encoder_weights": "random", "warps": WARPS, "device": device},
        **{f"network#{key}": value for key, value in network.items()},
    )
    workflow.initialize()
    seconds = 0.0
    for stage, steps in (("train_global", "global_iterations"), ("train", "local_iterations")):
        trainer = workflow.parser.get_parsed_content(f"{stage}#trainer")
        marks: list[float] = []

        def mark(engine: Engine, marks: list[float] = marks) -> None:
            marks.append(time.monotonic())
            if len(marks) > 3 and marks[-1] - marks[0] > budget:
                engine.terminate()

        trainer.add_event_handler(Events.STARTED | Events.ITERATION_COMPLETED, mark)
        begun = time.monotonic()
        trainer.run()
        encoding, step = (marks[0] - begun) / WARPS, (marks[-1] - marks[1]) / (len(marks) - 2)
        print(f"paper, {stage}: {encoding:.3f} s per warp encoded, {step:.3f} s per step", flush=True)
        seconds += 500 * encoding + workflow.parser.get_parsed_content(steps) * step
    return seconds / 3600


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = CommandParser(__doc__)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    device = parser.parse_args(arguments).device
    rehearsal = device == "cpu"
    if not rehearsal and not torch.cuda.is_available():
        raise ConfigError("PyTorch finds no CUDA device: run this where there is one, or rehearse with --device cpu.")
    print(
        f"{'rehearsal, ' if rehearsal else torch.cuda.get_device_name() + ', '}PyTorch {torch.__version__}", flush=True
    )
    tested = (
        rehearsal
        or not subprocess.run([sys.executable, "-m", "pytest", "-q", *TESTS], timeout=180, check=False).returncode
    )
    network, budget = (SMALL, 0.1) if rehearsal else ({}, 10.0)
    pixels, points = make_scene(0.1 if rehearsal else 4.6, 4 if rehearsal else 19)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image, table, model = folder / "template.png", folder / "template.csv", folder / "default.pt"
        Image.fromarray((pixels * 255).astype(np.uint8)).save(image)
        table.write_text("name,x,y\n" + "".join(f"L{n},{x},{y}\n" for n, (x, y) in enumerate(points)), encoding="utf-8")
        LandmarkFinder.from_template(image, table, device="cpu").fit().save_model(model)
        template, query = read_template(image, table), np.roll(pixels, (7, 12), axis=(0, 1))
        same = [
            compare(
                "default",
                lambda where, kind: LandmarkFinder.from_model(model, device=where, precision=kind),
                query,
                device,
                budget,
            ),
            compare("paper", lambda where, kind: paper_finder(template, where, kind, **network), query, device, budget),
        ]
        hours = training_hours(folder, image, table, device, 3 * budget, network)
    print(f"paper, training: {hours:.2f} hours by extrapolation")
    ran = "not run" if rehearsal else "passed" if tested else "FAILED"
    print(f"tests {ran}; points {'are' if all(same) else 'ARE NOT'} those of the CPU")
    return 0 if tested and all(same) else SOME_FAILED


if __name__ == "__main__":
    raise SystemExit(main())
