"""Let the images to be searched teach a single template what its landmarks look like elsewhere; no landmarks needed."""

import sys
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from bundle.data.cases import collect_cases
from bundle.errors import ConfigError, ImageError
from bundle.io.overwriting import file_digest
from bundle.io.radiographs import read_radiograph
from bundle.matching.lattice import Lattice
from bundle.matching.local_kernels import kernels_at
from bundle.matching.posterior_matcher import KnownLandmarks
from bundle.model.posterior_inferer import PosteriorInferer, crop_unit
from bundle.networks import OneShotNetwork
from bundle.records.console import progress
from bundle.training.run_folder import kept

#: The template counts as much as so many images on which a landmark was found without doubt; a spread of so many pixels
#: of a crop halves an image's weight.
TEMPLATE_WEIGHT, DOUBTFUL = 3.0, 15.0


def adapted_landmarks(
    known: KnownLandmarks, inferer: PosteriorInferer, network: OneShotNetwork, dataset_dir: str | Path, folder: Path
) -> KnownLandmarks:
    r"""Average the template's kernels with those around the places found on unlabelled images.

    .. math:: \frac{3 K + \sum_j w_j K_j}{3 + \sum_j w_j}, \quad w_j = \frac{1}{1 + (\rho_j / 15)^2}

    with the spread :math:`\rho_j` of the landmark on image j. All images are searched with the template's own kernels,
    so their order means nothing; each leaves a file, and a killed run goes on.

    Args:
        known: the landmarks, learned from the template.
        inferer: the matching.
        network: what describes images.
        dataset_dir: folder of the images, or a data list; copies of the template, and of each other, count once.
        folder: folder of the training.

    Returns:
        the landmarks with other kernels; the filters are those that were given.

    Raises:
        ConfigError: when no image can be read.
    """
    own = {template.digest for template in inferer.template.all}
    images = {file_digest(item["image"]): Path(item["image"]) for item in collect_cases(dataset_dir).items}
    kernels = [*known.kernels, *([] if known.crop_kernels is None else [known.crop_kernels])]
    weight = torch.full((len(kernels[0]), 1, 1, 1), TEMPLATE_WEIGHT, dtype=torch.float64)
    sums = [weight * kernel.double().cpu() for kernel in kernels]
    found = 0
    for digest, path in progress(sorted(images.items()), desc="adapting", unit="image"):
        if digest in own:
            continue
        try:
            seen = kept(folder / f"unlabelled_{digest}.pt", partial(_look, path, known, inferer, network))
        except ImageError as error:
            tqdm.write(f"error: {error}", file=sys.stderr)
            continue
        found += 1
        share = seen["weight"][:, None, None, None].double()
        weight = weight + share
        sums = [total + share * seen[f"kernels.{number}"].double() for number, total in enumerate(sums)]
    if not found:
        raise ConfigError(f"{dataset_dir} holds no image to adapt to: give --dataset_dir a folder of other images.")
    means = [(total / weight).to(kernels[0]) for total in sums]
    scales = means[: len(known.kernels)]
    return known._replace(kernels=scales, crop_kernels=None if known.crop_kernels is None else means[-1])


def _look(path: Path, known: KnownLandmarks, inferer: PosteriorInferer, network: OneShotNetwork) -> dict[str, Tensor]:
    """Weight and kernels of each landmark as found on one image."""
    device = next(network.parameters()).device
    image = torch.from_numpy(read_radiograph(path, grey_values=network.settings.grey_values).pixels)[None, None].to(
        device
    )
    query = inferer.view(image, network)
    coarse = inferer.matcher.coarse(known, query)
    lattice = inferer.look_closer(image, coarse.found.points, query, network, known.crop_matrix)
    found = inferer.matcher.learned(coarse, query, lattice, known)
    kernels = query.describe(found.points)
    if known.crop_kernels is not None:
        kernels = [*kernels, _crop_kernels(lattice, found.points, inferer.settings.patch)]
    spread = found.spread / crop_unit(query.size, network)
    result = {"weight": 1.0 / (1.0 + (spread / DOUBTFUL).square())}
    return result | {f"kernels.{number}": one for number, one in enumerate(kernels)}


def _crop_kernels(lattice: Lattice, points: Tensor, patch: int) -> Tensor:
    """The crops' descriptors around points: (N, C, patch, patch)."""
    window = lattice.windows[-1]
    side = window.cells.shape[-1] - patch + 1
    places = (points - lattice.origins) / lattice.step
    cells = (places + 0.5) * (side / lattice.side) - 0.5 + patch // 2
    return kernels_at(window.cells, cells, patch)
