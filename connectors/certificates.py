"""Why a certificate was refused, and what mends that: no setting mends them all."""

from __future__ import annotations

import ssl

from urllib3.exceptions import SSLError as Urllib3SSLError

_NOT_YET, _EXPIRED, _ANOTHER_NAME = (9,), (10,), (62, 64)
"""OpenSSL's numbers, X509_V_ERR_…: certificate not yet valid, has expired, host name or address
mismatch. Source: openssl 3, include/openssl/x509_vfy.h, 2026-11-25."""
_UNKNOWN = (2, 18, 19, 20, 21)
"""The issuer is not known: unable to get issuer, self-signed, unable to verify the first one."""


def certificate_fault(root: BaseException, *, is_trust_set: bool) -> str | None:
    """What is wrong and what mends it, for one line; None when it is another fault.
    `is_trust_set`: `tls.ca_file` is configured."""
    if isinstance(root, Urllib3SSLError) and "ingerprint" in str(root):
        return (
            "the certificate is another one than tls.fingerprint_sha256 says: ask the product's "
            "owner whether it was renewed, and only then change the fingerprint"
        )
    if not isinstance(root, ssl.SSLCertVerificationError):
        return None
    code = getattr(root, "verify_code", None)
    if code in _EXPIRED:
        return (
            "the certificate has expired: have it renewed at the product (no tls.ca_file mends "
            "that), or set this machine's clock right"
        )
    if code in _NOT_YET:
        return "the certificate is not valid yet: look at this machine's clock, then at the product"
    if code in _ANOTHER_NAME:
        return (
            "the certificate is for another name: write a name that it holds into base_url, or "
            "have it issued for this one (no tls.ca_file mends that)"
        )
    if code in _UNKNOWN:
        mend = (
            "has the authority changed? Point tls.ca_file" if is_trust_set else "point tls.ca_file"
        )
        return (
            f"the certificate's authority is not known here: {mend} at its certificate, or pin "
            "the product's own with tls.fingerprint_sha256"
        )
    return "the certificate was refused"
