"""Write the JSON Schemas of the file formats from the models that check them: ``python tools/write_schemas.py``."""

import json
from pathlib import Path

from bundle.measurements.plan import MeasurementFile
from bundle.records.validation import Validated, json_schema
from bundle.writers.result_json import ResultFile

FOLDER = Path(__file__).parents[1] / "docs" / "schema"
SCHEMAS: dict[str, type[Validated]] = {
    "measurements-1.schema.json": MeasurementFile,
    "result-3.schema.json": ResultFile,
}

if __name__ == "__main__":
    for name, model in SCHEMAS.items():
        (FOLDER / name).write_text(json.dumps(json_schema(model), indent=2) + "\n", encoding="utf-8")
