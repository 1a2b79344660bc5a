"""The machine that the documents' commands run on: a server without energy counters or GPUs.

Python imports this module first where its directory is in PYTHONPATH, as `tools/documents.py` sets it.
"""

from pathlib import Path

try:
    from carbon_core.hardware.host import Host
except ImportError:  # another Python, such as that of a system's tool
    pass
else:
    _FILES = Path(__file__).with_name("files")
    _init = Host.__init__

    def _of_the_documents(self: Host, root: Path = Path("/")) -> None:
        _init(self, _FILES if root == Path("/") else root)

    Host.__init__ = _of_the_documents  # type: ignore[method-assign]
