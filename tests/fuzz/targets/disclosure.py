"""CSV files, receipts and facts of others, through the formats of a disclosure."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from carbon_core.disclosure.collecting import collect_runs
from carbon_core.disclosure.facts import FACTS, Facts
from carbon_core.disclosure.formats import FORMATS, disclosure_documents
from carbon_core.errors import CarbonError
from carbon_core.outputs import receipt

sys.path.append(str(Path(__file__).parents[2]))
report_of = importlib.import_module("core.outputs.conftest").report_of

DICTIONARY = (
    b"inf", b"1e308", b"-1", b"nan", b"None", b'"', b"9999 x A", b",", b"|", b"\\", b"2199-12-31",
    b"NaN", b"1e999", b"null", b'"work": {"flops": 1e40}', b'"duration_s": 3e9', b'"is_known": false',
)  # fmt: skip
_HEADER = (
    b"timestamp,project_name,run_id,duration,emissions,energy_consumed,country_name,"
    b"country_iso_code,region,codecarbon_version,cpu_count,cpu_model,gpu_count,gpu_model,"
    b"ram_total_size,tracking_mode,pue\n"
)
_ROW = (
    b"2026-01-01T10:00:00,p,a,3600.0,0.5,2.0,France,FRA,,3.3.2,8,CPU,2.0,2 x A100,64,machine,1.0\n"
)
_RECEIPT = json.dumps(receipt.receipt(report_of("odd")), default=str).encode()
_FACTS = {
    one.key: one.choices[0] if one.choices else ("a|b" if one.kind == "text" else 3.0)
    for one in FACTS
}
SEEDS = (_HEADER + _ROW + _ROW.replace(b",a,", b",b,"), _RECEIPT, json.dumps(_FACTS).encode())


def run(data: bytes, directory: Path) -> None:
    """Read the data as a CSV file, as a receipt and as facts; a document in JSON is valid JSON."""
    (directory / "emissions.csv").write_bytes(data)
    runs = directory / "carbon_runs"
    runs.mkdir()
    (runs / f"odd{receipt.SUFFIX}").write_bytes(data)
    path = directory / "facts.json"
    path.write_bytes(data)
    facts = Facts(_FACTS)
    try:
        facts = Facts.read(path)
    except CarbonError as error:
        assert str(path) in str(error), "the file is not named"
    disclosed = collect_runs([directory])
    for row in FORMATS:
        for one in (facts, Facts(_FACTS)):
            try:
                texts = disclosure_documents(row.name, disclosed, one)
            except CarbonError as error:
                assert str(error)
                continue
            for suffix, text in texts.items():
                if suffix.endswith("json"):
                    json.loads(text, parse_constant=_no_number)


def _no_number(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")
