import re
from pathlib import Path

import numpy as np
import pydicom
import pytest
from image_files import (
    dicom_dataset,
    expected,
    functional_groups,
    lut_item,
    picture,
    save_dicom,
    write_dicom,
)
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from bundle.errors import ImageError
from bundle.io.dicom import hidden_pixels, read_dicom
from bundle.io.radiographs import read_radiograph
from bundle.records.radiograph import identity_pixel_to_lps


@pytest.fixture
def stored():
    return picture()


MAGNIFIED = "ImagerPixelSpacing / EstimatedRadiographicMagnificationFactor"
STATED = {"PixelSpacing": [0.2, 0.1]}
DETECTOR = {"ImagerPixelSpacing": [0.4, 0.3]}
SCANNED = {"NominalScannedPixelSpacing": [0.6, 0.5]}


FILLER = {"PixelSpacing": [1, 1]}
PLANE = {"ImagePlanePixelSpacing": [0.6, 0.3]}
AT_ISOCENTRE = "ImagePlanePixelSpacing x RadiationMachineSAD / RTImageSID"
MEASURES = functional_groups(PixelMeasuresSequence=STATED)
PROPERTIES = functional_groups(per_frame=True, FramePixelDataPropertiesSequence=DETECTOR)


def calibrated(kind):
    return {"PixelSpacingCalibrationType": kind}


def magnified(factor):
    return {**DETECTOR, "EstimatedRadiographicMagnificationFactor": factor}


@pytest.mark.parametrize(
    ("elements", "spacing", "source"),
    [
        # the rules of docs/formats.md, in their order
        ({**STATED, **DETECTOR, **calibrated("GEOMETRY")}, (0.1, 0.2), "PixelSpacing (GEOMETRY)"),
        ({**STATED, **DETECTOR, **calibrated("FIDUCIAL")}, (0.1, 0.2), "PixelSpacing (FIDUCIAL)"),
        (STATED, (0.1, 0.2), "PixelSpacing"),
        (magnified("2"), (0.15, 0.2), MAGNIFIED),
        (DETECTOR, (0.3, 0.4), "ImagerPixelSpacing"),
        (SCANNED, (0.5, 0.6), "NominalScannedPixelSpacing"),
        ({}, None, None),
        # each rule before the next
        ({**STATED, **magnified("2"), **SCANNED}, (0.1, 0.2), "PixelSpacing"),
        ({**magnified("2"), **SCANNED}, (0.15, 0.2), MAGNIFIED),
        ({**DETECTOR, **SCANNED}, (0.3, 0.4), "ImagerPixelSpacing"),
        # a spacing that repeats that of the detector is that of the detector, unless it says that it is calibrated
        ({**DETECTOR, "PixelSpacing": [0.4, 0.3]}, (0.3, 0.4), "ImagerPixelSpacing"),
        ({**magnified("2"), "PixelSpacing": [0.40000001, 0.3]}, (0.15, 0.2), MAGNIFIED),
        (
            {**magnified("2"), "PixelSpacing": [0.4, 0.3], **calibrated("GEOMETRY")},
            (0.3, 0.4),
            "PixelSpacing (GEOMETRY)",
        ),
        # what is not known
        ({**STATED, **calibrated("")}, (0.1, 0.2), "PixelSpacing"),
        ({**STATED, **calibrated("OTHER")}, (0.1, 0.2), "PixelSpacing"),
        ({"PixelSpacing": [0, 0], **calibrated("GEOMETRY")}, None, None),
        ({"PixelSpacing": [0, 0]}, None, None),
        ({"PixelSpacing": [0.2, 0]}, None, None),
        ({"PixelSpacing": [-0.2, 0.2]}, None, None),
        ({"PixelSpacing": None}, None, None),
        ({"PixelSpacing": "0.2"}, None, None),
        ({**DETECTOR, "PixelSpacing": [0, 0]}, (0.3, 0.4), "ImagerPixelSpacing"),
        ({**SCANNED, "ImagerPixelSpacing": [0, 0]}, (0.5, 0.6), "NominalScannedPixelSpacing"),
        ({"NominalScannedPixelSpacing": [0, 0]}, None, None),
        (magnified("1"), (0.3, 0.4), MAGNIFIED),
        *((magnified(factor), (0.3, 0.4), "ImagerPixelSpacing") for factor in ("0", "-2", "0.5", "11", None)),
        # what converters fill in where nothing is known
        (FILLER, None, None),
        ({"PixelSpacing": ["1.0", "1.000000"]}, None, None),
        ({"ImagerPixelSpacing": [1, 1]}, None, None),
        ({"ImagerPixelSpacing": [1, 1], "EstimatedRadiographicMagnificationFactor": "2"}, None, None),
        ({"NominalScannedPixelSpacing": [1, 1]}, None, None),
        ({"ImagePlanePixelSpacing": [1, 1], "RTImageSID": 1500, "RadiationMachineSAD": 1000}, None, None),
        (functional_groups(PixelMeasuresSequence=FILLER), None, None),
        ({**FILLER, **DETECTOR}, (0.3, 0.4), "ImagerPixelSpacing"),
        ({**FILLER, "ImagerPixelSpacing": [1, 1], **SCANNED}, (0.5, 0.6), "NominalScannedPixelSpacing"),
        ({**FILLER, **calibrated("FIDUCIAL")}, (1.0, 1.0), "PixelSpacing (FIDUCIAL)"),
        ({"PixelSpacing": [1, 1.5]}, (1.5, 1.0), "PixelSpacing"),
        # radiotherapy
        (PLANE, (0.3, 0.6), "ImagePlanePixelSpacing"),
        ({**PLANE, "RTImageSID": 1500}, (0.3, 0.6), "ImagePlanePixelSpacing"),
        ({**PLANE, "RTImageSID": 1500, "RadiationMachineSAD": 1000}, (0.2, 0.4), AT_ISOCENTRE),
        ({**PLANE, "RTImageSID": 1000, "RadiationMachineSAD": 1000}, (0.3, 0.6), AT_ISOCENTRE),
        ({**PLANE, "RTImageSID": 900, "RadiationMachineSAD": 1000}, (0.3, 0.6), "ImagePlanePixelSpacing"),
        ({**PLANE, "RTImageSID": 1500, "RadiationMachineSAD": 0}, (0.3, 0.6), "ImagePlanePixelSpacing"),
        # functional groups
        (MEASURES, (0.1, 0.2), "PixelSpacing (PixelMeasuresSequence)"),
        (PROPERTIES, (0.3, 0.4), "ImagerPixelSpacing (FramePixelDataPropertiesSequence)"),
        ({**MEASURES, "PixelSpacing": [0.7, 0.8]}, (0.1, 0.2), "PixelSpacing (PixelMeasuresSequence)"),
        ({**MEASURES, **calibrated("GEOMETRY")}, (0.1, 0.2), "PixelSpacing (PixelMeasuresSequence) (GEOMETRY)"),
        (
            {**PROPERTIES, "EstimatedRadiographicMagnificationFactor": "2"},
            (0.15, 0.2),
            "ImagerPixelSpacing (FramePixelDataPropertiesSequence) / EstimatedRadiographicMagnificationFactor",
        ),
        ({"SharedFunctionalGroupsSequence": []}, None, None),
        ({"SharedFunctionalGroupsSequence": [Dataset()], "PixelSpacing": [0.2, 0.1]}, (0.1, 0.2), "PixelSpacing"),
    ],
)
def test_spacing_rules(tmp_path, stored, elements, spacing, source):
    radiograph = read_radiograph(write_dicom(tmp_path / "a.dcm", stored, **elements))
    assert radiograph.spacing == (pytest.approx(spacing) if spacing else None)
    assert radiograph.spacing_source == source


