"""Messages for a package that is missing or cannot be imported; loaded only then."""

from __future__ import annotations

from importlib.util import find_spec

from carbon_callbacks._adapters import ADAPTERS

# Those that Keras trains with; the first one is its default.
_KERAS_BACKENDS = ("tensorflow", "torch", "jax")


def import_problem(adapter: str, error: Exception) -> str:
    """Return why an adapter cannot be imported, and what to install.

    Args:
        adapter: Name of its module, ``carbon_callbacks.`` and the name of a row of `ADAPTERS`.
        error: What the import of its framework raised.
    """
    row = next(one for one in ADAPTERS if one.name == adapter.rpartition(".")[2])
    package, extra = row.package, row.extra
    install = f"pip install 'carbon-callbacks[{extra}]'"
    missing = missing_package(error)
    if missing == package or not is_installed(package):
        return f"{adapter} needs the package {package}: {install}"
    if missing == "torch":
        return f"{adapter}: {package} is installed, but PyTorch is missing: pip install torch"
    upgrade = install.replace("install", "install --upgrade", 1)
    return f"{adapter} cannot import the installed {package} ({error}): {upgrade}"


def keras_problem(adapter: str, error: Exception) -> str:
    """Return why the adapter of Keras cannot be imported: often, for lack of a backend.

    Args:
        adapter: Name of the module.
        error: What the import of Keras raised.
    """
    missing = missing_package(error)
    if isinstance(error, ImportError) and missing not in _KERAS_BACKENDS:
        return import_problem(adapter, error)
    reason = f"its backend {missing} is missing" if missing else f"it cannot be imported ({error})"
    found = [name for name in _KERAS_BACKENDS if is_installed(name)]
    if found:
        remedy = (
            f"Installed backends: {', '.join(found)}. Set KERAS_BACKEND={found[0]} in the environment, "
            "before Keras is imported"
        )
    else:
        others = " or ".join(f"KERAS_BACKEND={name}" for name in _KERAS_BACKENDS[1:])
        remedy = f"No backend is installed: pip install tensorflow; or torch or jax, with {others}"
    return f"{adapter}: keras is installed, but {reason}. {remedy}"


def missing_package(error: Exception) -> str:
    """Return the package that an import did not find; an empty string if that was not the reason."""
    return package_of(error) if isinstance(error, ModuleNotFoundError) else ""


def package_of(error: Exception) -> str:
    """Return the package that an import failed in, missing or not; an empty string if unknown."""
    name = error.name if isinstance(error, ImportError) else None
    return (name or "").partition(".")[0]


def is_installed(package: str) -> bool:
    """Return whether a package can be found."""
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False
