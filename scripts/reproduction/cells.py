"""The cells of each table: what is trained, what is evaluated, and the paper's figure beside it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
        seed: the seed, None where nothing is random.
        training: what is trained before; None for an evaluation without training.
        keep_local: whether the local decoder of the training is used.
        settings: keys on top of ``evaluate.json`` (and ``paper.json`` without training) and the data set's overlay.
    """

    name: str
    seed: int | None
    training: Training | None
    keep_local: bool
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        title: what the table says.
        cells: what is behind it, which differs in the seed only.
        paper: the paper's figures, and on which data set; None where it has none.
        not_run: why it is not run; empty where it is.
    """

    title: str
    cells: Sequence[Cell]
    paper: tuple[PaperFigure, str] | None = None
    not_run: str = ""


@dataclass(frozen=True)
class Plan:
    """A table: its title and its rows."""

    title: str
    rows: Sequence[Row]


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


def _row(
    choice: Choice,
    title: str,
    cells: Sequence[Cell],
    paper: tuple[PaperFigure, str] | None = None,
    encoder: str | None = None,
) -> Row:
    """A row that is run where the weights of its encoder are at hand."""
    encoder = encoder or choice.encoder
    if encoder == "xfeat" or encoder in choice.weights:
        return Row(title, cells, paper)
    return Row(title, (), paper, f"not run: no weights at hand (--encoder_weights {encoder}=FILE)")


def _weights(choice: Choice, encoder: str) -> dict[str, Any]:
    return {} if encoder == "xfeat" else {"encoder_weights": choice.weights.get(encoder)}


def _encoder(choice: Choice, encoder: str, **settings: Any) -> dict[str, Any]:
    chosen = {"network#encoder": {"name": encoder, **settings}, **ENCODER_NETWORKS.get(encoder, {})}
    return {**chosen, **_weights(choice, encoder)}


def _training(choice: Choice, seed: int, loss: str, local: bool) -> Training:
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


def _zero_shot(choice: Choice, name: str, encoder: str, *, bdm: bool = True, **settings: Any) -> list[Cell]:
    """An evaluation of the frozen features; nothing in it is random."""
    matching = {"matching#k": "@candidates" if bdm else 1}
    return [Cell(f"{encoder}-{name}", None, None, False, {**_encoder(choice, encoder, **settings), **matching})]


def _trained(choice: Choice, name: str, loss: str = "distance_aware", local: bool = True) -> list[Cell]:
    """An evaluation of a training with each seed; that of the row ``local`` keeps the local decoder."""
    begin = f"{choice.encoder}-{choice.budget}-{name}"
    settings = _weights(choice, choice.encoder)
    return [
        Cell(f"{begin}-seed{seed}", seed, _training(choice, seed, loss, local), name == "local", settings)
        for seed in choice.seeds
    ]


def table1(choice: Choice) -> Plan:
    """Table 1, the row of FM-OSD."""
    paper = TABLE_1[choice.overlay], choice.overlay
    return Plan("Table 1", [_row(choice, f"FM-OSD, encoder {choice.encoder}", _trained(choice, "local"), paper)])


def table2(choice: Choice) -> Plan:
    """Table 2: plain matching, bidirectional matching (BDM), global decoder, local decoder."""
    steps = {
        "plain": ("plain matching", _zero_shot(choice, "plain", choice.encoder, bdm=False)),
        "bdm": ("+ BDM", _zero_shot(choice, "bdm", choice.encoder)),
        "global": ("+ global decoder", _trained(choice, "global")),
        "local": ("+ local decoder", _trained(choice, "local")),
    }
    return Plan("Table 2", [_row(choice, *step, (TABLE_2[key], "hand")) for key, step in steps.items()])


def losses(choice: Choice) -> Plan:
    """Figure 3: other losses for the global decoder. The paper's own is the row of Table 2, and shares its training."""
    rows = {
        "contrastive": ("contrastive", _trained(choice, "contrastive", "contrastive", local=False)),
        "one_hot": ("MSE to a 0/1 map", _trained(choice, "one_hot", "one_hot", local=False)),
        "distance_aware": ("distance-aware (paper)", _trained(choice, "global")),
    }
    found = [_row(choice, *row, (LOSSES[key], "hand")) for key, row in rows.items()]
    return Plan("Losses of the global decoder (figure 3)", found)


def encoders(choice: Choice) -> Plan:
    """Figure 4a: the frozen features of each encoder, with BDM and without training."""
    rows = [_row(choice, "xfeat", _zero_shot(choice, "bdm", "xfeat"), encoder="xfeat")]
    rows += [
        _row(choice, name, _zero_shot(choice, f"bdm-{name}", name, facet="key"), encoder=name) for name in CATALOGUE
    ]
    return Plan("Encoders without training (figure 4a)", rows)


def facets(choice: Choice) -> Plan:
    """Figure 4b: key, query, value and token of the ninth block."""
    return _vit_plan(choice, "Facets without training (figure 4b)", {name: {"facet": name} for name in FACETS})


def layers(choice: Choice) -> Plan:
    """Figure 4c: the twelve blocks; ``layer 9`` is the paper's choice, block 8 counted from 0."""
    return _vit_plan(choice, "Layers without training (figure 4c)", {f"layer {i + 1}": {"block": i} for i in range(12)})


def _vit_plan(choice: Choice, title: str, settings: Mapping[str, Mapping[str, Any]]) -> Plan:
    rows = [
        _row(choice, f"{choice.encoder}, {name}", _zero_shot(choice, name.replace(" ", "_"), choice.encoder, **own))
        for name, own in settings.items()
    ]
    if choice.encoder == "xfeat":
        reason = "not run: XFeat is no transformer and has neither facets nor blocks (--encoder dino_vits8)"
        rows = [Row(row.title, (), not_run=reason) for row in rows]
    return Plan(title, rows)


PLANS: dict[str, Callable[[Choice], Plan]] = {
    "table1": table1,
    "table2": table2,
    "loss": losses,
    "encoders": encoders,
    "facets": facets,
    "layers": layers,
}
