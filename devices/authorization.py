"""The answer to an HTTP or RTSP server that asks for a password: Basic (RFC 7617) or Digest (RFC 7616, which takes in RFC 2617)."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets


def authorization(challenge: str, user: str, password: str, method: str, url: str) -> str:
    """The Authorization header that answers a WWW-Authenticate header."""
    scheme, _, said = challenge.partition(" ")
    if scheme.lower() != "digest":
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    given = {key.lower(): quoted or bare for key, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', said)}
    algorithm = given.get("algorithm", "MD5")
    new = hashlib.sha256 if algorithm.upper().startswith("SHA-256") else hashlib.md5

    def digest(*words: str) -> str:
        return new(":".join(words).encode()).hexdigest()

    realm, nonce = given.get("realm", ""), given.get("nonce", "")
    secret, asked = digest(user, realm, password), digest(method, url)
    fields = {"username": user, "realm": realm, "nonce": nonce, "uri": url}
    bare = {"algorithm": algorithm} if "algorithm" in given else {}
    if "auth" in re.split(r"[\s,]+", given.get("qop", "")):
        fresh = secrets.token_hex(8)
        fields |= {"cnonce": fresh, "response": digest(secret, nonce, "00000001", fresh, "auth", asked)}
        bare |= {"qop": "auth", "nc": "00000001"}
    else:
        fields["response"] = digest(secret, nonce, asked)
    if "opaque" in given:
        fields["opaque"] = given["opaque"]
    words = [f'{key}="{value}"' for key, value in fields.items()] + [f"{key}={value}" for key, value in bare.items()]
    return "Digest " + ", ".join(words)
