"""The landmarks of one image as a DICOM Structured Report."""

import hashlib
import io
import math
import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID, generate_uid

from bundle import PRODUCT, __version__
from bundle.errors import NothingToWrite, one_line
from bundle.io.decoder_process import read_in_process
from bundle.io.formats import sniff_kind
from bundle.io.landmark_files.structured_report_file import CODING_SCHEME, DECIMALS, MISSING, PRESENCE, LandmarkCode
from bundle.records.prediction import LandmarkPrediction, MeasuredValue
from bundle.writers.files import printable

#: What identifies an image, each of which a reference to it needs.
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")

#: What says whose image it is and which examination it belongs to. PS3.3 demands the elements (type 2) in every object
#: (C.7.1.1, C.7.2.1), but lets them be empty.
IDENTIFYING = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_SEXES = ("M", "F", "O")


def read_source(path: Path, include_identifiers: bool) -> Dataset:
    """What a new object takes over from the DICOM image that it belongs to.

    Args:
        path: the image file.
        include_identifiers: whether :data:`IDENTIFYING` is taken over; else these elements are empty. The UIDs, by
            which an archive finds the image again, are taken over always: without them there is no reference.

    Returns:
        A dataset with these elements alone.

    Raises:
        NothingToWrite: when the file is no DICOM image, or lacks a UID.
    """
    try:
        if sniff_kind(path) != "DICOM":
            raise NothingToWrite(f"{path.name} is no DICOM file, so that there is no image to refer to.")
        header = read_in_process(partial(pydicom.dcmread, stop_before_pixels=True, force=True), path)
        found = {keyword: header.get(keyword) for keyword in (*_NEEDED, *IDENTIFYING)}
        character_set = header.get("SpecificCharacterSet")
    except NothingToWrite:
        raise
    except Exception as error:  # pydicom raises many types for a damaged header
        raise NothingToWrite(
            f"{path.name} has a header that cannot be read, so that no reference is possible."
        ) from error
    source = Dataset()
    for keyword in _NEEDED:
        uid = UID(str(found[keyword] or ""))
        if not uid.is_valid or len(uid) > 64:
            raise NothingToWrite(f"{path.name} has no valid {keyword}, so that no reference to the image is possible.")
        setattr(source, keyword, uid)
    for keyword in IDENTIFYING:
        setattr(source, keyword, (found[keyword] or "") if include_identifiers else "")
    if str(source.PatientSex) not in _SEXES:
        source.PatientSex = ""
    if include_identifiers and character_set:
        source.SpecificCharacterSet = character_set
        source.decode()
    return source


def steady_uid(*parts: str) -> str:
    """A UID that is the same for the same text, and another one for any other text."""
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).digest()[:16]
    return f"2.25.{uuid.UUID(bytes=digest, version=5).int}"


_SERIES_NUMBER = 9001  # far from the numbers that scanners give
_UNITS = {"mm": ("mm", "millimeter"), "deg": ("deg", "degree"), "1": ("1", "no units"), "px": ("{pixels}", "pixels")}


