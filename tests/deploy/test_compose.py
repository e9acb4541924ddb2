"""compose.yaml against the schema of its specification, and what the schema cannot say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.deploy.files import compose
from tests.stand import ROOT

PASSWORDS = dict.fromkeys(("NEPIQ_REDIS_PASSWORD", "NEPIQ_FLOWER_PASSWORD"), "0" * 32)
Services = dict[str, dict[str, Any]]


def check(*files: Path) -> subprocess.CompletedProcess[str]:
    """What the schema says of compose files; it comes with check-jsonschema."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    return subprocess.run([*command, *map(str, files)], capture_output=True, text=True, check=False)


def test_it_is_of_the_schema_as_it_stands_and_as_docker_takes_it(tmp_path: Path) -> None:
    resolved = tmp_path / "compose.yaml"
    resolved.write_text(yaml.safe_dump(compose(PASSWORDS)))
    assert "<<" not in resolved.read_text()
    assert "${" not in resolved.read_text()
    done = check(ROOT / "compose.yaml", resolved)
    assert done.returncode == 0, done.stdout + done.stderr


def misspell(services: Services) -> None:
    services["worker"]["comand"] = services["worker"].pop("command")


def publish_a_truth(services: Services) -> None:
    services["flower"]["ports"] = True


def depend_on_health(services: Services) -> None:
    services["worker"]["depends_on"]["redis"]["condition"] = "healthy"


def hurry_in_words(services: Services) -> None:
    services["redis"]["healthcheck"]["retries"] = ["ten"]


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (misspell, "comand"),
        (publish_a_truth, "services.flower"),
        (depend_on_health, "services.worker"),
        (hurry_in_words, "services.redis.healthcheck"),
    ],
)
def test_the_schema_tells_what_is_wrong(
    harm: Callable[[Services], None], said: str, tmp_path: Path
) -> None:
    read = compose(PASSWORDS)
    # What YAML aliases share is one object here, and would be harmed in all places.
    read = yaml.safe_load(yaml.safe_dump(read))
    harm(read["services"])
    broken = tmp_path / "compose.yaml"
    broken.write_text(yaml.safe_dump(read))
    done = check(broken)
    assert done.returncode != 0
    assert said in done.stdout


def test_what_services_name_is_there() -> None:
    read = compose(PASSWORDS)
    services: Services = read["services"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in services
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[other]
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists(), source
            else:
                assert source in read["volumes"], volume
        built = service.get("build")
        if built is not None:
            context = built if isinstance(built, str) else built["context"]
            file = "Dockerfile" if isinstance(built, str) else built["dockerfile"]
            assert (ROOT / context / file).is_file(), name


def test_nothing_is_open_to_the_network() -> None:
    for service in compose(PASSWORDS)["services"].values():
        for published in service.get("ports", []):
            assert published.startswith("127.0.0.1:")


def test_it_wants_passwords() -> None:
    with pytest.raises(KeyError, match="NEPIQ_REDIS_PASSWORD"):
        compose()
