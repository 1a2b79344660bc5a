"""The fields of a BoAmps report 1.1.0, and what a report lacks of them.

A test compares this table with the JSON schemas of https://github.com/Boavizta/BoAmps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

FORMAT_VERSION = "1.1.0"
FORMAT_URI = "https://github.com/Boavizta/BoAmps/tree/main/model"

_TEXT, _NUMBER, _INTEGER, _SHARE = "text", "number", "integer", "share"
_LONGEST_CHOICES = 12
_SHOWN = 40


class Choice(NamedTuple):
    """A text of which only some are allowed."""

    allowed: tuple[str, ...]


class Block(NamedTuple):
    """An object.

    Attributes:
        fields: What is in it by name. Others may be, too.
        required: Names of those that must be.
    """

    fields: Mapping[str, Any]
    required: tuple[str, ...] = ()


class Blocks(NamedTuple):
    """A list of at least one object."""

    of: Block


_Kind = Literal["text", "number", "integer", "share"] | Choice | Block | Blocks

DATA_TYPES = (
    "tabular", "audio", "boolean", "image", "video", "object", "text", "token", "word", "other",
)  # fmt: skip
INFRASTRUCTURES = ("publicCloud", "privateCloud", "onPremise", "other")
CONFIDENTIALITY = ("public", "internal", "confidential", "secret")
_FILE_FORMATS = (
    "3gp", "3gpp", "3gpp2", "8svx", "aa", "aac", "aax", "act", "afdesign", "afphoto", "ai",
    "aiff", "alac", "amr", "amv", "ape", "arrow", "asf", "au", "avi", "avif", "awb", "bmp", "bpg",
    "cd5", "cda", "cdr", "cgm", "clip", "cpt", "csv", "deep", "dirac", "divx", "drawingml", "drw",
    "dss", "dvf", "ecw", "eps", "fits", "flac", "flif", "flv", "flvf4v", "gem", "gerber", "gif",
    "gle", "gsm", "heif", "hp-gl", "html", "hvif", "ico", "iklax", "ilbm", "img", "ivs", "jpeg",
    "json", "kra", "lottie", "m4a", "m4b", "m4p", "m4v", "mathml", "matroska", "mdp", "mmf",
    "movpkg", "mp3", "mpc", "mpeg1", "mpeg2", "mpeg4", "msv", "mxf", "naplps", "netpbm", "nmf",
    "nrrd", "nsv", "odg", "ods", "ogg", "opus", "pam", "parquet", "pbm", "pcx", "pdf", "pdn",
    "pgf", "pgm", "pgml", "pict", "plbm", "png", "pnm", "postscript", "ppm", "psd", "psp",
    "pstricks", "qcc", "quicktime", "ra", "raw", "realmedia", "regis", "rf64", "roq", "sai",
    "sgi", "sid", "sql", "sln", "svg", "svi", "swf", "text", "tga", "tiff", "tinyvg", "tta",
    "vicar", "vivoactive", "vml", "vob", "voc", "vox", "wav", "webm", "webp", "wma", "wmf", "wmv",
    "wv", "xaml", "xar", "xcf", "xisf", "xls", "xlsx", "xml", "xps", "yaml", "other",
)  # fmt: skip
_PUBLISHER = Block(
    {
        **dict.fromkeys(("name", "division", "projectName", "publicKey"), _TEXT),
        "confidentialityLevel": Choice(CONFIDENTIALITY),
    },
    ("confidentialityLevel",),
)
_HEADER = Block(
    {
        **dict.fromkeys(
            (
                "licensing",
                "formatVersion",
                "formatVersionSpecificationUri",
                "reportId",
                "reportDatetime",
            ),
            _TEXT,
        ),
        "reportStatus": Choice(("draft", "final", "corrective", "other")),
        "publisher": _PUBLISHER,
    },
    ("reportDatetime",),
)
_ALGORITHM = Block(
    {
        **dict.fromkeys(
            (
                "trainingType", "algorithmType", "algorithmName", "algorithmUri",
                "foundationModelName", "foundationModelUri", "framework", "frameworkVersion",
                "classPath", "optimizer", "quantization",
            ),
            _TEXT,
        ),
        **dict.fromkeys(("parametersNumber", "layersNumber", "epochsNumber"), _NUMBER),
    }
)  # fmt: skip
_DATASET = Block(
    {
        "dataUsage": Choice(("input", "output")),
        "dataType": Choice(DATA_TYPES),
        "dataFormat": Choice(_FILE_FORMATS),
        "dataSize": _NUMBER,
        "dataQuantity": _NUMBER,
        "shape": _TEXT,
        "source": Choice(("public", "private", "other")),
        "sourceUri": _TEXT,
        "owner": _TEXT,
    },
    ("dataUsage", "dataType"),
)
_TASK = Block(
    {
        "taskStage": _TEXT,
        "taskFamily": _TEXT,
        "nbRequest": _NUMBER,
        "algorithms": Blocks(_ALGORITHM),
        "dataset": Blocks(_DATASET),
        "measuredAccuracy": _SHARE,
        "estimatedAccuracy": Choice(("veryPoor", "poor", "average", "good", "veryGood")),
        "taskDescription": _TEXT,
    },
    ("taskStage", "taskFamily", "algorithms", "dataset"),
)
_MEASURE = Block(
    {
        **dict.fromkeys(
            (
                "measurementMethod", "manufacturer", "version", "cpuTrackingMode",
                "gpuTrackingMode", "measurementDateTime",
            ),
            _TEXT,
        ),
        **dict.fromkeys(("averageUtilizationCpu", "averageUtilizationGpu"), _SHARE),
        **dict.fromkeys(
            (
                "powerCalibrationMeasurement", "durationCalibrationMeasurement",
                "powerConsumption", "measurementDuration",
            ),
            _NUMBER,
        ),
    },
    ("measurementMethod", "powerConsumption"),
)  # fmt: skip
_COMPONENT = Block(
    {
        **dict.fromkeys(
            ("componentName", "componentType", "manufacturer", "family", "series"), _TEXT
        ),
        **dict.fromkeys(("nbComponent", "memorySize"), _INTEGER),
        "share": _SHARE,
    },
    ("componentType", "nbComponent"),
)
_INFRASTRUCTURE = Block(
    {
        "infraType": Choice(INFRASTRUCTURES),
        **dict.fromkeys(("cloudProvider", "cloudInstance", "cloudService"), _TEXT),
        "components": Blocks(_COMPONENT),
    },
    ("infraType", "components"),
)
_ENVIRONMENT = Block(
    {
        **dict.fromkeys(("country", "location"), _TEXT),
        **dict.fromkeys(("latitude", "longitude", "powerSourceCarbonIntensity"), _NUMBER),
        "powerSupplierType": Choice(("public", "private", "internal", "other")),
        "powerSource": Choice(
            ("solar", "wind", "nuclear", "hydroelectric", "gas", "coal", "other")
        ),
    },
    ("country",),
)
_HASH = Block(
    {
        "hashAlgorithm": Choice(
            (
                "MD5", "RIPEMD-128", "RIPEMD-160", "RIPEMD-256", "RIPEMD-320", "SHA-1", "SHA-224",
                "SHA-256", "SHA-384", "SHA-512",
            )
        ),
        "cryptographicAlgorithm": Choice(("RSA", "DSA", "ECDSA", "EDDSA")),
        "value": _TEXT,
    },
    ("hashAlgorithm", "cryptographicAlgorithm", "value"),
)  # fmt: skip
REPORT = Block(
    {
        "header": _HEADER,
        "task": _TASK,
        "measures": Blocks(_MEASURE),
        "system": Block(
            dict.fromkeys(("os", "distribution", "distributionVersion"), _TEXT), ("os",)
        ),
        "software": Block(dict.fromkeys(("language", "version"), _TEXT), ("language",)),
        "infrastructure": _INFRASTRUCTURE,
        "environment": _ENVIRONMENT,
        "quality": Choice(("high", "medium", "low")),
        "$hash": _HASH,
    },
    ("task", "measures", "infrastructure"),
)


def problems(report: Any) -> tuple[str, ...]:
    """Return what a report lacks, or has in another form than the format, one line each.

    Args:
        report: The report as JSON-ready data.
    """
    return tuple(_problems(report, REPORT, ""))


def _problems(value: Any, kind: _Kind, path: str) -> Iterator[str]:
    if isinstance(kind, Block):
        yield from _of_block(value, kind, path)
    elif isinstance(kind, Blocks):
        if not isinstance(value, list) or not value:
            yield f"{path} must be a list of at least one object"
            return
        for i, one in enumerate(value):
            yield from _of_block(one, kind.of, f"{path}[{i}]")
    elif not _is_allowed(value, kind):
        yield f"{path} must be {_expected(kind)}, not {str(value)[:_SHOWN]!r}"


def _of_block(value: Any, block: Block, path: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{path} must be an object"
        return
    prefix = f"{path}." if path else ""
    for name, kind in block.fields.items():
        if name in value:
            yield from _problems(value[name], kind, f"{prefix}{name}")
        elif name in block.required:
            yield from _absent(kind, f"{prefix}{name}")


def _absent(kind: _Kind, path: str) -> Iterator[str]:
    """Yield the fields that a value must have that is absent as a whole."""
    inner = kind.of if isinstance(kind, Blocks) else kind
    if isinstance(inner, Block) and inner.required:
        place = f"{path}[0]" if isinstance(kind, Blocks) else path
        yield from _of_block({}, inner, place)
    else:
        yield f"{path} ({_expected(kind)})"


def _is_allowed(value: Any, kind: _Kind) -> bool:
    if isinstance(kind, Choice):
        return isinstance(value, str) and value in kind.allowed
    if kind == _TEXT:
        return isinstance(value, str)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return False
    if kind == _INTEGER:
        return isinstance(value, int)
    return kind == _NUMBER or 0 <= value <= 1


def _expected(kind: _Kind) -> str:
    if isinstance(kind, Choice):
        shown = kind.allowed[:_LONGEST_CHOICES]
        return f"one of {', '.join(shown)}{' …' if len(kind.allowed) > len(shown) else ''}"
    names = {_TEXT: "a text", _NUMBER: "a number", _INTEGER: "a whole number"}
    if isinstance(kind, str):
        return names.get(kind, "a number from 0 to 1")
    return "at least one object" if isinstance(kind, Blocks) else "an object"
