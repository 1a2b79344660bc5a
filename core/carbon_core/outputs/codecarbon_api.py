"""The CodeCarbon API: a run of an experiment, and its emissions in increments.

Endpoints and fields are those of CodeCarbon 3.3.2: ``POST /runs`` (201, ``id``), then ``POST
/emissions`` with the increments. The server requires whole seconds above 0 and no negative value; so an
increment of less than a second, or one that is negative after a revised intensity, waits for the next.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any

from carbon_core.addresses import joined, redacted, with_scheme
from carbon_core.errors import OutputError
from carbon_core.fetch import Send, decoded
from carbon_core.outputs.emissions_data import delta_data, emissions_data
from carbon_core.outputs.endpoint import NOTHING, post_json
from carbon_core.records import Amounts
from carbon_core.report import Report

_ID = re.compile(r"[\w.:-]{1,100}", re.ASCII)


class CodeCarbonApi:
    """An output (see `carbon_core.outputs.base.Output`).

    Attributes:
        remote_id: The server's id of the run, once it has one.

    Args:
        url: Base address of the API.
        key: Token of the project, or None.
        experiment_id: The experiment that the run belongs to.
        send: Sends a request.
        remote_id: As above, where the run was created earlier.
    """

    def __init__(
        self,
        url: str,
        key: str | None,
        experiment_id: str,
        send: Send,
        *,
        remote_id: str | None = None,
    ) -> None:
        self.remote_id = remote_id
        self._url = with_scheme(url)
        self._headers = {"x-api-token": key} if key else {}
        self._experiment_id = experiment_id
        self._send = send

    def open(self, report: Report) -> None:
        """Create the run, once."""
        if self.remote_id is None:
            self.remote_id = self._id_in(self._post("runs", self._run(report)))

    def _id_in(self, response: bytes) -> str:
        """Return the id of the run in a response: it goes into the journal and into requests."""
        try:
            found = decoded(response)
        except ValueError:
            found = None
        identifier = found.get("id") if isinstance(found, dict) else None
        is_number = isinstance(identifier, int) and not isinstance(identifier, bool)
        text = str(identifier) if is_number else identifier
        if not isinstance(text, str) or not _ID.fullmatch(text):
            raise OutputError(f"{redacted(self._url)}: the response holds no id of a run")
        return text

    def update(self, report: Report, delta: Amounts) -> Amounts | None:
        """Send what has come since, in whole seconds."""
        return self._emissions(report, delta, math.floor(delta.duration_s))

    def close(self, report: Report, delta: Amounts) -> Amounts | None:
        """Send the rest, for which the last second is rounded up."""
        self._emissions(report, delta, math.ceil(delta.duration_s))
        return None

    def _emissions(self, report: Report, delta: Amounts, duration_s: int) -> Amounts:
        if duration_s < 1 or not report.is_known:
            return NOTHING
        sent = Amounts(float(duration_s), *(max(0.0, amount) for amount in delta[1:]))
        data = delta_data(emissions_data(report), sent)
        self._post(
            "emissions",
            {
                "timestamp": report.ended_at,
                "run_id": self.remote_id,
                "duration": duration_s,
                "emissions_sum": data.emissions,
                "emissions_rate": data.emissions_rate,
                "cpu_power": data.cpu_power,
                "gpu_power": data.gpu_power,
                "ram_power": data.ram_power,
                "cpu_energy": data.cpu_energy,
                "gpu_energy": data.gpu_energy,
                "ram_energy": data.ram_energy,
                "energy_consumed": data.energy_consumed,
                "cpu_utilization_percent": data.cpu_utilization_percent,
                "gpu_utilization_percent": data.gpu_utilization_percent,
                "ram_utilization_percent": data.ram_utilization_percent,
                "wue": data.wue,
            },
        )
        return sent

    def _run(self, report: Report) -> dict[str, Any]:
        data = emissions_data(report)
        return {
            "timestamp": datetime.fromisoformat(report.run.started_at).isoformat(),
            "experiment_id": self._experiment_id,
            "os": data.os,
            "python_version": data.python_version,
            "codecarbon_version": data.codecarbon_version,
            "cpu_count": data.cpu_count,
            "cpu_model": data.cpu_model,
            "gpu_count": data.gpu_count,
            "gpu_model": data.gpu_model,
            "longitude": data.longitude,
            "latitude": data.latitude,
            "region": data.region,
            "provider": data.cloud_provider,
            "ram_total_size": data.ram_total_size,
            "tracking_mode": data.tracking_mode,
        }

    def _post(self, what: str, data: dict[str, Any]) -> bytes:
        return post_json(self._send, joined(self._url, what), data, self._headers)
