"""The command line of ``python -m monai.bundle``, checked before anything of the bundle is computed or written."""

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from pydoc import locate
from typing import Any

import monai.bundle
from monai.bundle import ComponentLocator, ConfigComponent, ConfigParser, ConfigWorkflow, update_kwargs
from monai.bundle.utils import DEFAULT_EXP_MGMT_SETTINGS, EXPR_KEY, ID_REF_KEY, ID_SEP_KEY, MACRO_KEY, MERGE_KEY

from bundle.errors import ConfigError
from bundle.records.console import is_command_line, report_errors_plainly

#: Settings with fields of their own, which are checked where they are read.
_OPEN = ("network", "matching")

#: The bundle's workflows, and the preset that others are laid over: an overlay may hold the keys of any of them.
_KNOWN = ("inference.json", "evaluate.json", "train.json", "train_decoders.json", "paper.json")


def check_command_line() -> None:
    """Refuse what MONAI would take in silence: unknown or misspelt settings, stray words, a wrong order of the files.

    Every workflow calls this first. Mistakes of the user are one sentence from here on. A program that runs a workflow
    itself is left alone.

    Raises:
        ConfigError: when the command line of ``python -m monai.bundle`` is wrong.
    """
    if is_command_line():
        report_errors_plainly()
        refuse_mistakes(sys.argv[1:])


def refuse_mistakes(words: Sequence[str]) -> None:
    """Compare a command line, and the ``args_file`` that it names, with the keys of its configuration files.

    Args:
        words: what stands after ``python -m monai.bundle``.

    Raises:
        ConfigError: in one sentence, with the nearest known name.
    """
    command, given = _as_fire_reads(words)
    if command.endswith("_export"):
        raise ConfigError(
            f"{command} cannot turn this bundle's model into one graph: write it as ONNX files with `python "
            "scripts/export_onnx.py --model_path models/model.pt --image_size HEIGHT WIDTH --output_dir export`."
        )
    files = _listed(given.get("config_file"))
    own = {name for step in (getattr(monai.bundle, command), ConfigWorkflow) for name in _parameters(step)}
    settings = {name: value for name, value in given.items() if name not in own | {"workflow_name"}}
    config = ConfigParser.load_config_files(files)
    _check_files(files, config)
    if tracking := given.get("tracking"):
        config = {**_tracked_by(tracking), **config}
        store = settings.get("tracking_uri")
        given_elsewhere = str(store).startswith((EXPR_KEY, ID_REF_KEY, MACRO_KEY, "databricks"))
        if store is not None and not given_elsewhere and ("://" not in str(store) or str(store).startswith("file:")):
            raise ConfigError(
                f"--tracking_uri is {store!r}, which MLflow does not take as a store: give sqlite:///FILE or the "
                "address of a server."
            )
        if "several_models" in config:
            raise ConfigError("--tracking logs the run of one model, not of several: leave it out.")
    for step in ("run_id", "init_id", "final_id"):
        if given.get(step) is not None and given[step] not in config:
            runs = [name for name in ("training", "inference", "evaluation") if name in config]
            raise ConfigError(
                f"{given[step]} is no run of {' with '.join(files)}, which has {' and '.join(runs)}; give several "
                "values of one setting as \"['a','b']\"."
            )
    for name, value in settings.items():
        _check_setting(name, value, config, files)


def _tracked_by(settings: Any) -> dict[str, Any]:
    """The configuration that MONAI adds for ``--tracking``."""
    found: Any = settings
    if isinstance(settings, str):
        file = Path(settings).suffix in (".json", ".yaml", ".yml") and Path(settings).is_file()
        found = ConfigParser.load_config_file(settings) if file else DEFAULT_EXP_MGMT_SETTINGS.get(settings)
    if not isinstance(found, Mapping) or not {"handlers_id", "configs"} <= found.keys():
        raise ConfigError(
            f"--tracking is {settings!r}, expected configs/tracking_tensorboard.json or configs/tracking_mlflow.json, "
            "or a file of settings like these: choose one."
        )
    if "MLFlowHandler" in str(found) and find_spec("mlflow") is None:
        raise ConfigError(
            "--tracking needs the package mlflow: run pip install -r requirements-mlflow.txt -c constraints.txt, or "
            "leave it out."
        )
    return found["configs"]


