"""Drive a MONAI Label server with landmarks from the shell: annotate, train, correct and train again.

It does what the module for 3D Slicer in ``slicer/`` does, by the same code. Exit status 0 is success, 1 that the server
or the work failed, 2 a wrong command line; a failure is one sentence on the standard error stream.

Example:
    python scripts/label_client.py next
    python scripts/label_client.py submit 007 007.mrk.json
    python scripts/label_client.py train --wait
    python scripts/label_client.py infer 008 --output_dir points
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "slicer" / "OneShotLandmarks"))

from OneShotLandmarksLib.errors import ClientError, ConnectionFailed, PointsError, Refused
from OneShotLandmarksLib.form import FormFile
from OneShotLandmarksLib.points import Point, check_label, dump, markups_document, read_markups
from OneShotLandmarksLib.rest import Connection
from OneShotLandmarksLib.server import (
    MODEL,
    SCORING,
    STRATEGY,
    LabelServer,
    choose,
)
from OneShotLandmarksLib.training import Task

DEFAULT_SERVER = "http://127.0.0.1:8000"
SERVER_VARIABLE, TOKEN_VARIABLE = "MONAI_LABEL_SERVER", "MONAI_LABEL_TOKEN"

#: Endings of landmark files that a server takes, and the largest that is sent.
LABEL_ENDINGS = (".mrk.json", ".json", ".csv")
MAX_LABEL = 64 * 2**20

#: How many answers in a row may fail before waiting for a training is given up.
PATIENCE = 5


def info(server: LabelServer, args: argparse.Namespace) -> int:
    """Show what the server has."""
    found = server.info()
    show(
        args,
        {
            "server": server.connection.address.url,
            "app": found.name,
            "models": list(found.models),
            "trainers": list(found.trainers),
            "strategies": list(found.strategies),
            "scoring": list(found.scoring),
            "images": found.images,
            "annotated": found.annotated,
            "landmarks": list(found.labels),
        },
    )
    return 0


def images(server: LabelServer, args: argparse.Namespace) -> int:
    """List the images of the data store."""
    found = server.images()
    if args.json:
        show(args, [{"id": image.id, "suffix": image.suffix, "tags": list(image.tags)} for image in found])
    else:
        for image in found:
            print(f"{image.id}\t{'annotated' if image.is_annotated else '-'}")
    return 0


def next_image(server: LabelServer, args: argparse.Namespace) -> int:
    """Name the image whose annotation helps most."""
    strategy = choose(args.strategy, server.info().strategies, STRATEGY, "strategy")
    found = server.suggest(strategy)
    if found is None:
        raise Refused("The server proposes no image: all of them are annotated.")
    if args.json:
        show(args, {"id": found.id, "reason": found.reason, "strategy": strategy})
    else:
        print(f"{found.id}\t{found.reason}" if found.reason else found.id)
    return 0


def infer(server: LabelServer, args: argparse.Namespace) -> int:
    """Find the landmarks of images, and write what is found."""
    if not args.images and not args.all:
        raise UsageError("name the images, or give --all")
    model = choose(args.model, server.info().models, MODEL, "model")
    names = [image.id for image in server.images()] if args.all else args.images
    failed = 0
    for image_id in names:
        started = time.monotonic()
        try:
            result = server.infer(model, image_id, args.infer_timeout)
            if args.output_dir:
                write_result(args.output_dir, image_id, result.points, dict(result.document))
        except ClientError as error:
            complain(f"{image_id}: {error}")
            failed += 1
            continue
        seconds = time.monotonic() - started
        if args.json:
            print(json.dumps(result.document, ensure_ascii=False))
        elif args.output_dir:
            print(f"{image_id}\t{len(result.points)} landmarks\t{seconds:.1f} s")
        else:
            for point in result.points:
                place = "-\t-" if point.pixel is None else f"{point.pixel[0]:.1f}\t{point.pixel[1]:.1f}"
                print(f"{image_id}\t{point.name}\t{place}\t{point.certainty}")
    return 1 if failed else 0


def submit(server: LabelServer, args: argparse.Namespace) -> int:
    """Save a landmark file as the annotation of an image."""
    if not args.file.name.lower().endswith(LABEL_ENDINGS):
        raise UsageError(f"the file is {args.file.name}, but one that ends in {', '.join(LABEL_ENDINGS)} was expected")
    server.find_image(args.image)
    try:
        if args.file.stat().st_size > MAX_LABEL:
            raise PointsError(f"{args.file} has more than {MAX_LABEL // 2**20} MB, which no landmark file has.")
        content = args.file.read_bytes()
    except OSError as error:
        raise PointsError(f"{args.file} cannot be read: {error.strerror or error}.") from error
    ending = next(ending for ending in LABEL_ENDINGS if args.file.name.lower().endswith(ending))
    if ending == ".mrk.json":
        # Which names are right, the server knows; what is no point list need not travel there.
        check_label(parse_markups(args.file, content), ())
    server.save_file(args.image, FormFile(f"label{ending}", content), args.tag)
    print(f"{args.image}: saved with the tag {args.tag}")
    return 0


def label(server: LabelServer, args: argparse.Namespace) -> int:
    """Fetch the saved annotation of an image as a point list of 3D Slicer."""
    text = dump(markups_document(args.image, server.saved_points(args.image, args.tag)))
    if args.output is None:
        sys.stdout.write(text)
    else:
        write(args.output, text)
    return 0


def train(server: LabelServer, args: argparse.Namespace) -> int:
    """Start a training with the saved annotations."""
    found = server.info()
    if not found.annotated:
        raise Refused("No image is annotated yet: submit one before training.")
    task = server.train(choose(args.model, found.trainers, MODEL, "trainer"), dict(args.set or []))
    if not args.wait:
        show(args, {"id": task.id, "status": task.status})
        return 0
    return wait(server, task, args)


def wait(server: LabelServer, task: Task, args: argparse.Namespace) -> int:
    """Wait for a training, and show how far it is."""
    started, shown, failures = time.monotonic(), "", 0
    while task.is_alive:
        if time.monotonic() - started > args.wait_timeout:
            raise ConnectionFailed(
                f"The training goes on after {args.wait_timeout:g} seconds: ask with 'status', end it with 'stop'."
            )
        time.sleep(args.every)
        try:
            task = server.training(task.id) or lost()
            failures = 0
        except ConnectionFailed:
            failures += 1
            if failures >= PATIENCE:
                raise
        if task.last_line and task.last_line != shown:
            shown = task.last_line
            complain(progress_line(task))
    seconds = time.monotonic() - started
    show(args, {"id": task.id, "status": task.status, "seconds": round(seconds, 1)})
    if task.status != "DONE":
        complain(f"The training ended as {task.status}: {task.last_line or 'the log of the server says why'}")
        return 1
    return 0


def lost() -> Task:
    """Say that the server knows no such training any more."""
    raise Refused("The server no longer knows this training, as after a restart: start it again.")


def status(server: LabelServer, args: argparse.Namespace) -> int:
    """Show the last training."""
    task = server.training()
    if task is None:
        raise Refused("There was no training since the server started.")
    show(
        args,
        {
            "id": task.id,
            "status": task.status,
            "progress": None if task.progress is None else round(task.progress, 3),
            "last line": task.last_line,
        },
    )
    return 1 if task.status == "ERROR" else 0


def stop(server: LabelServer, args: argparse.Namespace) -> int:
    """Stop the training that runs."""
    task = server.stop_training()
    if task is None:
        raise Refused("No training is running.")
    show(args, {"id": task.id, "status": task.status})
    return 0


def scores(server: LabelServer, args: argparse.Namespace) -> int:
    """Compare the saved annotations with predictions."""
    method = choose(args.method, server.info().scoring, SCORING, "scoring method")
    show(args, server.scores(method, dict(args.set or [])))
    return 0


def logs(server: LabelServer, args: argparse.Namespace) -> int:
    """Show the last lines of the server's log."""
    for line in server.log(args.lines).splitlines()[-args.lines :]:
        print("".join(letter if letter.isprintable() or letter == "\t" else "?" for letter in line))
    return 0


