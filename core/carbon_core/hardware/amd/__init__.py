"""AMD GPUs through amdsmi (extra ``amd``). The only package that knows it.

Tested with a stand-in for amdsmi, not on silicon.
"""
