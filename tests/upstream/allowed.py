"""The differences that are meant: all of them, and nowhere else.

A pattern is compared with the name of a difference (`*` matches anything); beside it stands why the
difference is no harm.
"""

import re
from fnmatch import fnmatchcase

from carbon_callbacks._training.metrics import PREFIX, SLASH_PREFIX
from carbon_callbacks.training import METRICS

NAMES = (*(PREFIX + metric.name for metric in METRICS), f"{PREFIX}phase_*_energy_kwh")


def is_ours(key: str) -> bool:
    """Whether a key of a log entry is one of the callback's metrics."""
    return key.startswith(SLASH_PREFIX) or any(fnmatchcase(key, f"*{name}") for name in NAMES)


def without_ours(text: str) -> tuple[str, list[str]]:
    """Return a text without the names of our metrics that it lists, and those names."""
    listed = re.findall(r"`(carbon[/_]\w+)`", text)
    # Without the commas of lists, too: the first name may be one of ours.
    return " ".join(re.sub(r"`carbon[/_]\w+`|,(?= `)", "", text).split()), listed


ALLOWED = {
    "added logs/*/entry of ours *": "totals that are logged at the end, in an entry of their own",
    "changed files/begun_without.csv/*": (
        "Keras' CSVLogger appends to a file whose head lacks our columns as to any that lacks some"
    ),
    "added files/begun_without.csv/*": "the same",
    "changed logs/*/entry of ours *": "more of our names, where a program logs some of them",
    "added files/*/entry of ours *": "the same in a logger's file",
    "added logs/*/carbon/*": "Lightning: our metrics in an entry of the framework's loggers",
    "added files/*/carbon/*": "the same in a logger's file",
    "added files/*:/carbon/*": "our curves in TensorBoard's file",
    "added metrics/callback/carbon/*": "Lightning: what EarlyStopping and ModelCheckpoint can monitor",
    "added metrics/callback/carbon_*": "the same under names without a slash, for checkpoints' names",
    "added metrics/progress_bar/carbon/*": "Lightning: the energy in the progress bar",
    "added metrics/logged/carbon/*": "Lightning: what its loggers get",
    "added metrics of ours listed in the exception/*": "Lightning lists what can be monitored",
    "added process/warnings/UserWarning: Be aware that when using `ckpt_path`*EmissionsCallback*": (
        "Lightning warns of each callback with a state that a resumed training lacks"
    ),
    "added process/logged/carbon_callbacks WARNING: * rejected the energy: *": (
        "a logger that raises when it gets our entry is named, once"
    ),
    "added process/logged/carbon_callbacks WARNING: EmissionsCallback needs a Trainer; with Fabric*": (
        "refused with a line that says what to use"
    ),
    "added files/*:/callbacks/EmissionsCallback{*": "our state in a checkpoint, to add up on resuming",
}
for _name in NAMES:
    ALLOWED[f"added logs/*/*{_name}"] = (
        "Hugging Face and Keras: our metrics in an entry of the logs"
    )
    ALLOWED[f"added files/*/*{_name}"] = "the same in a file of the logs or of the Trainer's state"
ALLOWED |= {
    "added files/*/stateful_callbacks/carbon_callbacks:*": "our state in Hugging Face's checkpoint",
    "added files/*README.md:/data/co2_eq_emissions/*": "the emissions in a model card",
    "added process/logged/transformers.trainer_callback WARNING: You are adding a <class 'carbon_*": (
        "the Trainer warns of two callbacks of one class, whatever they are"
    ),
    "changed process/warnings/DeprecationWarning: __array__ implementation*": (
        "with numpy 2 the bar of Keras 3.5 warns of each figure that it shows"
    ),
    "removed process/warnings/UserWarning: Early stopping conditioned on metric*": (
        "Keras lists what can be monitored"
    ),
    "added process/warnings/UserWarning: Early stopping conditioned on metric*energy_kwh*": (
        "the same, with our metrics"
    ),
}
