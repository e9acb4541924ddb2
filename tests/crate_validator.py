"""roc-validator on a crate of RO-Crate 1.3, without a network: prints what it finds.

It runs in an environment of its own, which ``make test`` prepares (tools/validator.txt), since it
needs an older rich than nepiq. The context of RO-Crate 1.3 is in the wheel of rocrate, and is put
into the cache of the validator.

    .venv/validator/bin/python tests/crate_validator.py CRATE CACHE
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import requests_cache
import rocrate
from requests.adapters import HTTPAdapter
from rocrate_validator import services
from urllib3 import HTTPResponse

URL = "https://w3id.org/ro/crate/1.3/context"
CONTEXT = Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld"


class Wheel(HTTPAdapter):
    """Answers each request with the context in the wheel."""

    def send(self, request, *_, **__):
        """Return the answer."""
        headers = {"Content-Type": "application/ld+json"}
        body = HTTPResponse(
            io.BytesIO(CONTEXT.read_bytes()), headers, status=200, preload_content=False
        )
        return self.build_response(request, body)


crate, cache = sys.argv[1:]
with requests_cache.CachedSession(cache, backend="sqlite", expire_after=-1) as session:
    session.mount("https://", Wheel())
    session.get(URL).raise_for_status()
# Process Run Crate inherits from RO-Crate 1.1, which a crate of 1.3 is not.
for profile, inherits in (("ro-crate-1.3", True), ("process-run-crate", False)):
    settings = services.ValidationSettings(
        rocrate_uri=crate,
        profile_identifier=profile,
        enable_profile_inheritance=inherits,
        requirement_severity="RECOMMENDED",
        validate_profile_checks=False,
        cache_path=Path(cache),
        offline=True,
    )
    result = services.validate(settings)
    issues = result.get_issues()
    print(f"{profile}: {len(result.executed_checks)} checks, {len(issues)} issues")
    for issue in issues:
        print(f"{issue.severity.name} {issue.check.name}: {issue.message} {issue.violatingEntity}")
