"""Start the MONAI Label server on a study folder.

Example:
    python -m label_server --studies my_images --port 8000
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # from any working directory

from bundle.errors import ConfigError
from bundle.records.console import CommandParser, report_errors_plainly
from label_server.app_folder import ROOT, make_app_folder

#: Names of this machine for itself.
LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")


def build_parser() -> CommandParser:
    """The command line."""
    parser = CommandParser("Start the MONAI Label server on a study folder.", prog="label_server")
    parser.add_argument("--studies", type=Path, required=True, help="folder with the images; annotations go there too")
    parser.add_argument(
        "--app_dir", type=Path, help="where the server keeps model and logs (default STUDIES/monailabel)"
    )
    parser.add_argument(
        "--overlay", type=Path, action="append", default=[], help="configuration over the bundle's own; may be repeated"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1: this machine only)"
    )
    parser.add_argument("--port", type=int, default=8000, help="port (default 8000)")
    parser.add_argument("--ssl_keyfile", type=Path, help="key for TLS")
    parser.add_argument("--ssl_certfile", type=Path, help="certificate for TLS")
    return parser


def settings_of(host: str, app_dir: Path) -> dict[str, str]:
    """Settings as environment variables, where the user has not set them.

    Args:
        host: the address to listen on.
        app_dir: the folder of the server.
    """
    values = {
        # Scores cost an inference an annotated image: on demand, not after every training and every proposal.
        "MONAI_LABEL_AUTO_UPDATE_SCORING": "false",
        "MONAI_LABEL_SESSION_PATH": str(app_dir / "sessions"),
        # PyTorch's threads then sleep while they wait for each other. Else, where a training or anything else wants the
        # same cores, each wait costs the other thread its turn, and an inference takes many times as long.
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    if host in LOOPBACK:
        values["LABEL_SERVER_HOSTS"] = ",".join(LOOPBACK[:3])
    return values


def main(argv: Sequence[str] | None = None) -> None:
    """Start the server; it runs until it is stopped.

    Raises:
        BundleError: when an argument is wrong.
    """
    report_errors_plainly()
    args = build_parser().parse_args(argv)
    if not args.studies.is_dir():
        raise ConfigError(f"studies is {args.studies}, which is no folder: give the folder of the images.")
    if not 1 <= args.port <= 65535:
        raise ConfigError(f"port is {args.port}, expected a number from 1 to 65535.")
    if (args.ssl_keyfile is None) != (args.ssl_certfile is None):
        raise ConfigError("TLS needs both --ssl_keyfile and --ssl_certfile: give the two, or none.")
    for overlay in args.overlay:
        if not overlay.is_file():
            raise ConfigError(
                f"overlay is {overlay}, which is no file: give a configuration such as configs/head.json."
            )
    studies = args.studies.resolve()
    app_dir = (args.app_dir or studies / "monailabel").resolve()
    tls = (
        ["--ssl_keyfile", str(args.ssl_keyfile.resolve()), "--ssl_certfile", str(args.ssl_certfile.resolve())]
        if args.ssl_keyfile
        else []
    )
    overlays = [str(overlay.resolve()) for overlay in args.overlay]
    # Inside the bundle's folder, which nobody but the server writes to: the folder is emptied.
    _use_own_temporary_folder(make_app_folder(app_dir) / "tmp")
    for name, value in settings_of(args.host, app_dir).items():
        os.environ.setdefault(name, value)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    os.chdir(app_dir)

    from monailabel.main import Main  # reads the settings when it is imported

    print(f"One-Shot Landmarks for MONAI Label: http{'s' if tls else ''}://{args.host}:{args.port}", flush=True)
    sys.argv = ["monailabel", "start_server", "--app", str(app_dir), "--studies", str(studies)]
    if args.overlay:
        sys.argv += ["--conf", "overlays", ",".join(overlays)]
    sys.argv += ["--host", args.host, "--port", str(args.port), "--uvicorn_app", "label_server.web:app", *tls]
    Main().run()


def _use_own_temporary_folder(folder: Path) -> None:
    """What clients send lies there while it is worked on; what a killed server left is removed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None


if __name__ == "__main__":
    main()
