"""What a frozen program needs of the core: all of its modules and tables."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

hiddenimports = collect_submodules("carbon_core")
datas = collect_data_files("carbon_core")
