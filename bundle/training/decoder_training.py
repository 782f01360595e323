"""The training of the paper's decoders on warps of the template: two stages, one for each decoder, on frozen features.

Neither the encoder nor the warps change, so one pass of the encoder per warp replaces the many that training would
make; and a killed training goes on where it stopped.
"""

import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Events
from ignite.handlers import Checkpoint
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.engines import SupervisedTrainer
from monai.transforms import Compose, RandAffined, RandAffineGrid
from torch import Tensor, nn
from torch.utils.data import Dataset

from bundle.errors import ConfigError
from bundle.geometry import PaperRounding, PixelCentres
from bundle.model.inferer import reuse_memory
from bundle.networks import OneShotNetwork
from bundle.networks.crops import inner_windows
from bundle.ranks import batch_share, equal_share, is_first, of_all
from bundle.records.console import progress
from bundle.records.radiograph import Template
from bundle.training.run_folder import kept
from bundle.writers.files import atomic_file

#: Seconds between two saved states: what is lost at most when a training is killed, beside the step in progress. Where
#: saving takes more than half a second, they are longer, so that it never takes more than a twentieth of the time.
SAVE_EVERY = 10.0


class WarpedTemplate(Dataset):
    """Random warps of the template with their landmarks; the same index and seed always give the same warp.

    The transforms are MONAI's and act on an item with ``image``, a MetaTensor of shape (1, H, W), and ``landmarks``,
    of shape (1, N, 2) in ``(row, column)``, so that :class:`monai.transforms.ApplyTransformToPointsd` can take the
    points along.

    Args:
        template: the annotated image.
        transform: random transforms of one item.
        count: how many warps there are.
        seed: warps of another seed are other warps.

    Raises:
        ConfigError: when there is not at least one warp.
    """

    def __init__(
        self,
        template: Template,
        transform: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        count: int,
        seed: int,
    ) -> None:
        if not count >= 1:
            raise ConfigError(f"a training with {count} warps was asked for, expected at least one: raise the setting.")
        self.image = torch.from_numpy(template.image)[None]
        self.points = torch.from_numpy(template.landmarks.points)
        self.transform = transform if isinstance(transform, Compose) else Compose([transform])
        self.count = count
        self.seed = seed
        self._template = template

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One warp.

        Returns:
            ``image``, (1, H, W), and ``landmarks``, (N, 2) in pixels ``(x, y)`` of it, which may be outside.

        Raises:
            ConfigError: when there is no template.
        """
        self._template.require()
        self.transform.set_random_state(seed=int(np.random.SeedSequence([self.seed, index]).generate_state(1)[0]))
        item = {
            "image": MetaTensor(self.image.clone(), affine=torch.eye(4, dtype=torch.float64)),
            "landmarks": self.points.flip(-1)[None],
        }
        warped: Any = self.transform(item)
        points = torch.as_tensor(warped["landmarks"])[0].flip(-1)
        return {"image": torch.as_tensor(warped["image"]).float(), "landmarks": points.float()}


class _OneScaleGrid(RandAffineGrid):
    def randomize(self, data: Any | None = None) -> None:
        super().randomize(data)
        self.scale_params = (self.scale_params or [1.0]) * 2


class RandOneScaleAffined(RandAffined):
    """MONAI's ``RandAffined`` with one scale factor for both axes.

    MONAI draws a factor for each axis of its own: a single number in ``scale_range`` scales the rows alone.

    Args:
        keys: the keys of the images.
        scale_range: the factor lies between ``1 - scale_range`` and ``1 + scale_range``.
        options: all others of ``RandAffined``.
    """

    def __init__(self, keys: KeysCollection, *, scale_range: float, **options: Any) -> None:
        super().__init__(keys, scale_range=scale_range, **options)
        drawn = self.rand_affine.rand_affine_grid
        self.rand_affine.rand_affine_grid = _OneScaleGrid(
            drawn.rotate_range, drawn.shear_range, drawn.translate_range, drawn.scale_range, drawn.device
        )


class Stage(nn.Module, ABC):
    """A decoder in training, and how its inputs are made of a warp of the template.

    A warp gives frozen features of shape (M, C, h, w) and landmarks as cells ``(x, y)`` of the decoded map, of shape
    (M, K, 2): one image with K = N landmarks in the global stage, M = N crops with K = 1 landmark in the local stage.

    Args:
        network: the network that the decoder belongs to.
        which: ``"global"`` or ``"local"``.

    Raises:
        ConfigError: when the network has no such decoder.
    """

    def __init__(self, network: OneShotNetwork, which: str) -> None:
        super().__init__()
        decoder = getattr(network, f"{which}_decoder")
        if decoder is None:
            raise ConfigError(
                f"the {which} stage needs network.{which}_channels: add configs/paper.json, or set more than 0."
            )
        self.network = network
        self.which = which
        self.decoder: nn.Module = decoder

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @abstractmethod
    def encode(self, warp: dict[str, Tensor], index: int) -> tuple[Tensor, Tensor]:
        """Frozen features and cells of one warp.

        Args:
            warp: an item of :class:`WarpedTemplate`.
            index: number of the warp, which decides about anything random.
        """


class GlobalStage(Stage):
    """Trains the global decoder on whole images; landmarks lie on its map as the paper's public code has them.

    Args:
        network: a network with one scale and a global decoder.
        warps: the warps, which give the size of the images.
    """

    def __init__(self, network: OneShotNetwork, warps: WarpedTemplate) -> None:
        super().__init__(network, "global")
        self.image_size = (int(warps.image.shape[-2]), int(warps.image.shape[-1]))
        (self.decoded_size,) = network.global_sizes(self.image_size)

    def encode(self, warp: dict[str, Tensor], index: int) -> tuple[Tensor, Tensor]:
        """Nothing is random."""
        (features,) = self.network.encode_global(warp["image"][None].to(self.device))
        return features, PaperRounding().to_cells(warp["landmarks"], self.image_size, self.decoded_size)[None]

    def forward(self, features: Tensor) -> Tensor:
        """Decode whole images: (M, C, h, w) -> (M, C', h', w')."""
        return self.decoder(features, self.decoded_size)


class LocalStage(Stage):
    """Trains the local decoder on crops around the landmarks, each shifted at random.

    As in the paper's public code, crops that would reach over the border are moved inside the image, and batch
    normalisation sees the crops of one landmark at a time.

    Args:
        network: a network with a local decoder.
        jitter: largest shift in pixels of the crop on each axis; the paper has 50.
        seed: seed of the shifts.
        landmarks: how many landmarks a warp has.
    """

    def __init__(self, network: OneShotNetwork, jitter: int, seed: int, landmarks: int) -> None:
        super().__init__(network, "local")
        self.jitter = jitter
        self.seed = seed
        self.landmarks = landmarks

    def encode(self, warp: dict[str, Tensor], index: int) -> tuple[Tensor, Tensor]:
        """The shifts are random."""
        landmarks, settings = warp["landmarks"], self.network.settings
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + index)
        shift = torch.randint(-self.jitter, self.jitter + 1, landmarks.shape, generator=generator).to(landmarks)
        window = settings.local_window
        windows = inner_windows(warp["image"].to(self.device), (landmarks + shift).to(self.device), window)
        inside = landmarks.to(self.device) - windows.origins
        cells = PixelCentres().to_cells(inside, (window, window), settings.decoded_crop)
        return self.network.encode_local(windows.crops), cells[:, None]

    def forward(self, features: Tensor) -> Tensor:
        """Decode crops: (M, C, h, w) -> (M, C', h', w')."""
        return self.network.decode_local(features, self.network.settings.decoded_crop, self.landmarks)