def test_every_spacing_rule_is_in_the_documentation():
    text = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    sources = [case[2] for case in test_spacing_rules.pytestmark[0].args[1] if case[2]]
    for source in set(sources):
        assert f"| `{re.sub(r' [(][A-Za-z]*Sequence[)]', '', source)}` |" in text


@pytest.mark.parametrize(
    ("elements", "aspect"),
    [
        ({}, 1.0),
        ({"PixelAspectRatio": [2, 1]}, 2.0),
        ({"PixelAspectRatio": [3, 4]}, 0.75),
        ({"PixelAspectRatio": ["1", "1"]}, 1.0),
        ({"PixelAspectRatio": [0, 1]}, 1.0),
        ({"PixelAspectRatio": [-2, 1]}, 1.0),
        ({"PixelAspectRatio": 2}, 1.0),
        ({"PixelAspectRatio": [2, 1, 1]}, 1.0),
        ({"PixelAspectRatio": [2, 1], **FILLER}, 2.0),
        ({"PixelAspectRatio": [1, 1], **STATED}, 2.0),  # the spacing says more
        ({"PixelAspectRatio": [1, 2], **PLANE}, 2.0),
    ],
)
def test_the_proportion_of_a_pixel(tmp_path, stored, elements, aspect):
    radiograph = read_radiograph(write_dicom(tmp_path / "a.dcm", stored, **elements))
    width, height = radiograph.pixel_size
    assert height / width == pytest.approx(aspect)
    assert read_radiograph(radiograph.path, spacing=(0.5, 1.5)).pixel_size == (0.5, 1.5)


@pytest.mark.parametrize("value", [b"abc\\0.1 ", b"nan\\nan ", b"inf\\0.1 ", b"0,2\\0,1 "])
def test_malformed_spacing_is_unknown(tmp_path, stored, value):
    path = write_dicom(tmp_path / "a.dcm", stored, PixelSpacing=[1.25, 1.25])  # replaced in the file
    content = path.read_bytes()
    assert content.count(b"1.25\\1.25 ") == 1
    path.write_bytes(content.replace(b"1.25\\1.25 ", value.ljust(10)[:10]))
    radiograph = read_radiograph(path)
    assert radiograph.spacing is None and radiograph.spacing_source is None


