"""Drive a MONAI Label server with landmarks from the shell: annotate, train, correct and train again.

It does what the module for 3D Slicer in ``slicer/`` does, by the same code. Exit status 0 is success, 1 that the server
or the work failed, 2 a wrong command line; a failure is one sentence on the standard error stream.

Example:
    python scripts/label_client.py next
    python scripts/label_client.py submit 007 007.mrk.json
    python scripts/label_client.py train --wait
    python scripts/label_client.py infer 008 --output_dir points
"""

import argparse
import getpass
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# The library of the module for 3D Slicer, which nothing installs.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "slicer" / "OneShotLandmarks"))

from OneShotLandmarksLib.errors import ClientError, ConnectionFailed, PointsError, Refused
from OneShotLandmarksLib.points import dump, markups_document
from OneShotLandmarksLib.rest import Connection
from OneShotLandmarksLib.server import FINAL, MODEL, SCORING, STRATEGY, LabelServer, choose
from OneShotLandmarksLib.training import Task

from bundle.errors import BundleError
from bundle.writers.files import atomic_file, output_path

DEFAULT_SERVER = "http://127.0.0.1:8000"
SERVER_VARIABLE, TOKEN_VARIABLE = "MONAI_LABEL_SERVER", "MONAI_LABEL_TOKEN"

#: How many answers in a row may fail before waiting for a training is given up.
PATIENCE = 5


def info(server: LabelServer, args: argparse.Namespace) -> None:
    """Show what the server has."""
    found = dict(vars(server.info()))
    named = {"server": server.connection.url, "app": found.pop("name"), "landmarks": found.pop("labels")}
    show(args, {**named, **found})


def images(server: LabelServer, args: argparse.Namespace) -> None:
    """List the images of the data store."""
    found = server.images()
    lines = [f"{image.id}\t{'annotated' if image.is_annotated else '-'}" for image in found]
    show(args, [vars(image) for image in found], lines)


def next_image(server: LabelServer, args: argparse.Namespace) -> None:
    """Name the image whose annotation helps most."""
    strategy = choose(args.strategy, server.info().strategies, STRATEGY, "strategy")
    found = server.suggest(strategy)
    if found is None:
        raise Refused("The server proposes no image: all of them are annotated.")
    show(args, {**vars(found), "strategy": strategy}, [f"{found.id}\t{found.reason}" if found.reason else found.id])


def infer(server: LabelServer, args: argparse.Namespace) -> int:
    """Find the landmarks of images, and write what is found."""
    if not args.images and not args.all:
        args.parser.error("name the images, or give --all")
    model = choose(args.model, server.info().models, MODEL, "model")
    failed = 0
    for image_id in [image.id for image in server.images()] if args.all else args.images:
        started = time.monotonic()
        try:
            result = server.infer(model, image_id, args.infer_timeout)
            lines = [f"{image_id}\t{point.name}\t{place(point.pixel)}\t{point.certainty}" for point in result.points]
            if args.output_dir:
                write(output_path(args.output_dir, image_id, ".json"), dump(dict(result.document)))
                markups = markups_document(image_id, result.points)
                write(output_path(args.output_dir, image_id, ".mrk.json"), dump(markups))
                lines = [f"{image_id}\t{len(result.points)} landmarks\t{time.monotonic() - started:.1f} s"]
            show(args, result.document, lines)
        except (ClientError, BundleError) as error:
            complain(f"{image_id}: {error}")
            failed += 1
    return 1 if failed else 0


def submit(server: LabelServer, args: argparse.Namespace) -> None:
    """Save a landmark file as the annotation of an image."""
    try:
        content = args.file.read_bytes()
    except OSError as error:
        raise PointsError(f"{args.file} cannot be read: {error.strerror or error}.") from error
    version = server.save_file(args.image, args.file.name, content, args.tag, args.replaces)
    show(args, {"version": version}, [f"{args.image}: saved with the tag {args.tag}, version {version}"])


def label(server: LabelServer, args: argparse.Namespace) -> None:
    """Fetch the saved annotation of an image as a point list of 3D Slicer, and say its version."""
    points, version = server.saved_points(args.image, args.tag)
    text = dump(markups_document(args.image, points))
    if args.output is None:
        sys.stdout.write(text)
    else:
        write(args.output, text)
    complain(f"version {version}")


def train(server: LabelServer, args: argparse.Namespace) -> int:
    """Start a training with the saved annotations."""
    found = server.info()
    if not found.annotated:
        raise Refused("No image is annotated yet: submit one before training.")
    task = server.train(choose(args.model, found.trainers, MODEL, "trainer"), dict(args.set or []))
    if args.wait:
        return wait(server, task, args)
    show(args, {"id": task.id, "status": task.status})
    return 0


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
            found = server.training(task.id)
            failures = 0
        except ConnectionFailed:
            failures += 1
            if failures >= PATIENCE:
                raise
            continue
        if found is None:
            raise Refused("The server no longer knows this training, as after a restart: start it again.")
        task = found
        if task.last_line and task.last_line != shown:
            shown = task.last_line
            share = "" if task.progress is None else f"{task.progress:4.0%} "
            complain(f"{task.status.lower()} {share}{task.last_line}")
    show(args, {"id": task.id, "status": task.status, "seconds": round(time.monotonic() - started, 1)})
    if task.status == "DONE":
        return 0
    complain(f"The training ended as {task.status}: {task.last_line or 'the log of the server says why'}")
    return 1


def status(server: LabelServer, args: argparse.Namespace) -> int:
    """Show the last training."""
    task = server.training()
    if task is None:
        raise Refused("There was no training since the server started.")
    share = None if task.progress is None else round(task.progress, 3)
    show(args, {"id": task.id, "status": task.status, "progress": share, "last line": task.last_line})
    return 1 if task.status == "ERROR" else 0


