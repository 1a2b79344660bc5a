"""What a frozen program needs of the package: the core, and the template of the HTML report.

The adapters are found where a program imports them; all of them would include every framework.
"""

from PyInstaller.utils.hooks import collect_data_files

hiddenimports = ["carbon_core"]
datas = collect_data_files("carbon_callbacks")