def test_monochrome1_is_inverted(tmp_path, stored):
    path = write_dicom(tmp_path / "a.dcm", stored, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_allclose(read_radiograph(path).pixels, 1 - expected(stored), atol=1e-6)
    np.testing.assert_allclose(read_radiograph(path, invert=False).pixels, expected(stored), atol=1e-6)
    np.testing.assert_allclose(read_radiograph(path, invert=True).pixels, 1 - expected(stored), atol=1e-6)


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        (picture(top=255, dtype=np.uint8), 8),
        (picture(top=4095), 12),
        (picture(top=65535), 16),
        (picture(top=3000, dtype=np.int16) - np.int16(1500), 16),
        (picture(top=3000, dtype=np.int16) - np.int16(1500), 12),
        (picture(top=200, dtype=np.int16).astype(np.int8), 8),
        (picture(top=10**6, dtype=np.uint32), 32),
    ],
    ids=["8", "12", "16", "signed 16", "signed 12", "signed 8", "32"],
)
def test_bit_depths(tmp_path, values, bits):
    np.testing.assert_allclose(
        read_radiograph(write_dicom(tmp_path / "a.dcm", values, bits)).pixels, expected(values), atol=1e-6
    )


def shown(values, photometric):
    """What is expected of stored values, which MONOCHROME1 inverts."""
    return 1 - expected(values) if photometric == "MONOCHROME1" else expected(values)


def raised(stored, lower):
    """Stored values above so many unused bits."""
    return (stored.astype(np.int64) << lower).astype(stored.dtype)


@pytest.mark.parametrize(
    ("values", "bits", "high"),
    [
        (picture(top=4095), 12, 15),
        (picture(top=4095), 12, 13),
        (picture(top=1023), 10, 15),
        (picture(top=255), 8, 15),
        (picture(top=15, dtype=np.uint8), 4, 7),
        (picture(top=4095, dtype=np.int16) - np.int16(2048), 12, 15),
        (picture(top=4095, dtype=np.int16) - np.int16(2048), 12, 14),
        (picture(top=4095, dtype=np.uint32), 12, 31),
    ],
)
def test_values_above_unused_bits(tmp_path, values, bits, high):
    lower = high + 1 - bits
    plain = raised(values, lower)
    noisy = plain | ((values & 1).astype(values.dtype) * values.dtype.type((1 << lower) - 1))  # overlay in these bits
    for number, stored in enumerate((plain, noisy)):
        path = write_dicom(tmp_path / f"{number}.dcm", stored, bits, HighBit=high)
        np.testing.assert_allclose(read_radiograph(path).pixels, expected(values), atol=1e-6)
    if plain.itemsize > 2:  # more than pydicom encodes
        return
    rle = dicom_dataset(plain, 16)
    rle.compress(RLELossless)
    rle.BitsStored, rle.HighBit = bits, high
    np.testing.assert_allclose(
        read_radiograph(save_dicom(tmp_path / "rle.dcm", rle)).pixels, expected(values), atol=1e-6
    )


@pytest.mark.parametrize("high", [0, 7, 16, 200, None])
def test_a_high_bit_that_cannot_be_is_passed_over(tmp_path, stored, high):
    path = write_dicom(tmp_path / "a.dcm", stored, HighBit=high)
    np.testing.assert_allclose(read_radiograph(path).pixels, expected(stored), atol=1e-6)


def test_float_pixel_data(tmp_path, stored):
    dataset = dicom_dataset(stored.astype(np.float32))
    dataset.BitsAllocated = 32
    del dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
    dataset.FloatPixelData = dataset.PixelData
    del dataset.PixelData
    pixels = read_radiograph(save_dicom(tmp_path / "a.dcm", dataset)).pixels
    np.testing.assert_allclose(pixels, expected(stored), atol=1e-6)


def test_malformed_modality_lut_is_refused(tmp_path, stored):
    item = Dataset()
    item.LUTDescriptor = [256, 0, 16]
    with pytest.raises(ImageError, match="malformed modality transformation"):
        read_radiograph(write_dicom(tmp_path / "a.dcm", stored, ModalityLUTSequence=[item]))


@pytest.mark.parametrize("keyword", ["ModalityLUTSequence", "VOILUTSequence"])
@pytest.mark.parametrize("vr", ["OW", "US"])
@pytest.mark.parametrize("bits", [16, 14, 12, 10, 8])
def test_tables_of_any_depth(tmp_path, stored, keyword, vr, bits):
    entries = np.round((np.arange(4096) / 4095) ** 0.5 * (2**bits - 1)).astype(np.uint16)
    path = write_dicom(tmp_path / "a.dcm", stored, **{keyword: [lut_item(entries, bits, vr=vr)]})
    np.testing.assert_allclose(read_radiograph(path, voi_lut=True).pixels, expected(entries[stored]), atol=1e-6)


