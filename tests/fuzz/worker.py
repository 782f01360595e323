"""The process in which the fuzzer's inputs are read: whatever happens to it, the fuzzer lives on.

``python -m tests.fuzz.worker SEED FIRST LAST`` reads the inputs FIRST to LAST - 1 and prints a line before and a line
after each.
"""

from __future__ import annotations

import random
import resource
import signal
import sys
import tempfile
import traceback
from pathlib import Path

from bundle.errors import BundleError
from bundle.io import decoder_process
from bundle.io.landmark_files import read_landmark_table, read_landmarks
from bundle.io.radiographs import read_radiograph
from bundle.records.radiograph import Radiograph
from tests.fuzz.corpus import Seed, make_corpus
from tests.fuzz.mutations import mutate
from tests.io.image_files import picture

#: Seconds of processor time for one input; a machine that has other work to do does not count.
SECONDS = 5

#: Outcomes that are as they should be.
FINE = ("read", "refused", "ended")

MEMORY = 2 * 1024**3

#: With which the process of the decoders has less than that.
MAX_PIXELS = 40_000_000


def make_input(corpus: list[Seed], seed: int, index: int) -> tuple[Seed, bytes]:
    """Input number ``index`` of a seed, the same wherever it is made."""
    draw = random.Random(f"{seed}:{index}")
    chosen = corpus[index % len(corpus)]
    data = mutate(chosen.data, draw, [other.data for other in corpus])
    return chosen, chosen.pack(data) if chosen.pack else data


def read(kind: str, path: Path) -> None:
    """Read a file the way the product does."""
    if kind == "image":
        read_radiograph(path, voi_lut=True, max_pixels=MAX_PIXELS)
    elif kind == "table":
        read_landmark_table(path)
    else:
        image = Radiograph(picture().astype("float32"), path.with_name("001.png"))
        read_landmarks(path, image)


def outcome(kind: str, path: Path) -> str:
    """``"read"``, ``"refused"``, ``"ended"``, or what is wrong with how the file was refused.

    A decoder that ended took its own process with it, not that of the reader (:mod:`bundle.io.decoder_process`).
    """
    try:
        read(kind, path)
    except BundleError as error:
        message = str(error)
        if isinstance(error.__cause__, MemoryError):
            return "memory " + message
        if "\n" in message or not message.endswith(".") or len(message) > 1000:
            return "sentence " + repr(message)
        ended = "crashes its decoder" in message or "takes more time or memory" in message
        return "ended" if ended else "refused"
    except MemoryError:
        return "memory"
    except Exception:
        return "crash " + traceback.format_exc()[-1500:].replace("\n", " | ")
    return "read"


def main(seed: int, first: int, last: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = make_corpus(folder)
        for warm in corpus:  # loads what is loaded on demand, before time and memory count
            path = folder / f"warm{warm.suffix}"
            path.write_bytes(warm.pack(warm.data) if warm.pack else warm.data)
            said = outcome(warm.reader, path)
            if said.split()[0] not in FINE:
                raise SystemExit(f"the seed {warm.name}: {said}")
        decoder_process.SECONDS = SECONDS
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        for index in range(first, last):
            chosen, data = make_input(corpus, seed, index)
            path = folder / f"input{chosen.suffix}"
            path.write_bytes(data)
            print(f"start {index}", flush=True)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)  # its signal ends the process, whatever it is in
            said = outcome(chosen.reader, path)
            signal.setitimer(signal.ITIMER_PROF, 0)
            print(f"end {index} {said}", flush=True)
            path.unlink()
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}", flush=True)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:4]))
