"""The table of adapters: sessions of nox, error messages and checks of the documentation follow from it.

It imports nothing of this package, because the noxfile reads it where the package is not installed.
"""

from __future__ import annotations

from typing import NamedTuple


class Adapter(NamedTuple):
    """The adapter of a framework.

    Attributes:
        name: Its module in `carbon_callbacks`.
        package: The package that it imports.
        extra: The extra in pyproject.toml that installs the framework.
        requirements: What its session of nox installs, beside PyTorch and pytest.
        tests: File of its tests in tests/adapters.
        page: Its page in docs/, or its section as ``page.md#anchor``; such a section is run by itself.
        example: Its file in examples/; an empty string for none.
        needs_torch: Whether its session of nox installs PyTorch.
        variants: Names of several sessions, each with what it installs in addition.
    """

    name: str
    package: str
    extra: str
    requirements: tuple[str, ...]
    tests: str
    page: str
    example: str
    needs_torch: bool = True
    variants: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def sessions(self) -> dict[str, tuple[str, ...]]:
        """What each of its sessions of nox installs; the first one also tests the oldest versions."""
        variants = {f"{self.name}-{one}": more for one, more in self.variants} or {self.name: ()}
        return {name: (*self.requirements, *more) for name, more in variants.items()}


# A new row is added at the end; `pytest tests/packaging/test_part_tables.py` names what it lacks.
ADAPTERS = (
    Adapter(
        "lightning",
        "lightning",
        "lightning",
        ("lightning", "tensorboard"),
        "test_lightning.py",
        "lightning.md",
        "lightning_digits.py",
    ),
    Adapter(
        "pytorch_lightning",
        "pytorch_lightning",
        "pytorch-lightning",
        ("pytorch-lightning",),
        "test_pytorch_lightning.py",
        "lightning.md",
        "",
    ),
    Adapter(
        "transformers",
        "transformers",
        "transformers",
        ("transformers", "tensorboard", "optuna"),
        "test_transformers.py",
        "transformers.md",
        "hf_vit_digits.py",
    ),
    Adapter(
        "keras",
        "keras",
        "keras",
        ("keras",),
        "test_keras.py",
        "keras.md",
        "keras_digits.py",
        variants=(
            ("torch", ()),
            ("jax", ("jax",)),
            ("tensorflow", ("tensorflow-cpu", "tf_keras")),
        ),
    ),
    Adapter(
        "optuna",
        "optuna",
        "optuna",
        ("optuna", "scikit-learn"),
        "test_optuna.py",
        "sweeps.md#optuna",
        "optuna_digits.py",
        needs_torch=False,
    ),
    Adapter(
        "keras_tuner",
        "keras_tuner",
        "keras-tuner",
        ("keras", "keras-tuner", "six", "scikit-learn"),
        "test_keras_tuner.py",
        "sweeps.md#kerastuner",
        "keras_tuner_digits.py",
    ),
    Adapter(
        "ray_tune",
        "ray",
        "ray-tune",
        ("ray[tune]", "scikit-learn"),
        "test_ray_tune.py",
        "sweeps.md#ray-tune",
        "ray_tune_digits.py",
    ),
    Adapter(
        "xgboost",
        "xgboost",
        "xgboost",
        ("xgboost", "scikit-learn"),
        "test_xgboost.py",
        "boosting.md#xgboost",
        "xgboost_digits.py",
        needs_torch=False,
    ),
    Adapter(
        "lightgbm",
        "lightgbm",
        "lightgbm",
        ("lightgbm", "scikit-learn"),
        "test_lightgbm.py",
        "boosting.md#lightgbm",
        "lightgbm_digits.py",
        needs_torch=False,
    ),
    Adapter(
        "catboost",
        "catboost",
        "catboost",
        ("catboost", "scikit-learn"),
        "test_catboost.py",
        "boosting.md#catboost",
        "catboost_digits.py",
        needs_torch=False,
    ),
    Adapter(
        "sklearn",
        "sklearn",
        "sklearn",
        ("scikit-learn",),
        "test_sklearn.py",
        "boosting.md#scikit-learn",
        "sklearn_digits.py",
        needs_torch=False,
    ),
    Adapter(
        "accelerate",
        "accelerate",
        "accelerate",
        ("accelerate",),
        "test_accelerate.py",
        "trainers.md#accelerate",
        "accelerate_loop.py",
    ),
    Adapter(
        "fabric",
        "lightning",
        "fabric",
        ("lightning",),
        "test_fabric.py",
        "trainers.md#lightning-fabric",
        "fabric_loop.py",
    ),
    Adapter(
        "ignite",
        "ignite",
        "ignite",
        ("pytorch-ignite", "numpy"),
        "test_ignite.py",
        "trainers.md#pytorch-ignite",
        "ignite_digits.py",
    ),
    Adapter(
        "ray_train",
        "ray",
        "ray-train",
        ("ray[train]",),
        "test_ray_train.py",
        "trainers.md#ray-train",
        "ray_train_digits.py",
    ),
)
