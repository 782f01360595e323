"""Start the workbench on a folder of radiographs, and open it in the browser.

Without a folder it makes and opens a study of simulated hands.

Example:
    python -m workbench --study my_images
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import webbrowser
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # from any working directory

from bundle.errors import ConfigError
from bundle.records.console import CommandParser, report_errors_plainly

ROOT = Path(__file__).resolve().parents[1]

#: Names of this machine for itself.
LOOPBACK = ("127.0.0.1", "localhost", "::1")

#: Where the password for other machines stands.
PASSWORD = "WORKBENCH_PASSWORD"

#: Where simulated hands go.
SIMULATED = Path("output/workbench")


def build_parser() -> CommandParser:
    """The command line."""
    parser = CommandParser(__doc__, prog="workbench")
    parser.add_argument("--study", type=Path, help="folder with the images; all that is known of them goes there, too")
    parser.add_argument("--reader", default="final", help="name of a second reader, whose annotations are kept apart")
    parser.add_argument("--device", help="where the network runs (default: a GPU where there is one)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=0, help="port (default: a free one)")
    parser.add_argument("--ssl_keyfile", type=Path, help="key for TLS")
    parser.add_argument("--ssl_certfile", type=Path, help="certificate for TLS")
    parser.add_argument("--insecure", action="store_true", help="let other machines in without TLS")
    parser.add_argument("--no_browser", action="store_true", help="only print the address")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Start the workbench; it runs until it is stopped.

    Raises:
        BundleError: when an argument is wrong.
    """
    report_errors_plainly()
    args = build_parser().parse_args(argv)
    secret = check(args)
    folder = args.study.resolve() if args.study else simulated_study(SIMULATED)
    keep_inside(folder / "workbench")

    import uvicorn  # slow to import; what is wrong with the command is said before

    from study import Study
    from study.folder import TAG
    from study.loop import Loop
    from workbench.bench import Bench
    from workbench.server import create_app

    if not TAG.fullmatch(args.reader):
        raise ConfigError(f"reader is {args.reader!r}, expected up to 64 small letters, digits, - and _.")
    loop = Loop(Study(folder), {"device": args.device} if args.device else {})
    listening = socket.create_server((args.host, args.port), family=family(args.host))
    port = listening.getsockname()[1]
    scheme = "https" if args.ssl_certfile else "http"
    shown = f"[{args.host}]" if ":" in args.host else args.host
    hosts = [f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")] if args.host in LOOPBACK else []
    app = create_app(Bench(loop.study, loop, args.reader), secret, hosts, port, secure=bool(args.ssl_certfile))
    address = f"{scheme}://{shown}:{port}/" + (f"?token={secret}" if args.host in LOOPBACK else "")
    print(f"One-Shot Landmarks, the workbench of {folder}:\n{address}", flush=True)
    if not args.no_browser:
        threading.Timer(1.0, webbrowser.open, [address]).start()
    tls = {"ssl_keyfile": args.ssl_keyfile, "ssl_certfile": args.ssl_certfile} if args.ssl_certfile else {}
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=3, **tls)
    )
    server.run(sockets=[listening])


def keep_inside(own: Path) -> None:
    """Let nothing be written outside the study, not even for a moment; what a killed program left is removed.

    Raises:
        ConfigError: when the folder may not be written.
    """
    temporary = own / "tmp"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(
            f"the study {own.parent} cannot be changed ({error.strerror}): check its permissions."
        ) from None
    os.environ["TMPDIR"], tempfile.tempdir = str(temporary), None
    os.environ["NICEGUI_STORAGE_PATH"] = str(own / "pages")


def check(args: Namespace) -> str:
    """The secret that opens the workbench: the password, or a token that is drawn now.

    Raises:
        ConfigError: when an argument is wrong, or other machines could come in unseen.
    """
    study, host, port, key, certificate = args.study, args.host, args.port, args.ssl_keyfile, args.ssl_certfile
    if study is not None and not study.is_dir():
        raise ConfigError(f"study is {study}, which is no folder: give the folder of the images.")
    if not 0 <= port <= 65535:
        raise ConfigError(f"port is {port}, expected a number from 1 to 65535, or 0 for a free one.")
    if (key is None) != (certificate is None):
        raise ConfigError("TLS needs both --ssl_keyfile and --ssl_certfile: give the two, or none.")
    password = os.environ.get(PASSWORD, "")
    if host in LOOPBACK:
        return password or secrets.token_urlsafe(24)
    if len(password) < 12:
        raise ConfigError(
            f"host is {host}, which other machines reach: set a password of at least 12 characters in the environment "
            f"variable {PASSWORD}."
        )
    if certificate is None and not args.insecure:
        raise ConfigError(
            f"host is {host}, which other machines reach: give --ssl_keyfile and --ssl_certfile, or --insecure to send "
            "password and images unprotected."
        )
    return password


def family(host: str) -> socket.AddressFamily:
    """The kind of address that a host is."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def simulated_study(folder: Path) -> Path:
    """A study of simulated hands with its protocol, made where it is not there yet."""
    if not (folder / "phantom_000.dcm").is_file():
        print(f"Simulating hands in {folder} ...", flush=True)
        script = ROOT / "scripts" / "make_phantoms.py"
        subprocess.run([sys.executable, str(script), "--study", "--output_dir", str(folder)], check=True)
    from study import Study
    from study.protocol import read_protocol, shipped_protocols

    study = Study(folder.resolve())
    if not (study.own / "protocol.json").is_file():
        study.save_protocol(read_protocol(shipped_protocols()["hand-37"]))
    return folder.resolve()


if __name__ == "__main__":
    main()