def token(server: LabelServer, args: argparse.Namespace) -> int:
    """Ask for a token with a user's name and password."""
    found = server.token(args.user, getpass.getpass(f"Password of {args.user}: "))
    if not found:
        raise Refused("The server asks for no token: its authentication is not switched on.")
    print(found)
    return 0


class UsageError(Exception):
    """A command line that makes no sense, found out after it was parsed."""


def show(args: argparse.Namespace, document: Any) -> None:
    """Print figures: as JSON where that is wanted, else a line each."""
    if args.json:
        print(json.dumps(document, ensure_ascii=False))
        return
    for key, value in flat(document):
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        print(f"{key}: {'-' if text in (None, '') else text}" if key else text)


def flat(document: Any, before: str = "") -> list[tuple[str, Any]]:
    """The leaves of a document, each with its path."""
    if isinstance(document, dict):
        return [leaf for key, value in document.items() for leaf in flat(value, f"{before} {key}".strip())]
    if isinstance(document, list) and any(isinstance(item, (dict, list)) for item in document):
        return [leaf for number, item in enumerate(document) for leaf in flat(item, f"{before} {number}".strip())]
    return [(before, document)]


def progress_line(task: Task) -> str:
    """One line about a training."""
    share = "" if task.progress is None else f"{task.progress:4.0%} "
    return f"{task.status.lower()} {share}{task.last_line}"


def parse_markups(file: Path, content: bytes) -> tuple[Point, ...]:
    """The points of a point list, or a sentence that names the file."""
    try:
        return read_markups(json.loads(content.decode("utf-8-sig")))
    except (ValueError, RecursionError) as error:
        raise PointsError(f"{file} is not JSON: save the point list again from 3D Slicer.") from error
    except PointsError as error:
        raise PointsError(f"{file}: {error}") from error


