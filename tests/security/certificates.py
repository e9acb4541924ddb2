"""A certificate authority and what it signs, made by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """A private CA.

    Args:
        folder: where its files go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate = folder / "ca.crt"
        self._key = folder / "ca.key"
        self._new_key(self._key)
        _openssl(
            *("req", "-x509", "-new", "-key", self._key, "-days", "30", "-subj", "/CN=nepiq CA"),
            *("-out", self.certificate),
        )

    def sign(self, name: str, address: str = "") -> tuple[Path, Path]:
        """A certificate and its key, for a server at an address, or else for a client."""
        key, request, made = (self.folder / f"{name}.{end}" for end in ("key", "csr", "crt"))
        self._new_key(key)
        _openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
        options = self.folder / f"{name}.ext"
        options.write_text(
            f"subjectAltName=IP:{address}\n" if address else "keyUsage=digitalSignature\n"
        )
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key),
            *("-CAcreateserial", "-days", "30", "-extfile", options, "-out", made),
        )
        return made, key

    @staticmethod
    def _new_key(path: Path) -> None:
        _openssl(
            *("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
        )
        path.chmod(0o600)
