"""The cells of each table: what is trained, what is evaluated, and the paper's figure beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bundle.encoders.catalogue import CATALOGUE
from reproduction.budgets import BUDGETS, ENCODER_NETWORKS
from reproduction.paper_figures import LOSSES, TABLE_1, TABLE_2, PaperFigure

#: How the paper's loss is replaced in the global stage; None is the paper's own.
LOSS_TARGETS: dict[str, dict[str, Any] | None] = {
    "contrastive": {"_target_": "bundle.training.losses.ContrastiveSimilarityLoss"},
    "one_hot": {"_target_": "bundle.training.losses.OneHotSimilarityLoss"},
    "distance_aware": None,
}

FACETS = ("key", "query", "value", "token")


@dataclass(frozen=True)
class Training:
    """One training that cells may share.

    Attributes:
        name: folder of the training.
        settings: keys on top of ``train_decoders.json``, ``paper.json`` and the data set's overlay.
    """

    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """One evaluation.

    Attributes:
        name: folder of the cell.
        row: row of the table; cells of one row differ in their seed only.
        seed: the seed, None where nothing is random.
        training: what is trained before; None for an evaluation without training.
        keep_local: whether the local decoder of the training is used.
        settings: keys on top of ``evaluate.json`` (and ``paper.json`` without training) and the data set's overlay.
    """

    name: str
    row: str
    seed: int | None
    training: Training | None
    keep_local: bool
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        key: its name in the cells.
        title: what the table says.
        paper: the paper's figures, and on which data set; None where it has none.
        not_run: why it is not run; empty where it is.
    """

    key: str
    title: str
    paper: tuple[PaperFigure, str] | None = None
    not_run: str = ""


@dataclass(frozen=True)
class Plan:
    """A table: its rows and the cells behind them."""

    title: str
    rows: Sequence[Row]
    cells: Sequence[Cell] = field(default_factory=tuple)


@dataclass(frozen=True)
class Choice:
    """What the user chose.

    Attributes:
        overlay: ``"head"`` or ``"hand"``.
        encoder: short name of the encoder, or timm's name.
        weights: where each encoder's weights are, by its name; XFeat needs none.
        seeds: seeds of the trainings.
        budget: a key of :data:`reproduction.budgets.BUDGETS`.
    """

    overlay: str
    encoder: str
    weights: Mapping[str, str]
    seeds: Sequence[int]
    budget: str

    def at_hand(self, encoder: str) -> bool:
        """Whether an encoder can be run."""
        return encoder == "xfeat" or encoder in self.weights


def _encoder(choice: Choice, encoder: str, **settings: Any) -> dict[str, Any]:
    chosen: dict[str, Any] = {"network#encoder": {"name": encoder, **settings}, **ENCODER_NETWORKS.get(encoder, {})}
    if encoder != "xfeat":
        chosen["encoder_weights"] = choice.weights[encoder]
    return chosen


def _training(choice: Choice, seed: int, *, loss: str = "distance_aware", local: bool = True) -> Training:
    settings = {**_encoder(choice, choice.encoder), **BUDGETS[choice.budget], "seed": seed}
    name = f"{choice.encoder}-{choice.budget}"
    if LOSS_TARGETS[loss] is not None:
        settings |= {"train_global#loss": LOSS_TARGETS[loss], "record#global_loss": loss}
        name += f"-{loss}"
    if not local:
        settings["network#local_channels"] = 0
        settings["training"] = ["$@train_global#trainer.run()", "$@write_model()", "$@forget_run()"]
        name += "-global_only"
    return Training(f"{name}-seed{seed}", settings)


def _zero_shot(choice: Choice, row: str, encoder: str, *, bdm: bool = True, **settings: Any) -> Cell:
    """An evaluation of the frozen features; nothing in it is random."""
    matching = {"matching#k": "@candidates" if bdm else 1}
    return Cell(f"{encoder}-{row}", row, None, None, False, {**_encoder(choice, encoder, **settings), **matching})


def _trained(choice: Choice, row: str, training: Training, seed: int, keep_local: bool) -> Cell:
    settings = {} if choice.encoder == "xfeat" else {"encoder_weights": choice.weights[choice.encoder]}
    return Cell(f"{choice.encoder}-{choice.budget}-{row}-seed{seed}", row, seed, training, keep_local, settings)


def _missing(encoder: str) -> str:
    return f"not run: no weights at hand (--encoder_weights {encoder}=FILE)"


