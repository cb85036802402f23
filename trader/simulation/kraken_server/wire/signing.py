"""Request signatures and stream tokens of the spot API (KRAKEN.md section 4)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from functools import lru_cache

TOKEN_LIFE_US = 900 * 1_000_000


def sign(path: str, nonce: str, body: bytes, secret: str) -> str:
    """API-Sign: base64(HMAC-SHA512(secret, path + SHA256(nonce + body))) over the body's bytes as they travel."""
    digest = hashlib.sha256(nonce.encode() + body).digest()
    signing = _keyed(secret).copy()
    signing.update(path.encode() + digest)
    return base64.b64encode(signing.digest()).decode()


@lru_cache(maxsize=64)
def _keyed(secret: str) -> hmac.HMAC:
    """A secret made ready to sign with: every signature is a copy's, since to take a key costs more than to sign."""
    return hmac.new(base64.b64decode(secret), digestmod=hashlib.sha512)


def signed_by(signature: str, path: str, nonce: str, body: bytes, secret: str) -> bool:
    """Whether a signature fits, compared in constant time."""
    return hmac.compare_digest(signature.encode(errors="replace"), sign(path, nonce, body, secret).encode())


@lru_cache(maxsize=64)
def fingerprint(api_key: str) -> str:
    """A short name for a key that may be written to files; the key itself may not."""
    return hashlib.blake2b(api_key.encode(), digest_size=6).hexdigest()


def make_token(secret: str, issued_us: int, number: int) -> str:
    """A stream token that proves itself: a restarted twin still knows it. The exchange gives 15 minutes to use it."""
    head = f"{issued_us}.{number}".encode()
    mark = hmac.new(base64.b64decode(secret), b"stream token " + head, hashlib.sha256).digest()[:18]
    return base64.urlsafe_b64encode(mark + head).decode()


def token_valid(token: object, secret: str, now_us: int | None) -> bool:
    """Whether `token` is one of ours and not older than 15 minutes (`now_us` None: of any age)."""
    if not isinstance(token, str):
        return False
    try:
        raw = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return False
    mark, head = raw[:18], raw[18:]
    good = hmac.new(base64.b64decode(secret), b"stream token " + head, hashlib.sha256).digest()[:18]
    if not hmac.compare_digest(mark, good):
        return False
    return now_us is None or now_us <= int(head.split(b".")[0]) + TOKEN_LIFE_US