def write_result(folder: Path, image_id: str, points: Sequence[Point], document: dict[str, Any]) -> None:
    """Write ``<image_id>.json`` and ``<image_id>.mrk.json``."""
    if Path(image_id).name != image_id or image_id in (".", ".."):
        raise PointsError(f"The image id {image_id!r} cannot be the name of a file: use --json instead.")
    write(folder / f"{image_id}.json", dump(document))
    write(folder / f"{image_id}.mrk.json", dump(markups_document(image_id, points)))


def write(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise PointsError(f"{path} cannot be written: {error.strerror or error}.") from error


def complain(sentence: str) -> None:
    """Say something beside the results."""
    print(sentence, file=sys.stderr, flush=True)


def setting(text: str) -> tuple[str, Any]:
    """``key=value`` of the command line, the value as JSON where it is JSON."""
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise argparse.ArgumentTypeError(f"{text!r}: expected KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def seconds(text: str) -> float:
    """A positive number of seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1e7:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a positive number of seconds")
    return value


def count(text: str) -> int:
    """A positive whole number."""
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1 to 1000000")
    return int(text)


def build_parser() -> argparse.ArgumentParser:
    """Command line of the script."""
    general = argparse.ArgumentParser(add_help=False)
    general.add_argument("--json", action="store_true", help="print JSON")
    parser = argparse.ArgumentParser(
        description="Drive a MONAI Label server with landmarks from the shell.",
        epilog=f"{SERVER_VARIABLE} and {TOKEN_VARIABLE} in the environment give the server and the token.",
    )
    default = os.environ.get(SERVER_VARIABLE, DEFAULT_SERVER)
    parser.add_argument("--server", default=default, help=f"URL of the server (default {default})")
    parser.add_argument("--token_file", type=Path, help=f"file with the token (default: {TOKEN_VARIABLE})")
    parser.add_argument(
        "--timeout", type=seconds, default=30.0, help="seconds that a short request may take (default 30)"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[LabelServer, argparse.Namespace], int]) -> argparse.ArgumentParser:
        sentence = (run.__doc__ or "").split("\n")[0]
        added = commands.add_parser(
            name, help=sentence[0].lower() + sentence[1:-1], description=sentence, parents=[general]
        )
        added.set_defaults(run=run)
        return added

    command("info", info)
    command("images", images)
    command("next", next_image).add_argument("--strategy", default="", help=f"default {STRATEGY}")

    added = command("infer", infer)
    added.add_argument("images", nargs="*", metavar="IMAGE", help="id of an image")
    added.add_argument("--all", action="store_true", help="all images of the data store")
    added.add_argument("--model", default="", help=f"default {MODEL}")
    added.add_argument("--output_dir", type=Path, help="write IMAGE.json and IMAGE.mrk.json here")
    added.add_argument("--infer_timeout", type=seconds, default=300.0, help="seconds for one image (default 300)")

    added = command("submit", submit)
    added.add_argument("image", metavar="IMAGE", help="id of the image")
    added.add_argument("file", type=Path, metavar="FILE", help=f"landmark file: {', '.join(LABEL_ENDINGS)}")
    added.add_argument("--tag", default="final", help="tag of the annotation (default final)")

    added = command("label", label)
    added.add_argument("image", metavar="IMAGE", help="id of the image")
    added.add_argument("--tag", default="final", help="tag of the annotation (default final)")
    added.add_argument("--output", type=Path, help="the file (default: print it)")

    added = command("train", train)
    added.add_argument("--model", default="", help=f"default {MODEL}")
    added.add_argument("--set", type=setting, action="append", metavar="KEY=VALUE", help="a setting of the training")
    added.add_argument("--wait", action="store_true", help="wait until it ends, and show how far it is")
    added.add_argument("--wait_timeout", type=seconds, default=86400.0, help="seconds to wait at most (default a day)")
    added.add_argument("--every", type=seconds, default=2.0, help="seconds from one question to the next (default 2)")

    command("status", status)
    command("stop", stop)
    added = command("scores", scores)
    added.add_argument("--method", default="", help=f"default {SCORING}")
    added.add_argument("--set", type=setting, action="append", metavar="KEY=VALUE", help="a setting of the method")
    command("logs", logs).add_argument("--lines", type=count, default=50, help="how many (default 50)")
    command("token", token).add_argument("--user", required=True, help="name of the user; the password is asked for")
    return parser


def read_token(file: Path | None) -> str:
    """The token from a file, or from the environment: the command line would show it to other users."""
    if file is None:
        return os.environ.get(TOKEN_VARIABLE, "")
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token_file is {file}, which cannot be read as text: {error}") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; see the module for the exit status."""
    parser = build_parser()
    args = parser.parse_args(argv)
    try:
        return int(args.run(LabelServer(Connection(args.server, read_token(args.token_file), args.timeout)), args))
    except UsageError as error:
        parser.error(str(error))
    except ClientError as error:
        complain(str(error))
        return 1
    except KeyboardInterrupt:
        complain("Stopped; a training that was started goes on at the server.")
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
