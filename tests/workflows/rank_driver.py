"""Runs several workflows one after the other in each of the processes that torchrun starts: one start for many tests.

``torchrun --nproc_per_node=N tests/workflows/rank_driver.py JOBS.json`` with a list of dictionaries: ``configs``, the
names of the files; ``kind``; ``settings``; and ``stopped``, the engine
that is stopped, if any, and its iterations. Each rank writes the exit status of each job beside the list.
"""

import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from bundle.records.console import INTERRUPTED
from tests.workflows.running import at_bundle_root, interrupt, open_workflow


def stop() -> None:
    raise KeyboardInterrupt


def status_of(configs: list[str], kind: str, settings: dict, stopped: list) -> int:
    with at_bundle_root():
        workflow = open_workflow(*configs, kind=kind, **settings)
        workflow.initialize()
        if stopped:
            interrupt(workflow, *stopped, stop)
        try:
            workflow.run()
        except SystemExit as end:
            return int(end.code or 0)
        except KeyboardInterrupt:
            return INTERRUPTED
    return 0


def main(jobs: Path) -> None:
    import ignite.distributed as idist

    torch.set_num_threads(1)
    statuses = [status_of(**job) for job in json.loads(jobs.read_text(encoding="utf-8"))]
    jobs.with_name(f"status-{idist.get_rank()}.json").write_text(json.dumps(statuses), encoding="utf-8")
    idist.finalize()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
