"""Write a DICOM file anew in transfer syntaxes that GDCM encodes: a program of its own, for GDCM can end its process.

Usage: python gdcm_encoder.py SOURCE TARGET=SYNTAX ...
"""

import sys

import gdcm


def encode(source: str, target: str, syntax: str) -> None:
    reader = gdcm.ImageReader()
    reader.SetFileName(source)
    assert reader.Read(), source
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change(), syntax
    writer = gdcm.ImageWriter()
    writer.SetFileName(target)
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write(), target


if __name__ == "__main__":
    for argument in sys.argv[2:]:
        encode(sys.argv[1], *argument.rsplit("=", 1))
