"""Answers to a server's question for a password, against the examples of the standards."""

from __future__ import annotations

import hashlib
import re

import pytest

from devices.cameras.authorization import Authorization, preferred

RFC_2617 = (
    'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
    'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
)
RFC_7616 = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
    'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)


def fields(header: str) -> dict[str, str]:
    assert header.startswith("Digest ")
    return {key: quoted or bare for key, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', header)}


@pytest.mark.parametrize(
    ("challenge", "password", "cnonce", "response"),
    [
        (RFC_2617, "Circle Of Life", "0a4f113b", "6629fae49393a05397450978507c4ef1"),
        (RFC_7616, "Circle of Life", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "8ca523f5e9506fed4657c9700eebdbec"),
        (
            RFC_7616 + ", algorithm=SHA-256", "Circle of Life", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ],
)  # fmt: skip
def test_the_examples_of_the_standards_come_out(
    challenge: str, password: str, cnonce: str, response: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _: cnonce)
    said = fields(Authorization(challenge, "Mufasa", password).header("GET", "/dir/index.html"))
    assert said["response"] == response
    assert (said["nc"], said["qop"], said["uri"]) == ("00000001", "auth", "/dir/index.html")
    assert said["opaque"] == fields(challenge)["opaque"]
    assert said.get("algorithm") == fields(challenge).get("algorithm")


def test_each_answer_under_a_nonce_bears_the_next_count() -> None:
    authorization = Authorization(RFC_2617, "Mufasa", "Circle Of Life")
    said = [fields(authorization.header("OPTIONS", "rtsp://a/b")) for _ in range(17)]
    assert [each["nc"] for each in said] == [f"{number:08x}" for number in range(1, 18)]
    secret, asked = (
        hashlib.md5(text).hexdigest() for text in (b"Mufasa:testrealm@host.com:Circle Of Life", b"OPTIONS:rtsp://a/b")
    )
    for each in said:
        words = (secret, each["nonce"], each["nc"], each["cnonce"], "auth", asked)
        assert each["response"] == hashlib.md5(":".join(words).encode()).hexdigest()


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [
        ("MD5", "md5"),
        ("sha-256", "sha256"),
        ("SHA-512-256", "sha512_256"),
        ("MD5-sess", "md5"),
        ("SHA-256-sess", "sha256"),
    ],
)
@pytest.mark.parametrize("qop", ["", ', qop="auth"'])
def test_every_algorithm_is_answered_as_itself(algorithm: str, name: str, qop: str) -> None:
    """RFC 7616 3.4.1 to 3.4.3; without qop as in RFC 2069."""
    authorization = Authorization(f'Digest realm="r", nonce="n", algorithm={algorithm}{qop}', "u", "p")
    for _ in range(2):
        said = fields(authorization.header("PLAY", "x"))

        def digest(text: str) -> str:
            return hashlib.new(name, text.encode()).hexdigest()

        secret = digest("u:r:p")
        if algorithm.lower().endswith("-sess"):
            secret = digest(f"{secret}:n:{said['cnonce']}")
        between = f"{said['nc']}:{said['cnonce']}:auth:" if qop else ""
        assert said["response"] == digest(f"{secret}:n:{between}{digest('PLAY:x')}")
        assert said["algorithm"] == algorithm


def test_of_several_questions_the_first_digest_that_is_known_is_answered() -> None:
    basic, unknown, known = (
        'Basic realm="r"',
        'Digest nonce="n", algorithm=SHA3-512',
        'Digest nonce="n", algorithm="MD5"',
    )
    assert preferred([basic, unknown, known, 'Digest nonce="m"']) == known
    assert preferred([unknown, basic]) == basic
    assert preferred([unknown]) == unknown
    assert preferred([]) == ""
    with pytest.raises(
        ValueError, match="it asks for a password by Digest SHA3-512; fieldrig knows MD5, SHA-256, SHA-512-256"
    ):
        Authorization(unknown, "u", "p")
    with pytest.raises(ValueError, match="it asks for a password by Negotiate; fieldrig knows Basic and Digest"):
        Authorization("Negotiate", "u", "p")
