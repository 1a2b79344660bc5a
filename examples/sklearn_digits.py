"""scikit-learn: a search over the parameters of a pipeline on handwritten digits, in two processes."""

from __future__ import annotations

import sys

import digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from carbon_callbacks import Report
from carbon_callbacks.sklearn import measure_fit
from carbon_core import energy


def train(output_dir="."):
    """Train; return the accuracy on the validation digits and the report of the run."""
    x_train, y_train, x_val, y_val = digits.load()
    pipeline = make_pipeline(StandardScaler(), SVC())
    search = GridSearchCV(pipeline, {"svc__C": [0.1, 1, 10]}, cv=3, n_jobs=2)
    with measure_fit(search, project_name="sklearn-digits", output_dir=output_dir) as fit:
        search.fit(x_train.reshape(len(x_train), -1), y_train)
        accuracy = search.score(x_val.reshape(len(x_val), -1), y_val)
    return accuracy, fit.report


def phases(report: Report) -> str:
    """Return the energy of each phase."""
    return ", ".join(f"{one.name} {energy(one.joules / 3.6e6)}" for one in report.phases)


if __name__ == "__main__":
    accuracy, report = train(*sys.argv[1:2])
    print(f"accuracy {accuracy:.1%}; {report.summary()}")
    print(phases(report))
