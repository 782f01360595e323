"""Reads thousands of changed files, each of which must be read or refused with one sentence.

``python -m tests.fuzz --inputs 20000 --seed 0`` from the project's folder. What was neither read nor refused is kept in
a folder, and the exit status is 1. Images and reports are read by the process of their decoders, as in the product:
whatever they do to it, the fuzzer lives on. It needs Linux, for its limit of memory.
"""

import argparse
import contextlib
import json
import random
import resource
import shutil
import signal
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import psutil
from tqdm import tqdm

from bundle.errors import BundleError
from bundle.io import decoder_process
from bundle.io.landmark_files import read_landmark_table, read_landmarks
from bundle.io.radiographs import read_radiograph
from bundle.records.radiograph import Radiograph
from tests.fuzz.corpus import Seed, make_corpus
from tests.fuzz.mutations import mutate
from tests.io.image_files import picture

#: Seconds of processor time for one input, here and in the process of the decoders.
SECONDS = 5

#: Bytes of memory that reading may take, beyond what is loaded before.
MEMORY = 2 * 1024**3

#: With which the process of the decoders has less than that.
MAX_PIXELS = 40_000_000

#: Outcomes that are as they should be.
FINE = ("read", "refused", "ended")


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
        read_landmarks(path, Radiograph(picture().astype("float32"), path.with_name("001.png")))


def outcome(kind: str, path: Path) -> str:
    """``"read"``, ``"refused"``, ``"ended"`` with the process of its decoder, or what is wrong with the refusal."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
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
    except Exception:  # also MemoryError, and the alarm of the timer
        return "crash " + traceback.format_exc()[-1500:].replace("\n", " | ")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return "read"


def alarm(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS} seconds")


@contextlib.contextmanager
def limited_memory() -> Iterator[None]:
    """Memory beyond :data:`MEMORY` is refused, as a MemoryError, here and in processes that start meanwhile."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (psutil.Process().memory_info().data + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def fuzz(seed: int, inputs: int, findings: Path) -> Counter[str]:
    """Read the inputs 0 to ``inputs`` - 1 of a seed.

    Args:
        seed: where the inputs come from.
        inputs: how many.
        findings: a folder for those that were neither read nor refused; made where there is one.

    Returns:
        How many there were of each outcome.
    """
    counts: Counter[str] = Counter()
    previous = signal.signal(signal.SIGPROF, alarm)
    with tempfile.TemporaryDirectory() as name:
        corpus = make_corpus(Path(name))
        for sound in corpus:  # loads what is loaded on demand, before time counts
            path = Path(name) / f"sound{sound.suffix}"
            path.write_bytes(sound.pack(sound.data) if sound.pack else sound.data)
            assert outcome(sound.reader, path) in FINE, sound.name
        with mock.patch.object(decoder_process, "SECONDS", SECONDS), limited_memory():
            for index in tqdm(range(inputs), desc="fuzzing", unit="input", mininterval=1.0):
                chosen, data = make_input(corpus, seed, index)
                path = Path(name) / f"input{chosen.suffix}"
                path.write_bytes(data)
                said = outcome(chosen.reader, path)
                counts[said.split()[0]] += 1
                if said not in FINE:
                    findings.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, findings / f"{seed}-{index}{chosen.suffix}")
                    tqdm.write(f"{index}: {said}")
                path.unlink()
    signal.signal(signal.SIGPROF, previous)
    return counts


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Read changed files; none may crash, hang or take too much memory.")
    parser.add_argument("--inputs", type=int, default=20_000, help="how many (default 20000)")
    parser.add_argument("--seed", type=int, default=0, help="where they come from (default 0)")
    parser.add_argument("--findings", type=Path, default=Path("output/fuzz"), help="folder for what went wrong")
    args = parser.parse_args(argv)
    counts = fuzz(args.seed, args.inputs, args.findings)
    print(json.dumps({"seed": args.seed, "inputs": args.inputs, **counts}))
    return int(bool(counts.keys() - set(FINE)))