def _needs_choice(choice: Choice) -> str:
    return "" if choice.at_hand(choice.encoder) else _missing(choice.encoder)


def table1(choice: Choice) -> Plan:
    """Table 1, the row of FM-OSD."""
    row = Row("local", f"FM-OSD, encoder {choice.encoder}", (TABLE_1[choice.overlay], choice.overlay))
    reason = _needs_choice(choice)
    if reason:
        return Plan("Table 1", [Row(row.key, row.title, row.paper, reason)])
    return Plan("Table 1", [row], [_trained(choice, "local", _training(choice, s), s, True) for s in choice.seeds])


def table2(choice: Choice) -> Plan:
    """Table 2: plain matching, bidirectional matching (BDM), global decoder, local decoder."""
    reason = _needs_choice(choice)
    titles = {"plain": "plain matching", "bdm": "+ BDM", "global": "+ global decoder", "local": "+ local decoder"}
    rows = [Row(key, title, (TABLE_2[key], "hand"), reason) for key, title in titles.items()]
    if reason:
        return Plan("Table 2", rows)
    cells = [
        _zero_shot(choice, "plain", choice.encoder, bdm=False),
        _zero_shot(choice, "bdm", choice.encoder),
        *(_trained(choice, "global", _training(choice, seed), seed, False) for seed in choice.seeds),
        *(_trained(choice, "local", _training(choice, seed), seed, True) for seed in choice.seeds),
    ]
    return Plan("Table 2", rows, cells)


def losses(choice: Choice) -> Plan:
    """Figure 3: other losses for the global decoder. The paper's own is the row of Table 2, and shares its training."""
    reason = _needs_choice(choice)
    titles = {"contrastive": "contrastive", "one_hot": "MSE to a 0/1 map", "distance_aware": "distance-aware (paper)"}
    rows = [
        Row("global" if key == "distance_aware" else key, title, (LOSSES[key], "hand"), reason)
        for key, title in titles.items()
    ]
    if reason:
        return Plan("Losses of the global decoder (figure 3)", rows)
    cells = [
        _trained(choice, loss, _training(choice, seed, loss=loss, local=False), seed, False)
        for loss in ("contrastive", "one_hot")
        for seed in choice.seeds
    ]
    cells += [_trained(choice, "global", _training(choice, seed), seed, False) for seed in choice.seeds]
    return Plan("Losses of the global decoder (figure 3)", rows, cells)


def encoders(choice: Choice) -> Plan:
    """Figure 4a: the frozen features of each encoder, with BDM and without training."""
    names = ["xfeat", *CATALOGUE]
    rows = [
        Row("bdm" if name == "xfeat" else f"bdm-{name}", name, None, _encoder_reason(choice, name)) for name in names
    ]
    cells = [
        _zero_shot(choice, row.key, name, **({} if name == "xfeat" else {"facet": "key"}))
        for row, name in zip(rows, names)
        if choice.at_hand(name)
    ]
    return Plan("Encoders without training (figure 4a)", rows, cells)


def _encoder_reason(choice: Choice, name: str) -> str:
    return "" if choice.at_hand(name) else _missing(name)


def facets(choice: Choice) -> Plan:
    """Figure 4b: key, query, value and token of the ninth block."""
    return _vit_plan(choice, "Facets without training (figure 4b)", {name: {"facet": name} for name in FACETS})


def layers(choice: Choice) -> Plan:
    """Figure 4c: the twelve blocks; ``layer 9`` is the paper's choice, block 8 counted from 0."""
    return _vit_plan(choice, "Layers without training (figure 4c)", {f"layer {i + 1}": {"block": i} for i in range(12)})


def _vit_plan(choice: Choice, title: str, settings: Mapping[str, Mapping[str, Any]]) -> Plan:
    reason = _needs_choice(choice)
    if choice.encoder == "xfeat":
        reason = "not run: XFeat is no transformer and has neither facets nor blocks (--encoder dino_vits8)"
    keys = {name: name.replace(" ", "_") for name in settings}
    rows = [Row(keys[name], f"{choice.encoder}, {name}", None, reason) for name in settings]
    if reason:
        return Plan(title, rows)
    return Plan(title, rows, [_zero_shot(choice, keys[name], choice.encoder, **own) for name, own in settings.items()])


PLANS: dict[str, Callable[[Choice], Plan]] = {
    "table1": table1,
    "table2": table2,
    "loss": losses,
    "encoders": encoders,
    "facets": facets,
    "layers": layers,
}
