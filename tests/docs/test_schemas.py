import json

import pytest

from bundle.records.validation import json_schema
from tools.write_schemas import FOLDER, SCHEMAS


@pytest.mark.parametrize("name", SCHEMAS)
def test_published_schemas_are_those_of_the_models(name: str) -> None:
    published = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    assert published == json_schema(SCHEMAS[name]), "write it again: python tools/write_schemas.py"