class StructuredReports:
    """Makes ``<image_id>.sr.dcm``: a Comprehensive SR by template TID 1500, for an image that is a DICOM file.

    Each landmark is a measurement group by TID 1410 with a point in the image: its name is the Tracking Identifier,
    its Tracking UID is the same in every report on the same image; its measurements are the confidence and, where
    the model is calibrated, the expected error. A missing landmark is a group by TID 1501, without a point, that says
    so. What was measured between landmarks is one more group by TID 1501.

    Args:
        landmark_codes: codes of the landmarks' anatomy by name, written as their Finding Site.
        include_identifiers: whether patient and examination are taken over from the image, or left empty.
        model: what the model is known by, such as its fingerprint; a parameter of the algorithm in the report.
    """

    def __init__(
        self,
        landmark_codes: Mapping[str, LandmarkCode] | None = None,
        include_identifiers: bool = False,
        model: str = "",
    ) -> None:
        self.landmark_codes = dict(landmark_codes or {})
        self.include_identifiers = include_identifiers
        self.model = model

    def __call__(self, prediction: LandmarkPrediction) -> bytes:
        """The report of one image as the content of its file.

        Raises:
            NothingToWrite: when the image is of another kind, or no DICOM file, or lacks what a reference to it needs.
        """
        if prediction.pose.other_kind:
            raise NothingToWrite(f"{prediction.path.name} probably shows another kind of image than the template.")
        source = read_source(prediction.path, self.include_identifiers)
        try:
            with io.BytesIO() as file:
                self._report(prediction, source).save_as(file, enforce_file_format=True)
                return file.getvalue()
        except (ValueError, OverflowError) as error:  # what highdicom and pydicom raise for values against the standard
            reason = one_line(str(error))[:120] or type(error).__name__
            raise NothingToWrite(
                f"{prediction.path.name} has a value in its header that no report can carry ({reason})."
            ) from error

    def _report(self, prediction: LandmarkPrediction, source: Dataset) -> Any:
        """The report as a dataset of highdicom."""
        groups = [self._landmark(prediction, i, source) for i in range(len(prediction.names))]
        values = [value for value in prediction.measurements if math.isfinite(value.value)]
        if values:
            groups.append(self._measurements(values, source))
        device = hd.sr.DeviceObserverIdentifyingAttributes(
            uid=steady_uid(PRODUCT), name=PRODUCT, manufacturer_name=PRODUCT, model_name=__version__
        )
        content = hd.sr.MeasurementReport(
            observation_context=hd.sr.ObservationContext(
                observer_device_context=hd.sr.ObserverContext(codes.DCM.Device, device)
            ),
            procedure_reported=codes.LN.XRUnspecifiedBodyRegion,
            imaging_measurements=groups,
            title=codes.DCM.ImagingMeasurementReport,
        )
        return hd.sr.ComprehensiveSR(
            evidence=[source],
            content=content,
            series_instance_uid=generate_uid(prefix=None),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=generate_uid(prefix=None),
            instance_number=1,
            manufacturer=PRODUCT,
            is_complete=True,
            specific_character_set="ISO_IR 192",
            series_description="Landmarks",
            manufacturer_model_name=PRODUCT,
            software_versions=__version__,
            coding_schemes=[hd.coding_schemes.CodingSchemeIdentificationItem(designator=CODING_SCHEME, name=PRODUCT)],
        )

    def _landmark(self, prediction: LandmarkPrediction, i: int, source: Dataset) -> Any:
        """The group of one landmark: with its point in the image, or without where it was not found."""
        name = prediction.names[i]
        code = self.landmark_codes.get(name)
        known = {
            "tracking_identifier": self._tracking(name, source),
            "finding_type": codes.SCT.AnatomicalStructure,
            "algorithm_id": self._algorithm(),
            "finding_sites": code and [hd.sr.FindingSite(hd.sr.CodedConcept(code.value, code.scheme, code.meaning))],
        }
        if not np.isfinite(prediction.points[i]).all():
            presence, missing = (
                self._own(PRESENCE, "Presence of the landmark"),
                self._own(MISSING, "Landmark not found"),
            )
            return hd.sr.MeasurementsAndQualitativeEvaluations(
                **known,
                qualitative_evaluations=[hd.sr.QualitativeEvaluation(presence, missing)],
                source_images=[hd.sr.SourceImageForMeasurementGroup(source.SOPClassUID, source.SOPInstanceUID)],
            )
        # In SCOORD the upper left corner of the first pixel is 0\\0 (PS3.3, C.18.6.1.2), so its centre is 0.5\\0.5.
        region = hd.sr.ImageRegion(
            graphic_type=hd.sr.GraphicTypeValues.POINT,
            graphic_data=np.round(prediction.points[i][None], DECIMALS) + 0.5,
            source_image=hd.sr.SourceImageForRegion(source.SOPClassUID, source.SOPInstanceUID),
        )
        error = float(prediction.expected_error[i])
        numbers = (
            ("confidence", "Confidence", float(prediction.confidence[i]), "1"),
            ("expected-error", "Expected error", error * prediction.mm_per_pixel, "mm"),
            ("expected-error", "Expected error", error, "px"),
        )
        measurements = [self._number(*number) for number in numbers if math.isfinite(number[2])]
        return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            **known, referenced_region=region, measurements=measurements
        )

    def _measurements(self, values: list[MeasuredValue], source: Dataset) -> Any:
        """The group of what was measured between the landmarks."""
        numbers, classes = [], []
        for value in values:
            concept = (value.name, _meaning(value))
            numbers.append(self._number(*concept, value.value, value.unit, self._normal_range(value)))
            if math.isfinite(value.uncertainty):
                numbers.append(
                    self._number(*concept, value.uncertainty, value.unit, derivation=codes.SCT.StandardDeviation)
                )
            if value.category is not None:
                classes.append(
                    hd.sr.QualitativeEvaluation(
                        name=self._own(f"class-{value.name}", f"Class of {value.name}"),
                        value=self._own(value.category.replace(" ", "-"), value.category),
                    )
                )
        return hd.sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=self._tracking("measurements", source, prefix="group"),
            algorithm_id=self._algorithm(),
            measurements=numbers,
            qualitative_evaluations=classes or None,
            source_images=[hd.sr.SourceImageForMeasurementGroup(source.SOPClassUID, source.SOPInstanceUID)],
        )

    def _number(
        self, code: str, meaning: str, value: float, unit: str, properties: Any = None, derivation: Any = None
    ) -> Any:
        return hd.sr.Measurement(
            name=self._own(code, meaning),
            value=float(f"{value:.8g}"),
            unit=self._unit(unit),
            properties=properties,
            derivation=derivation,
        )

    def _normal_range(self, value: MeasuredValue) -> Any:
        """The normal range by TID 312, with its open ends left out; None where there is none."""
        names = (codes.SCT.NormalRangeLowerLimit, codes.SCT.NormalRangeUpperLimit)
        ends = [
            hd.sr.NumContentItem(
                name=name,
                value=end,
                unit=self._unit(value.unit),
                relationship_type=hd.sr.RelationshipTypeValues.HAS_PROPERTIES,
            )
            for name, end in zip(names, value.normal_range or (None, None))
            if end is not None
        ]
        if not ends:
            return None
        return hd.sr.MeasurementProperties(normal_range_properties=hd.sr.NormalRangeProperties(values=ends))

    def _tracking(self, name: str, source: Dataset, prefix: str = "landmark") -> Any:
        return hd.sr.TrackingIdentifier(
            uid=steady_uid(PRODUCT, prefix, str(source.SOPInstanceUID), name), identifier=printable(name)
        )

    def _algorithm(self) -> Any:
        return hd.sr.AlgorithmIdentification(
            name=PRODUCT,
            version=__version__,
            parameters=[f"model {self.model}"] if self.model else None,
        )

    def _own(self, value: str, meaning: str) -> Any:
        """A concept that no published scheme has a code for; a text too long for a Code Value is told by its digest."""
        text = printable(value)
        code = text if len(text) <= 16 else hashlib.sha256(text.encode()).hexdigest()[:16]
        return hd.sr.CodedConcept(code, CODING_SCHEME, printable(meaning)[:64])

    def _unit(self, unit: str) -> Any:
        value, meaning = _UNITS[unit]
        return hd.sr.CodedConcept(value, "UCUM", meaning)


def _meaning(value: MeasuredValue) -> str:
    """What a measurement is called, within the 64 characters that DICOM allows: its title, or the title's beginning."""
    titles = (value.title, value.title.partition(":")[0])
    return next((title for title in titles if len(title) <= 64), value.name)
