"""Image formation: attenuation along rays, scatter, blur, noise and the processing of a digital radiograph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from . import soft_tissue
from .anatomy import Hand
from .solids import Rays, path_through

# Linear attenuation coefficients in 1/mm: mass attenuation coefficients of ICRU-44 materials from the NIST tables
# (Hubbell and Seltzer, NISTIR 5632, the XCOM cross-sections) times density: soft tissue 1.06, adipose tissue 0.95,
# cortical bone 1.92 g/cm3. At 60 keV: 0.0217, 0.0188 and 0.0604 per mm.
ENERGIES_KEV = np.array([40.0, 50.0, 60.0, 80.0])
ATTENUATION = {
    "soft": np.array([0.2688, 0.2264, 0.2048, 0.1823]) * 1.06 / 10.0,
    "fat": np.array([0.2396, 0.2123, 0.1974, 0.1800]) * 0.95 / 10.0,
    "bone": np.array([0.6655, 0.4242, 0.3148, 0.2229]) * 1.92 / 10.0,
}
MAX_STORED = 4095
_TEXTURE_STEP = 0.22  # mm between samples of the trabecular texture
_TEXTURE_SIZE = 512


def coefficients(energy_kev: float) -> dict[str, float]:
    """Linear attenuation coefficients in 1/mm at an effective energy of 40 to 80 keV (log-log interpolation)."""
    place = np.log(energy_kev)
    return {
        name: float(np.exp(np.interp(place, np.log(ENERGIES_KEV), np.log(table))))
        for name, table in ATTENUATION.items()
    }


def beer_lambert(paths: Mapping[str, np.ndarray], mu: Mapping[str, float]) -> np.ndarray:
    """Fraction of the primary beam that reaches the detector: exp(-sum of mu times path).

    Args:
        paths: path length in mm for each material, arrays of one shape.
        mu: linear attenuation coefficient in 1/mm for each material.

    Returns:
        Transmission in 0..1, of the paths' shape.
    """
    return np.exp(-sum(np.float32(mu[name]) * path for name, path in paths.items()))


@dataclass
class Exposure:
    """How one image was taken.

    Attributes:
        energy_kev: effective energy of the beam.
        quanta_per_mm2: detected quanta on a square mm of unattenuated beam.
        scatter: scattered over primary signal behind the hand.
        blur_mm: standard deviation of the detector's point spread.
        electronic: electronic noise as a fraction of the unattenuated signal of one pixel.
        heel: relative change of the beam's strength from one image edge to the other (x, y).
        field: collimated field as (left, top, right, bottom) in pixels; the image's size where nothing is cut.
        marker: position (x, y) in pixels and turn in degrees of a lead letter L, or None.
        shutter: whether the area outside the field is blanked to black, as displays do.
        window: brightness of air and slope of the display curve.
        inverted: stored as MONOCHROME1.
    """

    energy_kev: float
    quanta_per_mm2: float
    scatter: float
    blur_mm: float
    electronic: float
    heel: tuple[float, float]
    field: tuple[float, float, float, float]
    marker: tuple[float, float, float] | None
    shutter: bool
    window: tuple[float, float]
    inverted: bool


def _ridges(seed: int, stretch: float) -> np.ndarray:
    """Periodic texture (512, 512) of fine struts, mean 0 and standard deviation 1; rows are stretched lengthwise."""
    rng = np.random.default_rng(seed)
    noise = np.fft.rfft2(rng.standard_normal((_TEXTURE_SIZE, _TEXTURE_SIZE)))
    fy = np.fft.fftfreq(_TEXTURE_SIZE, _TEXTURE_STEP)[:, None] * stretch
    fx = np.fft.rfftfreq(_TEXTURE_SIZE, _TEXTURE_STEP)[None, :]
    f = np.hypot(fx, fy)
    fine = np.fft.irfft2(noise * np.exp(-(((f - 0.75) / 0.45) ** 2)))
    broad = np.fft.irfft2(noise * np.exp(-((f / 0.22) ** 2)))
    fine = np.exp(-np.abs(fine) / (0.5 * fine.std()))  # the zero lines of noise make a mesh of bright struts
    texture = (fine - fine.mean()) / fine.std() + 0.6 * broad / broad.std()
    return (texture / texture.std()).astype(np.float32)


_textures: dict[tuple[int, bool], np.ndarray] = {}


def _texture(seed: int, elongated: bool, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Trabecular texture at positions in mm of a bone's own frame, (rays,)."""
    key = (seed, elongated)
    if key not in _textures:
        _textures[key] = _ridges(seed, 2.6 if elongated else 1.15)
    place = np.stack([u, v]) * np.float32(1.0 / _TEXTURE_STEP)
    return map_coordinates(_textures[key], place, order=1, mode="grid-wrap")