def test_tables_at_their_limits(tmp_path):
    stored = picture(top=65535)
    entries = np.arange(65536)[::-1]  # as many as the descriptor can say, which says 0
    path = write_dicom(tmp_path / "a.dcm", stored, 16, ModalityLUTSequence=[lut_item(entries, 16)])
    np.testing.assert_allclose(read_radiograph(path).pixels, 1 - expected(stored), atol=1e-6)
    few = np.arange(255) ** 2 // 4  # what lies beyond the table has its last value; 8 bits, of an odd number
    path = write_dicom(tmp_path / "b.dcm", stored, 16, ModalityLUTSequence=[lut_item(few // 64, 8, first=20000)])
    wanted = (few // 64)[np.clip(stored.astype(int) - 20000, 0, 254)]
    np.testing.assert_allclose(read_radiograph(path).pixels, expected(wanted), atol=1e-6)


@pytest.mark.parametrize("keyword", ["ModalityLUTSequence", "VOILUTSequence"])
@pytest.mark.parametrize(("descriptor", "first"), [("SS", -2048), ("US", 63488)])
def test_the_first_value_of_a_table_has_the_sign_of_the_pixels(tmp_path, stored, keyword, descriptor, first):
    signed = stored.astype(np.int16) - np.int16(2048)
    entries = np.round((np.arange(4096) / 4095) ** 2 * 60000).astype(np.uint16)
    elements = {keyword: [lut_item(entries, 16, first, descriptor=descriptor)]}
    path = write_dicom(tmp_path / "a.dcm", signed, 16, **elements)
    np.testing.assert_allclose(read_radiograph(path, voi_lut=True).pixels, expected(entries[stored]), atol=1e-6)


@pytest.mark.parametrize("first", [-1000, 64536])
def test_a_voi_table_of_rescaled_values(tmp_path, stored, first):
    """Reals, of which pydicom looks none up."""
    entries = np.round((np.arange(4096) / 4095) ** 2 * 60000).astype(np.uint16)
    item = lut_item(entries, 16, first, descriptor="SS" if first < 0 else "US")
    path = write_dicom(tmp_path / "a.dcm", stored, RescaleSlope=1, RescaleIntercept=-1000, VOILUTSequence=[item])
    np.testing.assert_allclose(read_radiograph(path, voi_lut=True).pixels, expected(entries[stored]), atol=1e-6)


ANGIOGRAPHY = [f"1.2.840.10008.5.1.4.1.1.12.{end}" for end in ("1", "2", "3", "1.1", "2.1")]


@pytest.mark.parametrize("sop_class", [*ANGIOGRAPHY, "1.2.840.10008.5.1.4.1.1.1.1"])
@pytest.mark.parametrize("relationship", ["LOG", "DISP", "LIN", None])
def test_the_table_back_to_intensity_is_not_for_display(tmp_path, stored, sop_class, relationship):
    entries = np.round(np.expm1(np.arange(4096) / 1000) * 1000).astype(np.uint16)
    way_back = {"ModalityLUTSequence": [lut_item(entries, 16)], "PixelIntensityRelationship": relationship}
    path = write_dicom(tmp_path / "a.dcm", stored, sop_class=sop_class, **way_back)
    shown_as_stored = sop_class in ANGIOGRAPHY and relationship in ("LOG", "DISP")
    wanted = stored if shown_as_stored else entries[stored]
    np.testing.assert_allclose(read_radiograph(path).pixels, expected(wanted), atol=1e-6)


@pytest.mark.parametrize(
    ("elements", "dark"),
    [
        ({"PresentationIntentType": "FOR PROCESSING", "PixelIntensityRelationshipSign": 1}, True),
        ({"PresentationIntentType": "FOR PROCESSING", "PixelIntensityRelationshipSign": -1}, False),
        ({"PresentationIntentType": "FOR PROCESSING", "PixelIntensityRelationshipSign": 0}, False),
        ({"PresentationIntentType": "FOR PROCESSING"}, False),
        ({"PresentationIntentType": "FOR PRESENTATION", "PixelIntensityRelationshipSign": 1}, False),
        ({"PixelIntensityRelationshipSign": 1}, False),
    ],
)
@pytest.mark.parametrize("slope", [1, -1])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_where_bone_is_dark(tmp_path, stored, elements, dark, slope, photometric):
    """The sign speaks of stored values, and goes before what is bound to be neutral in images for processing."""
    rescaled = {"RescaleSlope": slope, "RescaleIntercept": 0, "PhotometricInterpretation": photometric}
    path = write_dicom(tmp_path / "a.dcm", stored, **rescaled, **elements)
    if elements.get("PresentationIntentType") == "FOR PROCESSING" and elements.get("PixelIntensityRelationshipSign"):
        inverted = dark
    else:
        inverted = (photometric == "MONOCHROME1") != (slope < 0)
    np.testing.assert_allclose(
        read_radiograph(path).pixels, 1 - expected(stored) if inverted else expected(stored), atol=1e-6
    )


def test_functional_groups_hold_what_the_header_may_hold(tmp_path, stored):
    shared = {
        "PixelValueTransformationSequence": {"RescaleSlope": 2, "RescaleIntercept": -1000},
        "FrameVOILUTSequence": {"WindowCenter": 3000, "WindowWidth": 2000},
        "FrameAnatomySequence": {"FrameLaterality": "L"},
        "PatientOrientationInFrameSequence": {"PatientOrientation": ["A", "F"]},
        "FrameDisplayShutterSequence": {
            "ShutterShape": "CIRCULAR",
            "CenterOfCircularShutter": [20, 28],
            "RadiusOfCircularShutter": 15,
        },
    }
    inner = {keyword: value for elements in shared.values() for keyword, value in elements.items()}
    for window in (False, True):
        flat = read_radiograph(write_dicom(tmp_path / "a.dcm", stored, **inner), voi_lut=window)
        for per_frame in (False, True):
            path = write_dicom(tmp_path / "b.dcm", stored, **functional_groups(per_frame=per_frame, **shared))
            grouped = read_radiograph(path, voi_lut=window)
            np.testing.assert_array_equal(grouped.pixels, flat.pixels)
            assert (grouped.laterality, grouped.rows_towards) == ("L", "A")


def test_an_image_that_gdcm_cannot_place(tmp_path, stored):
    """Its process ends over a breast projection without orientation; ITK, and so 3D Slicer, cannot open it either."""
    groups = functional_groups(PixelMeasuresSequence={"PixelSpacing": [0.3, 0.2]})
    path = write_dicom(
        tmp_path / "a.dcm", stored, sop_class="1.2.840.10008.5.1.4.1.1.13.1.4", NumberOfFrames=1, **groups
    )
    radiograph = read_radiograph(path)
    assert radiograph.spacing == (0.2, 0.3)
    np.testing.assert_array_equal(radiograph.pixel_to_lps, identity_pixel_to_lps())


def test_a_group_of_the_frame_goes_before_that_of_all_frames(tmp_path, stored):
    shared = functional_groups(PixelMeasuresSequence={"PixelSpacing": [0.9, 0.9]})
    own = functional_groups(per_frame=True, PixelMeasuresSequence=STATED)
    both = {**shared, "PerFrameFunctionalGroupsSequence": own["PerFrameFunctionalGroupsSequence"]}
    assert read_radiograph(write_dicom(tmp_path / "a.dcm", stored, **both)).spacing == pytest.approx((0.1, 0.2))


def test_a_group_cannot_change_what_was_checked(tmp_path, stored):
    path = write_dicom(tmp_path / "a.dcm", stored, **functional_groups(PixelMeasuresSequence={"Rows": 60000}))
    with pytest.raises(ImageError, match="56 x 60000"):
        read_radiograph(path, max_pixels=10**6)


def test_window_is_applied_on_demand(tmp_path, stored):
    window = {"WindowCenter": [2000, 100], "WindowWidth": [1000, 10]}
    path = write_dicom(tmp_path / "a.dcm", stored, RescaleSlope=1, RescaleIntercept=-500, **window)
    np.testing.assert_allclose(read_radiograph(path).pixels, expected(stored), atol=1e-6)
    clipped = np.clip((stored - 500.0 - 1999.5) / 999 + 0.5, 0, 1)
    np.testing.assert_allclose(read_radiograph(path, voi_lut=True).pixels, expected(clipped), atol=1e-6)


def test_sigmoid_window(tmp_path, stored):
    path = write_dicom(tmp_path / "a.dcm", stored, WindowCenter=2000, WindowWidth=1000, VOILUTFunction="SIGMOID")
    wanted = 1 / (1 + np.exp(-4 * (stored - 2000.0) / 1000))
    np.testing.assert_allclose(read_radiograph(path, voi_lut=True).pixels, expected(wanted), atol=1e-5)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_voi_lut_goes_before_the_window(tmp_path, photometric):
    stored = picture(top=255, dtype=np.uint8)
    table = np.round(60000 * (np.arange(256) / 255) ** 2).astype(np.uint16)
    path = write_dicom(
        tmp_path / "a.dcm",
        stored,
        8,
        VOILUTSequence=[lut_item(table, 16)],
        WindowCenter=10,
        WindowWidth=2,
        PhotometricInterpretation=photometric,
    )
    np.testing.assert_allclose(read_radiograph(path, voi_lut=True).pixels, shown(table[stored], photometric), atol=1e-6)


def test_a_file_without_voi_transformation_stays_as_it_is(tmp_path, stored):
    path = write_dicom(tmp_path / "a.dcm", stored)
    np.testing.assert_array_equal(read_radiograph(path, voi_lut=True).pixels, read_radiograph(path).pixels)


def test_malformed_voi_transformation_is_refused_only_on_demand(tmp_path, stored):
    path = write_dicom(tmp_path / "a.dcm", stored, WindowCenter=2000, WindowWidth=0)
    np.testing.assert_allclose(read_radiograph(path).pixels, expected(stored), atol=1e-6)
    with pytest.raises(ImageError, match=r"malformed VOI transformation .* set voi_lut to false\.$"):
        read_radiograph(path, voi_lut=True)


def test_incomplete_voi_table_leaves_the_window(tmp_path, stored):
    item = Dataset()
    item.LUTDescriptor = [256, 0, 16]
    window = {"WindowCenter": 2000, "WindowWidth": 1000}
    paths = [
        write_dicom(tmp_path / "a.dcm", stored, VOILUTSequence=[item], **window),
        write_dicom(tmp_path / "b.dcm", stored, **window),
    ]
    np.testing.assert_array_equal(*(read_radiograph(path, voi_lut=True).pixels for path in paths))


@pytest.mark.parametrize(
    ("elements", "laterality", "rows_towards"),
    [
        ({}, None, None),
        ({"ImageLaterality": "L", "Laterality": "R"}, "L", None),
        ({"Laterality": "R"}, "R", None),
        ({"ImageLaterality": "U"}, "U", None),
        ({"ImageLaterality": None, "Laterality": "B"}, "B", None),
        ({"Laterality": "X"}, None, None),
        ({"PatientOrientation": ["A", "F"]}, None, "A"),
        ({"PatientOrientation": ["PR", "F"]}, None, "PR"),
        ({"PatientOrientation": ""}, None, None),
        ({"PatientOrientation": "A"}, None, None),
        ({"PatientOrientation": ["", "F"]}, None, None),
        ({"PatientOrientation": ["Q", "F"]}, None, None),
    ],
)
def test_side_and_orientation(tmp_path, stored, elements, laterality, rows_towards):
    radiograph = read_radiograph(write_dicom(tmp_path / "a.dcm", stored, **elements))
    assert (radiograph.laterality, radiograph.rows_towards) == (laterality, rows_towards)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("limit", [None, 4093])
def test_padding_is_ignored_and_dark(tmp_path, stored, photometric, limit):
    padded = stored.copy()
    padded[:, :20] = 4095
    elements = {"PixelPaddingValue": 4095}
    if limit is not None:
        padded[:, :10] = 4094
        elements["PixelPaddingRangeLimit"] = limit
    path = write_dicom(tmp_path / "a.dcm", padded, PhotometricInterpretation=photometric, **elements)
    pixels = read_radiograph(path).pixels
    assert not pixels[:, :20].any()
    np.testing.assert_allclose(pixels[:, 20:], shown(stored[:, 20:], photometric), atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "bits", "padding", "written"),
    [
        (np.int16, 16, -32768, ("SS", -32768)),
        (np.int16, 16, -32768, ("US", 32768)),
        (np.int16, 16, -2000, ("US", 63536)),
        (np.int16, 12, -2000, ("US", 63536)),
        (np.int8, 8, -128, ("US", 128)),
        (np.uint16, 16, 65535, ("SS", -1)),
        (np.uint16, 16, 65535, ("US", 65535)),
        (np.uint16, 16, 60000, ("SS", -5536)),
        (np.uint8, 8, 255, ("SS", -1)),
    ],
)
@pytest.mark.parametrize("limit", [False, True])
def test_padding_is_of_the_type_of_the_pixels(tmp_path, dtype, bits, padding, written, limit):
    values = picture(top=100, dtype=dtype)
    values[:5] = padding
    dataset = dicom_dataset(values, bits)
    if limit:
        values[:2] = padding + (1 if padding < 0 else -1)
        dataset.PixelData = values.tobytes()
        vr, number = written
        dataset.add_new(0x00280120, vr, number + (1 if padding < 0 else -1))
    dataset.add_new(0x00280121 if limit else 0x00280120, *written)
    pixels = read_radiograph(save_dicom(tmp_path / "a.dcm", dataset)).pixels
    assert not pixels[:5].any()
    np.testing.assert_allclose(pixels[5:], expected(values[5:]), atol=1e-6)


def test_padding_alone_is_refused(tmp_path):
    with pytest.raises(ImageError, match="only padding"):
        read_radiograph(write_dicom(tmp_path / "a.dcm", np.full((40, 50), 7, np.uint16), PixelPaddingValue=7))


def test_grey_stored_as_colour_is_accepted(tmp_path):
    grey = picture(top=250, dtype=np.uint8)
    noisy = np.repeat(grey[..., None], 3, axis=2)
    noisy[..., 2] = np.clip(noisy[..., 2].astype(int) + 8, 0, 255)
    pixels = read_radiograph(write_dicom(tmp_path / "rgb.dcm", noisy, 8)).pixels
    np.testing.assert_allclose(pixels, expected(grey), atol=1e-6)
    ybr = np.stack([grey, np.full_like(grey, 128), np.full_like(grey, 128)], axis=2)
    path = write_dicom(tmp_path / "ybr.dcm", ybr, 8, PhotometricInterpretation="YBR_FULL")
    np.testing.assert_allclose(read_radiograph(path).pixels, expected(grey), atol=2 / 250)


def test_colour_is_refused(tmp_path):
    colour = np.stack(
        [picture(top=250, dtype=np.uint8), picture(top=20, dtype=np.uint8), np.zeros((40, 56), np.uint8)], 2
    )
    for photometric, stored in (("RGB", colour), ("YBR_FULL", colour), ("PALETTE COLOR", colour[..., 0])):
        path = write_dicom(tmp_path / "a.dcm", stored, 8, PhotometricInterpretation=photometric)
        with pytest.raises(ImageError, match=rf"a\.dcm is a colour image \({photometric}\)"):
            read_radiograph(path)


@pytest.mark.parametrize(
    ("stored", "elements", "message"),
    [
        (picture(80, 56), {"NumberOfFrames": 2, "Rows": 40}, "has 2 frames"),
        (picture(31, 40), {}, "is 40 x 31 pixels"),
        (picture(), {"Rows": 0}, "is 56 x 0 pixels"),
        (np.full((40, 50), 9, np.uint16), {}, "all its pixels have the value 9"),
        (picture(), {"Rows": 60000, "Columns": 60000}, "more than max_pixels"),
        (picture(), {"Rows": 41}, "damaged, cut short or at odds"),
        (picture(), {"SamplesPerPixel": 4}, "4 samples per pixel"),
        (picture(), {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}, "one bit per pixel"),
    ],
)
def test_refusals(tmp_path, stored, elements, message):
    path = write_dicom(tmp_path / "a.dcm", stored, **elements)
    with pytest.raises(ImageError, match=message) as caught:
        read_radiograph(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_no_pixel_data(tmp_path, stored):
    dataset = dicom_dataset(stored)
    del dataset.PixelData
    with pytest.raises(ImageError, match="no complete pixel data"):
        read_radiograph(save_dicom(tmp_path / "a.dcm", dataset))
    del dataset.Rows
    with pytest.raises(ImageError, match=r"without an image \(Computed Radiography Image Storage\)"):
        read_radiograph(save_dicom(tmp_path / "b.dcm", dataset))


def test_unknown_transfer_syntax(tmp_path, stored):
    dataset = dicom_dataset(stored)
    dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8" + b"\0" * 100])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    with pytest.raises(ImageError, match=r"MPEG-4 .* cannot decode: install those of requirements\.txt, or export"):
        read_radiograph(save_dicom(tmp_path / "a.dcm", dataset))


def test_missing_decoder_is_said(tmp_path, stored, monkeypatch):
    path = write_dicom(tmp_path / "a.dcm", stored)

    def pixel_array(dataset):
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.90"
        raise RuntimeError("Unable to decompress because all plugins are missing dependencies:\n\tgdcm - requires it")

    monkeypatch.setattr(pydicom.dataset.Dataset, "pixel_array", property(pixel_array))
    with pytest.raises(ImageError, match=r"JPEG 2000 .* cannot decode: install those of requirements\.txt, or export"):
        read_dicom(path, 10_000)


def rle(path, stored):
    dataset = dicom_dataset(stored)
    dataset.compress(RLELossless)
    return save_dicom(path, dataset)


@pytest.mark.parametrize("write", [write_dicom, rle])
def test_truncated_at_any_length(tmp_path, stored, write):
    content = write(tmp_path / "a.dcm", stored).read_bytes()
    cut = tmp_path / "cut.dcm"
    whole = read_radiograph(tmp_path / "a.dcm").pixels
    lengths = {*range(0, len(content), 97), *range(len(content) - 12, len(content)), 1, 127, 131, 132, 133}
    refused = 0
    for length in sorted(lengths):
        cut.write_bytes(content[:length])
        try:
            pixels = read_radiograph(cut).pixels
        except ImageError as error:
            refused += 1
            assert str(cut) in str(error) and "\n" not in str(error)
        else:  # only padding after the pixels is missing
            assert length >= len(content) - 12
            np.testing.assert_array_equal(pixels, whole)
    assert refused >= len(lengths) - 12


@pytest.mark.parametrize("implicit", [True, False])
def test_without_preamble_and_meta(tmp_path, stored, implicit):
    dataset = dicom_dataset(stored)
    del dataset.file_meta
    dataset.preamble = None
    dataset.is_implicit_VR = implicit
    path = tmp_path / "IM0001"
    pydicom.dcmwrite(path, dataset, write_like_original=True)
    assert path.read_bytes()[:2] == b"\x08\0"
    np.testing.assert_allclose(read_radiograph(path).pixels, expected(stored), atol=1e-6)


SHAPE = (40, 60)
RECTANGLE = {
    "ShutterLeftVerticalEdge": 11,
    "ShutterRightVerticalEdge": 50,
    "ShutterUpperHorizontalEdge": 6,
    "ShutterLowerHorizontalEdge": 35,
}
CIRCLE = {"CenterOfCircularShutter": [20, 30], "RadiusOfCircularShutter": 10}
TRIANGLE = {"VerticesOfThePolygonalShutter": [1, 1, 1, 60, 40, 1]}


def hidden(aspect=1.0, **elements):
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return hidden_pixels(dataset, SHAPE, aspect)


def test_a_rectangle_counts_from_one_with_its_edges_inside():
    mask = hidden(ShutterShape="RECTANGULAR", **RECTANGLE)
    wanted = np.ones(SHAPE, dtype=bool)
    wanted[5:35, 10:50] = False
    np.testing.assert_array_equal(mask, wanted)


@pytest.mark.parametrize(
    ("elements", "seen", "covered", "share"),
    [
        ({"ShutterShape": "CIRCULAR", **CIRCLE}, [(19, 29), (19, 39), (29, 29)], [(19, 40), (30, 29)], np.pi * 100),
        (  # on pixels that are not square
            {"ShutterShape": "CIRCULAR", **CIRCLE, "aspect": 2.0},
            [(19, 39), (24, 29)],
            [(25, 29)],
            np.pi * 50,
        ),
        (
            {"ShutterShape": "POLYGONAL", **TRIANGLE},
            [(0, 0), (0, 59), (39, 0)],
            [(39, 59), (30, 40)],
            SHAPE[0] * SHAPE[1] / 2,
        ),
    ],
    ids=["circle", "circle of oblong pixels", "polygon"],
)
def test_circles_and_polygons(elements, seen, covered, share):
    mask = hidden(**elements)
    assert not any(mask[place] for place in seen) and all(mask[place] for place in covered)
    assert (~mask).sum() == pytest.approx(share, rel=0.03)


def test_several_shapes_hide_what_any_of_them_hides():
    both = hidden(ShutterShape=["RECTANGULAR", "CIRCULAR"], **RECTANGLE, **CIRCLE)
    one, other = hidden(ShutterShape="RECTANGULAR", **RECTANGLE), hidden(ShutterShape="CIRCULAR", **CIRCLE)
    np.testing.assert_array_equal(both, one | other)


@pytest.mark.parametrize(
    "elements",
    [
        {},
        RECTANGLE,
        {"ShutterShape": None},
        {"ShutterShape": "BITMAP"},
        {"ShutterShape": "RECTANGULAR"},
        {"ShutterShape": "RECTANGULAR", **RECTANGLE, "ShutterLeftVerticalEdge": None},
        {"ShutterShape": "RECTANGULAR", **RECTANGLE, "ShutterLeftVerticalEdge": 51},
        {
            "ShutterShape": "RECTANGULAR",
            "ShutterLeftVerticalEdge": 1,
            "ShutterRightVerticalEdge": 60,
            "ShutterUpperHorizontalEdge": 1,
            "ShutterLowerHorizontalEdge": 40,
        },
        {"ShutterShape": "CIRCULAR", **CIRCLE, "RadiusOfCircularShutter": 0},
        {"ShutterShape": "CIRCULAR", "RadiusOfCircularShutter": 5},
        {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [1, 1, 1, 60]},
        {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [1, 1, 1, 60, 40]},
        {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [1, 1, 1, 2000000, 40, 1]},
    ],
)
def test_nothing_is_hidden(elements):
    assert hidden(**elements) is None


def test_the_collimator_is_not_a_shutter():
    """Devices write it in other units, such as -184 to 184 of 1841 columns."""
    elements = {keyword.replace("Shutter", "Collimator"): value for keyword, value in RECTANGLE.items()}
    assert hidden(CollimatorShape="RECTANGULAR", **elements) is None


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_what_is_hidden_is_dark_and_leaves_the_scaling_alone(tmp_path, photometric):
    stored = picture(*SHAPE)
    covered = np.full_like(stored, 60000)
    covered[5:35, 10:50] = stored[5:35, 10:50]
    path = write_dicom(
        tmp_path / "a.dcm", covered, 16, ShutterShape="RECTANGULAR", PhotometricInterpretation=photometric, **RECTANGLE
    )
    pixels = read_radiograph(path).pixels
    np.testing.assert_allclose(pixels[5:35, 10:50], shown(stored[5:35, 10:50], photometric), atol=1e-6)
    assert pixels.sum() == pytest.approx(pixels[5:35, 10:50].sum())
