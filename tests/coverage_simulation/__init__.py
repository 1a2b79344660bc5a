"""A simulator that checks the stated intervals: do they contain the truth in 95 of 100 runs?

Devices, meters, gaps and grids are random; their truth is known. The package measures them over its
public interfaces (meters, sampler, report, `Training`) on a fake clock. `python -m coverage_simulation`
prints a table, `nox -s coverage` writes it into docs/uncertainty.md, `test_coverage.py` is a short form.
"""
