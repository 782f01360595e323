"""Go through the loop of the workbench on images whose landmarks are known: the script answers with the true points.

After each accepted image all others are found anew, as in the workbench, and the one of the greatest doubt is accepted
next. The outcome, also of a run that was stopped, is in ``loop.json`` of the output folder; the same command goes on.

Example:
    python -m tools.annotation_loop --images isbi2015/images --truth isbi2015/landmarks_mean.csv --take 1:60:2 \
        --spacing 0.1 --output output/loop
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bundle.io.landmark_files import read_landmark_table
from bundle.records.console import CommandParser, command
from bundle.writers.files import write_json
from study import FINAL, Mark, Study
from study.estimate import curve
from study.loop import Loop
from study.proposals import Proposal
from study.protocol import read_protocol, shipped_protocols
from study.queue import rank

#: A person moves a landmark whose error is at least this, in mm; that takes so many seconds, and a look at an image so
#: many.
MOVED_MM, SECONDS_PER_CLICK, SECONDS_PER_IMAGE = 2.0, 4.0, 20.0


def prepare(args: Any) -> tuple[Study, dict[str, np.ndarray]]:
    """The study with copies of the images, and the true points (N, 2) in pixels by image."""
    table = read_landmark_table(args.truth)
    names = sorted(path for path in args.images.iterdir() if path.stem in table)
    start, stop, step = map(int, args.take.split(":"))
    chosen = [path for path in names if path.stem.isdecimal() and int(path.stem) in range(start, stop, step)]
    study = Study(args.output / "study")
    study.folder.mkdir(parents=True, exist_ok=True)
    for path in chosen:
        if not (study.folder / path.name).exists():
            shutil.copyfile(path, study.folder / path.name)
    if study.protocol() is None:
        study.save_protocol(read_protocol(shipped_protocols()[args.protocol]))
        for path in chosen:
            study.save_spacing(path.stem, args.spacing)
    return study, {path.stem: table[path.stem].points for path in chosen}


def step(loop: Loop, truth: dict[str, np.ndarray], first: str | None) -> dict[str, Any]:
    """Accept one image more, find the others, and say what came of it."""
    study = loop.study
    protocol = study.protocol()
    assert protocol is not None
    accepted = {case.image_id: truth[case.image_id] for case in study.annotated()}
    proposals = [one for name in truth if name not in accepted and (one := loop.proposals.get(name)) is not None]
    if accepted:
        chosen = rank(proposals, protocol, list(accepted.values()))[0].image_id
        away = _error(next(one for one in proposals if one.image_id == chosen), truth)
        clicks = int((away >= MOVED_MM).sum()) + 1
    else:
        chosen = first or loop.suggest() or next(iter(truth))
        clicks = len(protocol.names) + 1
    marks = [Mark(name, (float(x), float(y)), "placed") for name, (x, y) in zip(protocol.names, truth[chosen])]
    study.save_marks(chosen, marks, FINAL, study.version(chosen))
    return {"accepted": chosen, "clicks": clicks}


def _error(proposal: Proposal, truth: dict[str, np.ndarray]) -> np.ndarray:
    return np.linalg.norm((proposal.points - truth[proposal.image_id]) * (proposal.spacing or (1.0, 1.0)), axis=1)


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = CommandParser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of the images")
    parser.add_argument("--truth", type=Path, required=True, help="table of their landmarks")
    parser.add_argument("--take", default="1:60:2", help="numbers of the images, START:STOP:STEP")
    parser.add_argument("--spacing", type=float, default=0.1, help="mm per pixel")
    parser.add_argument("--protocol", default="cephalometry-19", help="protocol that comes with the program")
    parser.add_argument("--first", help="the first image (default: the one that helps most)")
    parser.add_argument("--count", type=int, default=10, help="how many images are accepted")
    parser.add_argument("--output", type=Path, required=True, help="folder of the study and of loop.json")
    args = parser.parse_args(argv)
    study, truth = prepare(args)
    loop, path = Loop(study), args.output / "loop.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
    while True:
        loop.start()
        loop.wait()
        if loop.progress.error:
            raise RuntimeError(loop.progress.error)
        accepted = [case.image_id for case in study.annotated()]
        if rows and len(rows) == len(accepted) and "errors" not in rows[-1]:
            known = {name: loop.proposals.get(name) for name in truth if name not in accepted}
            rows[-1]["errors"] = {name: _error(one, truth).tolist() for name, one in known.items() if one is not None}
            rows[-1]["expected"] = {
                name: (one.expected_error * np.sqrt(np.prod(one.spacing or 1.0))).tolist()
                for name, one in known.items()
                if one is not None
            }
            rows[-1]["estimate"] = next((row[1] for row in curve(study) if row[0] == len(accepted) - 1), None)
        report(path, rows, accepted)
        if len(rows) >= args.count:
            return
        rows.append(step(loop, truth, args.first))
        write_json(path, {"rows": rows})


def report(path: Path, rows: list[dict[str, Any]], accepted: Sequence[str]) -> None:
    """Write the outcome; measured on the images that were never accepted."""
    write_json(path, {"rows": rows})
    clicks = 0
    for count, row in enumerate(rows, start=1):
        clicks += row["clicks"]
        errors = [value for name, value in row.get("errors", {}).items() if name not in accepted]
        later = rows[count] if count < len(rows) else {}
        minutes = (clicks * SECONDS_PER_CLICK + count * SECONDS_PER_IMAGE) / 60
        true = f"{np.mean(errors):.2f}" if errors else "-"
        estimate = later.get("estimate")
        estimated = "-" if estimate is None else f"{estimate:.2f}"
        print(f"| {count} | {row['accepted']} | {true} | {estimated} | {clicks} | {minutes:.0f} |", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
