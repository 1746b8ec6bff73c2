"""Content credentials (C2PA): a signed statement inside a file of how it was made, and what such a statement is worth.

By c2pa-python, the extra `c2pa`. Nothing is sent anywhere unless an authority for times is named.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from fomm_cli.errors import FommError
from fomm_cli.files.disk import explain_os_error, sibling
from fomm_cli.media.provenance import SOURCE_TYPE, Mark
from fomm_cli.version import __version__

MIMES = {
    ".mp4": "video/mp4",
    ".m4v": "video/x-m4v",
    ".mov": "video/quicktime",
    ".gif": "image/gif",
    ".png": "image/png",
    ".webp": "image/webp",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
}
"""Suffixes of files that can be signed here, and what may be an ingredient."""


class Signer:
    """Signs files by a certificate and its key.

    certificate  PEM: the signer's first, then those above it
    key          PEM, unencrypted: EC (P-256, P-384, P-521), Ed25519 or RSA
    timestamp    address of an authority (RFC 3161) that witnesses the time; None: nobody is asked
    """

    def __init__(self, certificate: Path, key: Path, timestamp: str | None = None) -> None:
        c2pa = _library()
        chain, secret = _read(certificate), _read(key)
        algorithm = _algorithm(chain, secret, certificate, key)
        info = c2pa.C2paSignerInfo(algorithm.encode(), chain, secret, None if timestamp is None else timestamp.encode())
        try:
            self._signer = c2pa.Signer.from_info(info)
        except c2pa.C2paError as error:
            raise FommError(f"{certificate} and {key} do not sign: {_said(error)}.", "Both are PEM files.") from error

    def sign(self, path: Path, mark: Mark) -> None:
        """Put a signed statement into a file, in its place."""
        c2pa = _library()
        made = sibling(path)
        try:
            with c2pa.Builder(_statement(path, mark)) as builder:
                for relation, ingredient in mark.ingredients:
                    told = {"title": ingredient.name, "relationship": relation}
                    with ingredient.open("rb") as file:
                        builder.add_ingredient(told, MIMES[ingredient.suffix.lower()], file)
                builder.sign_file(path, made, self._signer)
            shutil.copyfile(made, path)  # the file itself stays, and with it whoever holds it
        except c2pa.C2paError as error:
            raise FommError(f"{path.name} could not be signed: {_said(error)}.", "Leave out --sign.") from error
        except OSError as error:
            raise explain_os_error(error, path) from error
        finally:
            made.unlink(missing_ok=True)


def check_signable(path: Path) -> None:
    """Refuse, before any work, an output that cannot hold a signed statement; a folder is of png."""
    if path.suffix and path.suffix.lower() not in MIMES:
        raise FommError(f"{path.suffix} files cannot be signed.", "Write mp4, mov, gif, webp or a folder of png.")


def read_signed(path: Path) -> dict[str, Any] | None:
    """What the signed statement of a file is worth: `state` (Valid, Trusted, Invalid), `signer`, `time`, `problems`.

    None where there is none. Raises FommError where the extra is not installed.
    """
    c2pa = _library()
    if path.suffix.lower() not in MIMES:
        return None
    try:
        with path.open("rb") as file, c2pa.Reader(MIMES[path.suffix.lower()], file) as reader:
            store, state = json.loads(reader.json()), reader.get_validation_state()
    except c2pa.C2paError as error:
        if "ManifestNotFound" in str(error) or "no JUMBF data" in str(error):
            return None
        return {"state": "Invalid", "signer": None, "time": None, "problems": [_said(error)], "statement": None}
    active = store["manifests"].get(store.get("active_manifest"), {})
    signature = active.get("signature_info", {})
    problems = [each.get("code", "") for each in store.get("validation_status", [])]
    return {
        "state": state,
        "signer": signature.get("issuer") or signature.get("common_name"),
        "time": signature.get("time"),
        "problems": problems,
        "statement": active,
    }


def _statement(path: Path, mark: Mark) -> dict[str, Any]:
    agent = {"name": "fomm", "version": __version__}
    action = {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE, "softwareAgent": agent}
    return {
        "claim_generator_info": [agent],
        "title": "fomm animation",
        "format": MIMES[path.suffix.lower()],
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [action]}},
            {"label": "org.fomm.mark", "data": dict(mark.record)},
        ],
    }


def _algorithm(chain: bytes, secret: bytes, certificate: Path, key: Path) -> str:
    """The name of how this key signs; refused where the two do not belong together."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(secret, None)
    except (ValueError, TypeError) as error:
        raise FommError(f"{key} is no private key that can be read.", "Give an unencrypted PEM file.") from error
    try:
        public = x509.load_pem_x509_certificates(chain)[0].public_key()
    except (ValueError, IndexError) as error:
        raise FommError(f"{certificate} is no certificate that can be read.", "Give a PEM file.") from error
    if public != private.public_key():
        raise FommError(f"{key} is not the key of {certificate}.", "The signer's certificate comes first in its file.")
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return {256: "es256", 384: "es384", 521: "es512"}.get(private.key_size, "es256")
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(private, rsa.RSAPrivateKey):
        return "ps256"
    raise FommError(f"{key} is a key of a kind that does not sign here.", "Use EC, Ed25519 or RSA.")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise explain_os_error(error, path, "read") from error


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")


def _library() -> Any:
    try:
        import c2pa
    except ImportError as error:
        raise FommError("Signing needs c2pa-python.", 'pip install "fomm-cli[c2pa]"') from error
    return c2pa
