"""AMD GPUs through amdsmi (extra ``amd``).

Tested with a fake amdsmi, not on hardware.
"""
