"""Signatures of the futures API and its WebSocket (KRAKEN.md section 4)."""

from __future__ import annotations

import base64
import hashlib
import hmac

PREFIX = "/derivatives"


def authent(path: str, data: bytes, nonce: str, secret: str) -> str:
    """Authent = base64(HMAC-SHA512(secret, SHA256(data + nonce + path))), the path without /derivatives.

    `data`: the raw, still percent-encoded query followed by the body, both as they travelled.
    """
    digest = hashlib.sha256(data + nonce.encode() + path.removeprefix(PREFIX).encode()).digest()
    return base64.b64encode(hmac.new(base64.b64decode(secret), digest, hashlib.sha512).digest()).decode()


def sign_challenge(challenge: str, secret: str) -> str:
    """signed_challenge = base64(HMAC-SHA512(secret, SHA256(challenge)))."""
    digest = hashlib.sha256(challenge.encode()).digest()
    return base64.b64encode(hmac.new(base64.b64decode(secret), digest, hashlib.sha512).digest()).decode()


def same(given: str, right: str) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(given.encode(errors="replace"), right.encode())