def _as_fire_reads(words: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """The command and its arguments, as MONAI's own reading of the command line finds them, with the ``args_file``."""
    import fire  # only MONAI's command line needs it

    def reader(name: str) -> Any:
        def read(*positional: Any, **named: Any) -> tuple[str, dict[str, Any]]:
            arguments = read.__signature__.bind(*positional, **named).arguments  # type: ignore[attr-defined]
            rest = {**arguments.pop("override", {}), **arguments.pop("kwargs", {})}
            return name, {**arguments, **rest}

        read.__signature__ = inspect.signature(getattr(monai.bundle, name))  # type: ignore[attr-defined]
        return read

    commands = ("run", "run_workflow", "verify_net_in_out", "ckpt_export", "onnx_export", "trt_export")
    readers = {name: reader(name) for name in commands}
    command, given = fire.Fire(readers, command=list(words), serialize=lambda _: None)  # which prints nothing
    return command, update_kwargs(args=given.pop("args_file", None), **given)


def _check_files(files: Sequence[str], config: Mapping[str, Any]) -> None:
    """One workflow, and after it overlays whose keys a workflow has, or which the configuration refers to."""
    workflows = [file for file in files if "bundle_root" in ConfigParser.load_config_file(file)]
    if len(workflows) > 1:
        raise ConfigError(f"{' and '.join(workflows)} are workflows of their own: give --config_file one of them.")
    if workflows and workflows[0] != files[0]:
        raise ConfigError(
            f"{workflows[0]} would undo the overlay {files[0]} before it: name the workflow first, as in --config_file "
            f"\"['{workflows[0]}','{files[0]}']\"."
        )
    beside = [Path(files[0]).with_name(name) for name in _KNOWN] if files else []
    known = {key for file in beside if file.is_file() for key in ConfigParser.load_config_file(file)}
    known |= {key for file in workflows for key in ConfigParser.load_config_file(file)}
    referred = set(re.findall(r"[@%](\w+)", str(config)))
    for file in files:
        for name in (_parts(key)[0] for key in ConfigParser.load_config_file(file)):
            if name not in known | referred:
                raise ConfigError(f"{file} has {name}, which no workflow uses{_nearest(name, known)}")


def _check_setting(name: str, value: Any, config: Mapping[str, Any], files: Sequence[str]) -> None:
    """Whether a setting is one that the configuration has, or an argument that a component takes."""
    parts = _parts(name)
    if name in config and (expected := _expected(config[name], value)):
        raise ConfigError(f"--{name} is {value!r}, expected {expected}: write it after the option.")
    node: Any = config
    for depth, part in enumerate(parts):
        if parts[0] == ConfigParser.meta_key or (depth and parts[0] in _OPEN):
            return
        if isinstance(node, list):
            node = node[int(part)]
        elif isinstance(node, Mapping):
            arguments = _arguments_of(node) if "_target_" in node else frozenset()
            if part not in {*node, *arguments} and "**" not in arguments:
                where = " of ".join([*reversed(parts[:depth]), " with ".join(files)])
                raise ConfigError(f"--{name}: {part} is no setting of {where}{_nearest(part, {*node, *arguments})}")
            node = node.get(part)


def _expected(default: Any, value: Any) -> str | None:
    """What a value should be where it is of another kind than the default; None where it is not, or cannot be told."""
    if isinstance(value, str) and value.startswith((EXPR_KEY, ID_REF_KEY, MACRO_KEY)):
        return None
    if isinstance(default, bool):
        return None if isinstance(value, bool) else "True or False"
    if isinstance(default, int | float):
        return None if isinstance(value, int | float) and not isinstance(value, bool) else "a number"
    return "a value" if isinstance(value, bool) else None


def _arguments_of(component: Mapping[str, Any]) -> frozenset[str]:
    """The names of the arguments that a component takes, and ``**`` where it takes any."""
    target = ConfigComponent(config=dict(component), locator=ComponentLocator()).resolve_module_name()
    located = locate(target) if isinstance(target, str) else target
    return _parameters(located) if callable(located) else frozenset(["**"])


def _parameters(function: Callable[..., Any]) -> frozenset[str]:
    parameters = inspect.signature(function).parameters.values()
    return frozenset("**" if one.kind is inspect.Parameter.VAR_KEYWORD else one.name for one in parameters)


def _parts(name: str) -> list[str]:
    """The steps of a nested id, such as ``train#trainer#max_epochs``."""
    return re.split(f"#|{ID_SEP_KEY}", name.removeprefix(MERGE_KEY))


def _listed(files: Any) -> list[str]:
    """The configuration files, which MONAI takes as one path, as a list, or as paths with commas between them."""
    if isinstance(files, str):
        return [files] if Path(files).is_file() else files.split(",")
    return [str(file) for file in files or ()]


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, [one for one in known if one != "**"], n=1)
    return f": did you mean {near[0]}?" if near else ": docs/configuration.md lists them all."
