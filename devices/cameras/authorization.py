"""The answers to an HTTP or RTSP server that asks for a password: Basic (RFC 7617) or Digest (RFC 7616, which takes in RFC 2617)."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence

_SESSION = "-SESS"
_HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}  # as Digest calls them, and as Python does


class Authorization:
    """What a user says to a server that has asked him, for as long as its nonce lasts: each answer under it bears the next count."""

    def __init__(self, challenge: str, user: str, password: str) -> None:
        """challenge: a WWW-Authenticate header. Raises ValueError when it asks in a way that is not known."""
        if not _is_known(challenge):
            raise ValueError(f"it asks for a password by {_unknown(challenge)}")
        self._user, self._password = user, password
        self._is_digest = _scheme(challenge) == "digest"
        self._given = _parameters(challenge)
        self._client_nonce = secrets.token_hex(8)  # the same throughout: a session's secret holds the first one
        self._count = 0

    def header(self, method: str, url: str) -> str:
        """The Authorization header of the next request."""
        if not self._is_digest:
            return "Basic " + base64.b64encode(f"{self._user}:{self._password}".encode()).decode()
        self._count += 1
        return self._digest(method, url, f"{self._count:08x}")

    def _digest(self, method: str, url: str, count: str) -> str:
        realm, nonce, algorithm = (self._given.get(key, "") for key in ("realm", "nonce", "algorithm"))
        name, is_session = _hash_name(self._given), algorithm.upper().endswith(_SESSION)

        def digest(*words: str) -> str:
            return hashlib.new(name, ":".join(words).encode()).hexdigest()

        secret, asked = digest(self._user, realm, self._password), digest(method, url)
        if is_session:
            secret = digest(secret, nonce, self._client_nonce)
        fields = {"username": self._user, "realm": realm, "nonce": nonce, "uri": url}
        bare = {"algorithm": algorithm} if algorithm else {}
        counts = "auth" in re.split(r"[\s,]+", self._given.get("qop", ""))
        if counts:
            fields["response"] = digest(secret, nonce, count, self._client_nonce, "auth", asked)
            bare |= {"qop": "auth", "nc": count}
        else:
            fields["response"] = digest(secret, nonce, asked)
        if counts or is_session:
            fields["cnonce"] = self._client_nonce
        if "opaque" in self._given:
            fields["opaque"] = self._given["opaque"]
        words = [f'{key}="{value}"' for key, value in fields.items()] + [
            f"{key}={value}" for key, value in bare.items()
        ]
        return "Digest " + ", ".join(words)


def preferred(challenges: Sequence[str]) -> str:
    """Of several questions the first Digest, which does not give the password away, else Basic; what is not known only where nothing else is."""
    known = [each for each in challenges if _is_known(each)]
    digests = [each for each in known if _scheme(each) == "digest"]
    return next(iter([*digests, *known, *challenges]), "")


def is_stale(challenge: str) -> bool:
    """Whether the server knows the password, and only wants it under another nonce."""
    return _parameters(challenge).get("stale", "").lower() == "true"


def _is_known(challenge: str) -> bool:
    if _scheme(challenge) == "digest":
        return _hash_name(_parameters(challenge)) in hashlib.algorithms_available
    return _scheme(challenge) == "basic"


def _hash_name(given: Mapping[str, str]) -> str:
    return _HASHES.get((given.get("algorithm") or "MD5").upper().removesuffix(_SESSION), "")


def _unknown(challenge: str) -> str:
    if _scheme(challenge) == "digest":
        return f"Digest {_parameters(challenge)['algorithm'][:40]}; fieldrig knows {', '.join(_HASHES)}"
    return f"{challenge.partition(' ')[0][:40] or 'nothing'}; fieldrig knows Basic and Digest"


def _scheme(challenge: str) -> str:
    return challenge.partition(" ")[0].lower()


def _parameters(challenge: str) -> dict[str, str]:
    said = re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', challenge.partition(" ")[2])
    return {key.lower(): quoted or bare for key, quoted, bare in said}