class StageFeatures:
    """Inputs of one stage for each warp, kept at half precision: ``image``, (M, C, h, w), and ``label``, (M, K, 2).

    Each warp is one file, so a killed training computes none of them again; the system keeps in memory what it can.

    Args:
        warps: the warps of the template.
        stage: the stage that they are for.
        folder: where the files are.
        indices: numbers of the warps of this rank.
    """

    def __init__(self, warps: WarpedTemplate, stage: Stage, folder: str | Path, indices: Sequence[int]) -> None:
        self.warps = warps
        self.stage = stage
        self.files = [(index, Path(folder) / f"warp_{index:06d}.pt") for index in indices]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        index, file = self.files[position]
        found = kept(file, lambda: self._encode(index))
        return {"image": found["image"].float(), "label": found["label"]}

    @property
    def missing(self) -> list[int]:
        """Positions of those that are not computed yet."""
        return [position for position, (_, file) in enumerate(self.files) if not file.is_file()]

    def compute(self) -> None:
        """Compute what is not there yet.

        Raises:
            ConfigError: when the disk has no room.
        """
        missing, label = self.missing, f"warps for the {self.stage.which} decoder"
        for position in progress(missing, desc=label, unit="warp", disable=not is_first()):
            self[position]
            if position == missing[0]:
                self._require_room(self.files[position][1], len(missing) - 1)

    def _require_room(self, file: Path, others: int) -> None:
        """Refuse to begin what the disk cannot hold, by the size of one file."""
        needed, free = others * file.stat().st_size * idist.get_world_size(), shutil.disk_usage(file.parent).free
        if needed > free:
            raise ConfigError(
                f"the frozen features of {others} warps per rank need {needed / 1e9:.3g} GB in {file.parent}, but the "
                f"disk has {free / 1e9:.3g} GB left: give --output_dir a folder on another disk, or lower warps."
            )

    def _encode(self, index: int) -> dict[str, Tensor]:
        with torch.no_grad():
            features, cells = self.stage.encode(self.warps[index], index)
        # Plain tensors: a warp is MONAI's MetaTensor, whose meta data would go into every file and every step.
        return {"image": features.as_subclass(Tensor).half().cpu(), "label": cells.as_subclass(Tensor).cpu()}


