"""The terms of a crate: its license, its author and the author's organization."""

from __future__ import annotations

import re
from typing import NamedTuple

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from ...errors import InvalidValue
from ...errors.text import quoted

_URL = r"https?://[^\s<>\"]+"
_SPDX = "https://spdx.org/licenses/"
_ORCID = "https://orcid.org/"
_AUTHOR = re.compile(
    rf"(?P<name>[^<>@]+?)(?:\s+<(?P<email>[^<>\s@]+@[^<>\s@]+)>)?"
    rf"(?:\s+(?:{re.escape(_ORCID)})?(?P<orcid>\d{{4}}-\d{{4}}-\d{{4}}-\d{{3}}[\dX]))?"
)
_ORGANIZATION = re.compile(rf"(?P<name>[^<>@]+?)(?:\s+(?P<url>{_URL}))?")


class License(NamedTuple):
    """The license of a crate.

    Attributes:
        name: its identifier in the list of SPDX, or its URL.
        url: its URL.
    """

    name: str
    url: str

    @classmethod
    def parse(cls, text: str) -> License:
        """Return the license that is meant by an identifier of SPDX, or by a URL.

        Raises:
            InvalidValue: the list of SPDX does not have it.
        """
        if re.fullmatch(_URL, text):
            return cls(text, text)
        try:
            name = str(canonicalize_license_expression(text))
        except InvalidLicenseExpression:
            name = ""
        if not name or " " in name or name.startswith("LicenseRef-"):
            raise InvalidValue(
                f"{quoted(text)} is not a license of SPDX",
                hint="write an identifier such as CC-BY-4.0, or the URL of the license",
            )
        return cls(name, _SPDX + name)


class Author(NamedTuple):
    """The person whose campaign a crate has.

    Attributes:
        name: the name.
        email: the address; may be empty.
        orcid: URL of the ORCID iD; may be empty.
    """

    name: str
    email: str = ""
    orcid: str = ""

    @classmethod
    def parse(cls, text: str) -> Author:
        """Return the author in ``Ada Lovelace <ada@example.org> 0000-0002-1825-0097``.

        Raises:
            InvalidValue: the text has another form.
        """
        match = _AUTHOR.fullmatch(text.strip())
        if match is None:
            raise InvalidValue(
                f"{quoted(text)} is not an author",
                hint="write a name, with an address in <> and an ORCID iD if there are any",
            )
        orcid = match["orcid"]
        return cls(match["name"], match["email"] or "", _ORCID + orcid if orcid else "")


class Organization(NamedTuple):
    """The organization of an author.

    Attributes:
        name: its name.
        url: its URL, such as that of its ROR; may be empty.
    """

    name: str
    url: str = ""

    @classmethod
    def parse(cls, text: str) -> Organization:
        """Return the organization in ``University of London https://ror.org/04cw6st05``.

        Raises:
            InvalidValue: the text has another form.
        """
        match = _ORGANIZATION.fullmatch(text.strip())
        if match is None:
            raise InvalidValue(
                f"{quoted(text)} is not an organization", hint="write its name and its URL"
            )
        return cls(match["name"], match["url"] or "")


class Terms(NamedTuple):
    """What the publisher of a crate states.

    Attributes:
        license: its license.
        author: the author; None for the user who submitted the campaign.
        organization: that of the author; None for none.
    """

    license: License
    author: Author | None = None
    organization: Organization | None = None

    @classmethod
    def parse(cls, license: str, author: str = "", organization: str = "") -> Terms:  # noqa: A002
        """Return the terms in texts, of which the last two may be empty.

        Raises:
            InvalidValue: a text is invalid.
        """
        return cls(
            License.parse(license),
            Author.parse(author) if author else None,
            Organization.parse(organization) if organization else None,
        )
