"""Regions of cloud providers: where they lie and what prices them."""

from __future__ import annotations

import pytest

from carbon_core.data import rows
from carbon_core.intensity import tables, zones
from carbon_core.intensity.cloud import cloud_region
from carbon_core.intensity.location import Place, locate


@pytest.mark.parametrize(
    ("provider", "region", "place"),
    [
        ("aws", "eu-west-3", "France (FR)"),
        ("AWS", "EU-WEST-3", "France (FR)"),
        ("amazon", "us-east-1", "PJM Interconnection (US-MIDA-PJM)"),
        ("azure", "West Europe", "Netherlands (NL)"),
        ("gcp", "europe-west1", "Belgium (BE)"),
        ("Google", "northamerica-northeast1", "Québec (CA-QC)"),
    ],
)
def test_a_cloud_region_is_priced_by_its_zone(provider: str, region: str, place: str) -> None:
    found = locate(Place(cloud_provider=provider, cloud_region=region))
    assert (found.intensity.place, found.problem) == (place, "")
    assert found.intensity.scope == "lifecycle"


def test_direct_emissions_of_a_cloud_region_are_its_providers_or_its_states() -> None:
    google = locate(Place(cloud_provider="gcp", cloud_region="europe-west1", scope="direct"))
    assert (google.intensity.g_per_kwh, google.intensity.source[:6]) == (103.37, "Google")
    virginia = locate(Place(cloud_provider="aws", cloud_region="us-east-1", scope="direct"))
    assert virginia.intensity.scope == "direct"
    assert virginia.intensity.source.startswith("US EPA eGRID")


def test_direct_emissions_that_nobody_publishes_are_said() -> None:
    found = locate(Place(cloud_provider="aws", cloud_region="eu-west-3", scope="direct"))
    assert found.intensity.place == "France"
    assert found.problem == "no figure of direct emissions for France: life-cycle ones are used"


def test_its_country_is_that_of_the_run() -> None:
    assert Place(cloud_provider="aws", cloud_region="eu-west-3").iso3 == "FRA"
    assert Place("USA", cloud_provider="aws", cloud_region="eu-west-3").iso3 == "USA"


def test_a_country_that_contradicts_the_cloud_region_is_said() -> None:
    found = locate(Place("USA", cloud_provider="aws", cloud_region="eu-west-3"))
    assert found.intensity.place == "France (FR)"
    assert found.problem == "aws eu-west-3 is not in USA: the cloud region counts"
    assert locate(Place("FR", None, None, None, "aws", "eu-west-3")).problem == ""


def test_a_state_that_was_asked_for_comes_before_the_cloud_region() -> None:
    place = Place("CAN", "Alberta", cloud_provider="aws", cloud_region="ca-central-1")
    assert locate(place).intensity.place == "Alberta (CA-AB)"


@pytest.mark.parametrize(
    ("provider", "region", "problem"),
    [
        (
            "aws",
            "eu-west-9",
            "aws eu-west-9 is no cloud region in the tables; did you mean eu-west-",
        ),
        ("ovh", "gra", "ovh gra is no cloud region in the tables"),
        ("aws", None, "cloud_provider and cloud_region must be set together"),
        (None, "eu-west-3", "cloud_provider and cloud_region must be set together"),
    ],
)
def test_what_is_no_cloud_region_is_said_and_the_country_counts(
    provider: str | None, region: str | None, problem: str
) -> None:
    found = locate(Place("FRA", cloud_provider=provider, cloud_region=region))
    assert found.intensity == tables.country("FRA")
    assert found.problem.startswith(problem)


@pytest.mark.parametrize(
    ("place", "zone"),
    [
        (Place(), None),
        (Place("FRA"), "FR"),
        (Place("FR"), "FR"),
        (Place("FRA", zone="DE"), "DE"),
        (Place("CAN", "Quebec"), "CA-QC"),
        (Place("USA", "California"), "US"),
        (Place(cloud_provider="aws", cloud_region="us-east-1"), "US-MIDA-PJM"),
        (Place("XX"), "XX"),
    ],
)
def test_the_zone_to_ask_a_live_source_for(place: Place, zone: str | None) -> None:
    assert place.live_zone == zone


def test_every_region_lies_in_a_known_country_and_zone() -> None:
    known = zones.known_zones()
    for row in rows("cloud_region"):
        found = cloud_region(row["provider"], row["region"])
        assert found is not None
        assert found.zone in known
        assert tables.iso3_of(found.iso2) is not None
        assert 1.0 <= float(row["pue"]) < 2.0
