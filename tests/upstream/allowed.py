"""The differences that are meant: all of them, and nowhere else.

A pattern is compared with the name of a difference (`*` matches anything); beside it stands why the
difference is no harm.
"""

import re

# Metrics that the callback logs, whatever prefix a framework puts before them.
NAMES = (
    "energy_kwh",
    "energy_low_kwh",
    "energy_high_kwh",
    "emissions_kg",
    "emissions_low_kg",
    "emissions_high_kg",
    "power_w",
    "carbon_intensity_g_per_kwh",
    "energy_per_improvement_kwh",
    "forecast_energy_low_kwh",
    "forecast_energy_high_kwh",
    "forecast_emissions_low_kg",
    "forecast_emissions_high_kg",
    "forecast_if_stopped_kwh",
    "forecast_if_stopped_low_kwh",
    "forecast_if_stopped_high_kwh",
    "forecast_left_s",
    "samples_per_kwh",
    "tokens_per_kwh",
    "j_per_sample",
    "j_per_token",
)
_OURS = re.compile(rf"(^|[/_])({'|'.join(NAMES)})$")


def is_ours(key: str) -> bool:
    """Whether a key of a log entry is one of the callback's metrics."""
    return key.startswith(("carbon/", "carbon_")) or _OURS.search(key) is not None


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