def hand_paths(hand: Hand, rays: Rays, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Path lengths through the materials of a hand.

    Args:
        hand: posed hand.
        rays: rays of the detector.
        rng: generator for what is individual in the texture of the bones.

    Returns:
        Arrays (rows, columns) of mm of soft tissue, fat and fully mineralised bone along each ray. Bones that
        overlap add up; the marrow space counts as bone by its volume fraction and as fat for the rest.
    """
    total, lean = soft_tissue.thickness(hand, rays, rng)
    bone = np.zeros(rays.shape, dtype=np.float32)
    displaced = np.zeros(rays.shape, dtype=np.float32)
    marrow_fat = np.zeros(rays.shape, dtype=np.float32)
    for index, one in enumerate(hand.bones):
        place = rng.uniform(0.0, _TEXTURE_SIZE * _TEXTURE_STEP, 4).astype(np.float32)
        found = path_through(one, rays)
        if found is None:
            continue
        window, mask, path = found
        # Fixed to the bone and scaled with it, most of the texture is common to all subjects, the rest their own.
        texture = 0.0
        for side in ("front", "back"):
            u, v = path[f"{side}_u"] / np.float32(hand.scale), path[f"{side}_v"] / np.float32(hand.scale)
            shift = 37.0 * index + (19.0 if side == "back" else 0.0)
            own = 0 if side == "front" else 2
            texture += 0.55 * _texture(1, one.shape.elongated_texture, u + shift, v + 2.0 * shift)
            texture += 0.4 * _texture(2, one.shape.elongated_texture, u + place[own], v + place[own + 1])
        fraction = one.shape.spongiosa_at(
            0.5 * (path["front_u"] + path["back_u"]), 0.5 * (path["front_v"] + path["back_v"])
        )
        fraction = np.clip(fraction * (1.0 + 0.2 * texture), 0.0, 0.9)
        # Fine grooves along the inner face of the cortex: the striation of a tubular bone's shaft.
        cortex = (path["total"] - path["marrow"]) * (1.0 + 0.03 * texture)
        bone[window][mask] += cortex + fraction * path["marrow"]
        marrow_fat[window][mask] += 0.5 * (1.0 - fraction) * path["marrow"]
        displaced[window][mask] += path["total"] - 0.5 * (1.0 - fraction) * path["marrow"]
    # Cortex and struts displace soft tissue; the marrow between struts is half fatty, half like soft tissue.
    soft = np.maximum(lean - displaced - marrow_fat, 0.0)
    return {"soft": soft, "fat": total - lean + marrow_fat, "bone": bone}


def _marker_cover(shape: tuple[int, int], spacing: float, marker: tuple[float, float, float]) -> np.ndarray:
    """Cover 0..1 (rows, columns) of a lead letter L of 11 mm height at (x, y) pixels, turned by degrees."""
    x0, y0, turn = marker
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    x = (np.arange(shape[1], dtype=np.float32)[None, :] - x0) * spacing
    y = (np.arange(shape[0], dtype=np.float32)[:, None] - y0) * spacing
    a, b = c * x + s * y, c * y - s * x
    stem = np.maximum(np.abs(a + 2.6) - 0.9, np.abs(b) - 5.5)
    foot = np.maximum(np.abs(a - 0.3) - 3.8, np.abs(b - 4.6) - 0.9)
    return np.clip(0.5 - np.minimum(stem, foot) / spacing, 0.0, 1.0)


def _spread(image: np.ndarray, sigma: float) -> np.ndarray:
    """Wide Gaussian blur (sigma in pixels) on a reduced image, as only slow changes are left anyway."""
    step = max(1, int(sigma / 4))
    rows, columns = image.shape
    small = gaussian_filter(image[step // 2 :: step, step // 2 :: step], sigma / step, mode="nearest")
    grid_y = np.clip((np.arange(rows) - step // 2) / step, 0, small.shape[0] - 1)
    grid_x = np.clip((np.arange(columns) - step // 2) / step, 0, small.shape[1] - 1)
    y0, x0 = np.minimum(grid_y.astype(int), small.shape[0] - 2), np.minimum(grid_x.astype(int), small.shape[1] - 2)
    wy, wx = (grid_y - y0).astype(np.float32)[:, None], (grid_x - x0).astype(np.float32)[None, :]
    lines = small[y0] * (1 - wy) + small[y0 + 1] * wy
    return lines[:, x0] * (1 - wx) + lines[:, x0 + 1] * wx


def detect(
    paths: Mapping[str, np.ndarray], spacing: float, fold: int, exposure: Exposure, rng: np.random.Generator
) -> np.ndarray:
    """Signal of the detector, 1 for the unattenuated beam.

    Args:
        paths: path lengths in mm for each material, arrays (fold * rows, fold * columns).
        spacing: pixel size in mm.
        fold: rays per pixel along each axis; a pixel collects the mean of their intensities.
        exposure: how the image is taken.
        rng: generator of the noise.

    Returns:
        (rows, columns) signal with beam profile, collimation, scatter, blur and noise.
    """
    primary = beer_lambert(paths, coefficients(exposure.energy_kev))
    if fold > 1:
        primary = primary.reshape(primary.shape[0] // fold, fold, -1, fold).mean(axis=(1, 3))
    rows, columns = primary.shape
    x, y = np.arange(columns, dtype=np.float32)[None, :], np.arange(rows, dtype=np.float32)[:, None]
    beam = 1.0 + exposure.heel[0] * (x / columns - 0.5) + exposure.heel[1] * (y / rows - 0.5)
    left, top, right, bottom = exposure.field
    penumbra = max(0.8 / spacing, 1.0)
    for position, start, sign in ((x, left, 1), (x, right, -1), (y, top, 1), (y, bottom, -1)):
        edge = np.clip(0.5 + sign * (position - start) / penumbra, 0.0, 1.0)
        beam = beam * (0.012 + 0.988 * edge)
    signal = primary * beam
    if exposure.marker is not None:
        signal *= 1.0 - 0.93 * _marker_cover(signal.shape, spacing, exposure.marker)
    # Scatter comes from where radiation is removed from the beam and spreads over centimetres.
    signal += exposure.scatter * _spread((1.0 - primary) * beam, 18.0 / spacing)
    signal = gaussian_filter(signal, exposure.blur_mm / spacing, mode="nearest", truncate=3.0)
    quanta = exposure.quanta_per_mm2 * spacing**2
    deviation = np.sqrt(np.maximum(signal, 0) / quanta + exposure.electronic**2)
    # The scintillator spreads each quantum's light, so the noise of neighbouring pixels is slightly correlated.
    noise = rng.standard_normal(signal.shape, dtype=np.float32)
    noise = gaussian_filter(noise, 0.45, truncate=3.0) * 1.3
    return np.maximum(signal + noise * deviation, 1e-3)


def present(signal: np.ndarray, spacing: float, exposure: Exposure) -> np.ndarray:
    """Processed image: logarithm, mild edge enhancement and a display curve.

    Args:
        signal: (rows, columns) detector signal.
        spacing: pixel size in mm.
        exposure: how the image is taken and shown.

    Returns:
        (rows, columns) uint16 in 0..4095; bone is bright unless the exposure is inverted.
    """
    density = -np.log(signal)
    smooth = gaussian_filter(density, 0.9 / spacing, mode="nearest", truncate=3.0)
    # Limited, or the edges of the field and of lead would get bright rims.
    density = density + np.clip(0.2 * (density - smooth), -0.06, 0.06)
    left, top = (max(0, round(n)) for n in exposure.field[:2])
    right, bottom = (min(size - 1, round(n)) for n, size in zip(exposure.field[2:], signal.shape[::-1], strict=True))
    inner = density[top : bottom + 1 : 7, left : right + 1 : 7]
    low, high = np.percentile(inner, [4.0, 99.3])
    air, slope = exposure.window
    level = (density - low) / max(high - low, 1e-3)
    # A film-like shoulder keeps the densest bone from clipping.
    shown = air + (0.97 - air) * (1.0 - np.exp(-slope * np.maximum(level, -0.3))) / (1.0 - np.exp(-slope))
    shown = np.where(shown > 0.93, 0.93 + 0.07 * np.tanh((shown - 0.93) / 0.07), shown)
    if exposure.shutter:
        rim = max(1, round(1.0 / spacing))  # the blanking reaches over the penumbra
        for low_edge, high_edge, axis in ((left, right, 1), (top, bottom, 0)):
            view = np.moveaxis(shown, axis, 0)
            if low_edge > 0:
                view[: low_edge + rim] = 0.0
            if high_edge < view.shape[0] - 1:
                view[high_edge + 1 - rim :] = 0.0
    stored = np.clip(np.rint(shown * MAX_STORED), 0, MAX_STORED).astype(np.uint16)
    return MAX_STORED - stored if exposure.inverted else stored