def stop(server: LabelServer, args: argparse.Namespace) -> None:
    """Stop the training that runs."""
    task = server.stop_training()
    if task is None:
        raise Refused("No training is running.")
    show(args, {"id": task.id, "status": task.status})


def scores(server: LabelServer, args: argparse.Namespace) -> None:
    """Compare the saved annotations with predictions."""
    method = choose(args.method, server.info().scoring, SCORING, "scoring method")
    show(args, server.scores(method, dict(args.set or [])))


def logs(server: LabelServer, args: argparse.Namespace) -> None:
    """Show the last lines of the server's log."""
    for line in server.log(args.lines).splitlines()[-args.lines :]:
        print("".join(letter if letter.isprintable() or letter == "\t" else "?" for letter in line))


def token(server: LabelServer, args: argparse.Namespace) -> None:
    """Ask for a token with a user's name and password."""
    found = server.token(args.user, getpass.getpass(f"Password of {args.user}: "))
    if not found:
        raise Refused("The server asks for no token: its authentication is not switched on.")
    print(found)


def show(args: argparse.Namespace, document: Any, lines: Sequence[str] | None = None) -> None:
    """Print what was found: as JSON where that is wanted, else in lines, by default one for each figure."""
    if args.json:
        print(json.dumps(document, ensure_ascii=False))
        return
    for line in flat(document) if lines is None else lines:
        print(line)


def flat(document: Any, before: str = "") -> list[str]:
    """The leaves of a document, each with its path."""
    if isinstance(document, dict):
        return [line for key, value in document.items() for line in flat(value, f"{before} {key}".strip())]
    text = ", ".join(map(str, document)) if isinstance(document, (list, tuple)) else document
    return [f"{before}: {'-' if text in (None, '') else text}"]


def place(pixel: tuple[float, float] | None) -> str:
    """A place in pixels."""
    return "-\t-" if pixel is None else f"{pixel[0]:.1f}\t{pixel[1]:.1f}"


def write(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all."""
    with atomic_file(path) as file:
        file.write(text)


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


def text_of(file: str) -> str:
    """The text of a file; a token on the command line itself would be shown to other users."""
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"{file} cannot be read as text: {error}") from error


def seconds(text: str) -> float:
    """A positive number of seconds."""
    if not 0 < float(text) <= 1e7:
        raise ValueError
    return float(text)


def build_parser() -> argparse.ArgumentParser:
    """Command line of the script."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        description="Drive a MONAI Label server with landmarks from the shell.",
        epilog=f"{SERVER_VARIABLE} and {TOKEN_VARIABLE} in the environment give the server and the token.",
    )
    default = os.environ.get(SERVER_VARIABLE, DEFAULT_SERVER)
    parser.add_argument("--server", default=default, help=f"URL of the server (default {default})")
    parser.add_argument("--token_file", type=text_of, help=f"file with the token (default: {TOKEN_VARIABLE})")
    parser.add_argument(
        "--timeout", type=seconds, default=30.0, help="seconds that a short request may take (default 30)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    added = {}
    for run in (info, images, next_image, infer, submit, label, train, status, stop, scores, logs, token):
        name, sentence = run.__name__.removesuffix("_image"), str(run.__doc__)
        help_line = sentence[0].lower() + sentence[1:-1]
        added[name] = commands.add_parser(name, help=help_line, description=sentence, allow_abbrev=False)
        added[name].set_defaults(run=run, parser=added[name])
        added[name].add_argument("--json", action="store_true", help="print JSON")

    added["next"].add_argument("--strategy", default="", help=f"default {STRATEGY}")
    for name in ("infer", "train"):
        added[name].add_argument("--model", default="", help=f"default {MODEL}")
    for name in ("train", "scores"):
        added[name].add_argument("--set", type=setting, action="append", metavar="KEY=VALUE", help="a setting")
    for name in ("submit", "label"):
        added[name].add_argument("image", metavar="IMAGE", help="id of the image")
        added[name].add_argument("--tag", default=FINAL, help=f"tag of the annotation (default {FINAL})")
    add = added["infer"].add_argument
    add("images", nargs="*", metavar="IMAGE", help="id of an image")
    add("--all", action="store_true", help="all images of the data store")
    add("--output_dir", type=Path, help="write IMAGE.json and IMAGE.mrk.json here")
    add("--infer_timeout", type=seconds, default=300.0, help="seconds for one image (default 300)")
    add = added["submit"].add_argument
    add("file", type=Path, metavar="FILE", help="landmark file: .mrk.json, .json, .csv")
    add("--replaces", default="", metavar="VERSION", help="version of the saved annotation that it shall replace")
    added["label"].add_argument("--output", type=Path, help="the file (default: print it)")
    add = added["train"].add_argument
    add("--wait", action="store_true", help="wait until it ends, and show how far it is")
    add("--wait_timeout", type=seconds, default=86400.0, help="seconds to wait at most (default a day)")
    add("--every", type=seconds, default=2.0, help="seconds from one question to the next (default 2)")
    added["scores"].add_argument("--method", default="", help=f"default {SCORING}")
    added["logs"].add_argument("--lines", type=int, default=50, help="how many (default 50)")
    added["token"].add_argument("--user", required=True, help="name of the user; the password is asked for")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; see the module for the exit status."""
    args = build_parser().parse_args(argv)
    secret = os.environ.get(TOKEN_VARIABLE, "") if args.token_file is None else args.token_file
    try:
        return int(args.run(LabelServer(Connection(args.server, secret, args.timeout)), args) or 0)
    except (ClientError, BundleError) as error:
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