class StageTrainer(SupervisedTrainer):
    """Trains the decoder of a stage on frozen features of the warps; of several ranks, rank 0 speaks and saves.

    Args:
        stage: the stage.
        warps: the warps to train on.
        loss: compares decoded maps with cells.
        optimizer: makes the optimiser of the decoder's parameters.
        folder: where features and the state of the training are kept.
        max_epochs: how often all warps are seen.
        batch_size: warps per step, of all ranks together.
        seed: seed of the order of the warps.
        train_handlers: handlers of events.

    Raises:
        ConfigError: when there are fewer warps than one batch holds.
    """

    def __init__(
        self,
        stage: Stage,
        warps: WarpedTemplate,
        loss: nn.Module,
        optimizer: Callable[..., torch.optim.Optimizer],
        folder: str | Path,
        max_epochs: int,
        batch_size: int,
        seed: int,
        train_handlers: Sequence[Any] = (),
    ) -> None:
        self.stage = stage
        self.path = Path(folder) / "state.pt"
        self.features = StageFeatures(warps, stage, Path(folder) / "warps", equal_share(len(warps)))
        batches = _Batches(self, batch_share(batch_size), seed + idist.get_rank())
        steps = len(self.features) // batches.size
        if not steps:
            raise ConfigError(
                f"there are {len(warps)} warps for {idist.get_world_size()} ranks, which is less than one batch: raise "
                "warps, lower batch_size, or start fewer ranks."
            )
        super().__init__(
            device=stage.device,
            max_epochs=max_epochs,
            train_data_loader=batches,
            epoch_length=steps,
            network=stage,
            optimizer=optimizer(stage.decoder.parameters()),
            loss_function=loss,
            train_handlers=list(train_handlers),
            decollate=False,
        )
        self.add_event_handler(Events.ITERATION_COMPLETED, self._note)

    def run(self) -> None:  # type: ignore[override]
        """Train until the last epoch, from the state that an earlier run left, if any."""
        reuse_memory()
        self.network = _over_ranks(self.stage)
        there = of_all(self.path.is_file())
        if any(there) and not all(there):
            raise ConfigError(
                f"rank {there.index(False)} does not see {self.path}, another rank does: choose an output_dir that all "
                "machines share."
            )
        if all(there):
            state = torch.load(self.path, map_location=self.stage.device, weights_only=True)
            Checkpoint.load_objects(self._parts(), state)
        encoded = len(self.features) - len(self.features.missing)
        if encoded and is_first():
            print(
                f"continuing the {self.stage.which} decoder: {encoded} of {len(self.features)} warps and "
                f"{self.state.iteration} of {self._steps} steps are done already"
            )
        self.features.compute()
        # An engine that is told to run when it has finished would start again from the first epoch.
        if self.state.epoch < self.state.max_epochs:
            label, steps, done = f"{self.stage.which} decoder", self._steps, self.state.iteration
            self._due = time.monotonic() + SAVE_EVERY
            with progress(total=steps, initial=done, desc=label, unit="step", disable=not is_first()) as self._bar:
                super().run()
        self.stage.eval()

    @property
    def _steps(self) -> int:
        return self.state.max_epochs * self.state.epoch_length

    def _parts(self) -> dict[str, Any]:
        return {"network": self.stage.network, "optimizer": self.optimizer, "trainer": self}

    def _note(self) -> None:
        """Show the step and, when it is time, save the state."""
        output: Any = self.state.output
        self._bar.set_postfix(loss=f"{output['loss'].item():.4f}", refresh=False)
        self._bar.update()
        began = time.monotonic()
        if is_first() and (self.state.iteration == self._steps or began >= self._due):
            with atomic_file(self.path, binary=True) as file:
                torch.save({name: part.state_dict() for name, part in self._parts().items()}, file)
            ended = time.monotonic()
            self._due = ended + SAVE_EVERY * max(1.0, 2 * (ended - began))


class _Batches:
    """The warps of an epoch in an order of its own, from the batch on that comes next."""

    def __init__(self, trainer: StageTrainer, size: int, seed: int) -> None:
        self.trainer = trainer
        self.size = size
        self.seed = seed

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        features, state = self.trainer.features, self.trainer.state
        generator = torch.Generator().manual_seed(self.seed + state.epoch)
        order = torch.randperm(len(features), generator=generator).split(self.size)
        for positions in order[state.iteration % state.epoch_length : state.epoch_length]:
            items = [features[position] for position in positions.tolist()]
            yield {key: torch.cat([item[key] for item in items]) for key in items[0]}


def _over_ranks(stage: Stage) -> nn.Module:
    """The stage itself in a run of one process; else inside PyTorch's ``DistributedDataParallel``.

    On CUDA batch normalisation then takes its statistics over all ranks; PyTorch has no such layer for the CPU, where
    each rank takes its own and rank 0's are kept.
    """
    if idist.get_world_size() == 1:
        return stage
    stage.requires_grad_(False)  # whatever else has gradients would be waited for in vain
    stage.decoder.requires_grad_(True)
    return idist.auto_model(stage, sync_bn=stage.device.type == "cuda")
