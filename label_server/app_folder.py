"""The folder that MONAI Label works in: the app's main file, the bundle under its name, and what the server keeps."""

from pathlib import Path

from bundle.errors import BundleError

#: The checkout that this file belongs to.
ROOT = Path(__file__).resolve().parents[1]

#: The name of the bundle's folder. MONAI Label guesses a task's type from it; this one makes it guess nothing wrong.
BUNDLE_NAME = "oneshot_landmarks"

#: What the bundle's folder shares with the checkout; all else in it, above all the model, is the study's own.
SHARED = ("LICENSE", "bundle", "configs", "docs")


def bundle_folder(app_dir: str | Path) -> Path:
    """Where the bundle is in an app's folder."""
    return Path(app_dir) / "model" / BUNDLE_NAME


def make_app_folder(app_dir: str | Path) -> Path:
    """Make, or bring up to date, the folder of an app.

    Args:
        app_dir: the folder; a model that an earlier server left in it stays.

    Returns:
        The bundle's folder in it, with links to the checkout and a folder ``models`` of its own.

    Raises:
        BundleError: when the system refuses.
    """
    app_dir = Path(app_dir)
    folder = bundle_folder(app_dir)
    try:
        (folder / "models").mkdir(parents=True, exist_ok=True)
        for name in SHARED:
            _link(folder / name, ROOT / name)
        if app_dir.resolve() != ROOT / "label_server":
            _link(app_dir / "main.py", ROOT / "label_server" / "main.py")
    except OSError as error:
        raise BundleError(
            f"the server's folder {app_dir} cannot be made ({error.strerror or error}): choose another --app_dir."
        ) from error
    return folder


def _link(link: Path, target: Path) -> None:
    if link.is_symlink():
        if link.resolve() == target.resolve():
            return
        link.unlink()  # of a checkout that has moved
    link.symlink_to(target, target_is_directory=target.is_dir())
