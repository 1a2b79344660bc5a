"""Libraries that train with one of the frameworks, and the line of code that measures in each.

noxfile.py and tools/write_works_in.py read this table; it imports nothing of the package.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Library(NamedTuple):
    """A library, and how the callback is given to it.

    Attributes:
        name: As its documentation writes it.
        package: The package that is installed; its version is shown.
        framework: The module of this package that has the callback.
        lines: Lines of code by the name of their test; what they need is made by the test.
        requirements: Further packages that its tests need.
        limits: What does not work, or works otherwise than expected.
    """

    name: str
    package: str
    framework: str
    lines: Mapping[str, str]
    requirements: tuple[str, ...] = ()
    limits: str = ""

    @property
    def module(self) -> str:
        """Name of the module of its tests."""
        return f"test_{self.package.replace('-', '_').replace('.', '_')}"


# The package of each framework.
PACKAGES_OF = {
    "transformers": "transformers",
    "lightning": "lightning",
    "pytorch_lightning": "pytorch-lightning",
    "keras": "keras",
}

# How the page calls them.
TITLES = {
    "transformers": "the Trainer of Hugging Face",
    "lightning": "the package lightning",
    "pytorch-lightning": "the package pytorch-lightning",
    "keras": "Keras",
}

_OURS = "callbacks=[EmissionsCallback()]"
_IN_DICT = '{"callbacks": [EmissionsCallback()], **settings}'
_TRL = f"processing_class=tokenizer, {_OURS}"

LIBRARIES = (
    Library(
        "TRL",
        "trl",
        "transformers",
        {
            "sft": f"SFTTrainer(model, args, train_dataset=data, eval_dataset=data, {_TRL})",
            "dpo": "DPOTrainer(model, reference, args, train_dataset=pairs, eval_dataset=pairs, "
            f"{_TRL})",
            "kto": f"KTOTrainer(model, reference, args, train_dataset=labelled, {_TRL})",
            "grpo": f"GRPOTrainer(model, reward, args, train_dataset=prompts, {_TRL})",
            "rloo": f"RLOOTrainer(model, reward, args, train_dataset=prompts, {_TRL})",
            "reward": f"RewardTrainer(model, args, train_dataset=pairs, eval_dataset=pairs, {_TRL})",
        },
        requirements=("datasets",),
        limits="The generation of completions is in the phase `train`. What a trainer computes as it is "
        "made (`precompute_ref_log_probs`) is before the run.",
    ),
    Library(
        "PEFT",
        "peft",
        "transformers",
        {
            "trainer": f"Trainer(get_peft_model(model, lora), args, collate, data, {_OURS})",
            "trl": f"SFTTrainer(model, args, train_dataset=data, peft_config=lora, {_TRL})",
        },
        requirements=("trl", "datasets"),
    ),
    Library(
        "sentence-transformers",
        "sentence-transformers",
        "transformers",
        {
            "embeddings": f"SentenceTransformerTrainer(model, args, data, data, loss, {_OURS})",
            "reranker": f"CrossEncoderTrainer(model, args, data, data, {_OURS})",
        },
        requirements=("datasets",),
        limits="No metrics for each sample: its samplers make batches of their own.",
    ),
    Library(
        "SetFit",
        "setfit",
        "transformers",
        {"trainer": f"Trainer(model, args, train_dataset=data, {_OURS})"},
        limits="The head is fitted after the run of the embeddings: put a block around `train()` to "
        "include it.",
    ),
    Library(
        "pytorch-forecasting",
        "pytorch-forecasting",
        "lightning",
        {"trainer": f"Trainer(max_epochs=2, {_OURS}, **settings)"},
    ),
    Library(
        "Chemprop",
        "chemprop",
        "lightning",
        {"trainer": f"Trainer(max_epochs=2, {_OURS}, **settings)"},
    ),
    Library(
        "GluonTS",
        "gluonts",
        "lightning",
        {"estimator": f'DeepAREstimator("D", 2, trainer_kwargs={_IN_DICT}, **sizes)'},
        requirements=("lightning",),
    ),
    Library(
        "AutoGluon TimeSeries",
        "autogluon.timeseries",
        "lightning",
        {
            "predictor": 'predictor.fit(data, hyperparameters={"DeepAR": {"trainer_kwargs": '
            f"{_IN_DICT}, **sizes}}}})",
        },
        requirements=("lightning",),
        limits="For its models of GluonTS. The list takes the place of AutoGluon's callbacks: its time "
        "limit and early stopping.",
    ),
    Library(
        "darts",
        "darts",
        "pytorch_lightning",
        {"model": f"TCNModel(8, 2, pl_trainer_kwargs={_IN_DICT}, **sizes)"},
        requirements=("pytorch-lightning",),
    ),
    Library(
        "neuralforecast",
        "neuralforecast",
        "pytorch_lightning",
        {"model": f"NHITS(h=2, input_size=8, max_steps=4, {_OURS}, **settings)"},
        limits="A sample is a series; the windows that a step draws from it are not counted.",
    ),
    Library(
        "PyTorch Tabular",
        "pytorch-tabular",
        "pytorch_lightning",
        {"fit": f"model.fit(train=frame, validation=frame, {_OURS})"},
    ),
    Library(
        "KerasTuner",
        "keras-tuner",
        "keras",
        {
            "random_search": f"tuner.search(x, y, epochs=2, validation_data=(x, y), {_OURS})",
            "hyperband": f"tuner.search(x, y, validation_data=(x, y), {_OURS})",
        },
        requirements=("keras", "six", "tensorboard", "pandas"),
        limits="Each trial is a run. A trial of Hyperband continues the one whose weights it loads.",
    ),
    Library(
        "KerasHub",
        "keras-hub",
        "keras",
        {"fit": f"model.fit(x, y, epochs=2, validation_data=(x, y), {_OURS})"},
    ),
    Library(
        "BayesFlow",
        "bayesflow",
        "keras",
        {"workflow": f"workflow.fit_offline(data, epochs=2, batch_size=8, {_OURS})"},
    ),
)

# Libraries that were not run, and the reason.
LEFT_OUT = {
    "Lightly": "needs torchvision",
    "anomalib": "needs torchvision",
    "AutoGluon MultiModal": "needs torchvision",
    "AutoGluon Tabular": "passes no callback to a framework: use a block",
    "pyannote.audio": "needs torchaudio",
    "fastai": "has its own trainer, and needs torchvision: use a block",
    "Ultralytics": "has its own trainer, and needs torchvision: use a block",
    "Composer": "has its own trainer, and needs torch before 2.7.1: use a block",
}
