"""What MONAI Label loads from an app's folder: the one class that is its app.

The folder of a running server holds a link to this file; the packages are found from where the file really is.
"""

import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from label_server.app import OneShotLandmarksApp  # noqa: E402 (needs the path above)

__all__ = ["OneShotLandmarksApp"]
