"""Which proxy the variables name."""

import pytest

from autokestra.actions.proxies import proxy_for

PROXIES = {"HTTP_PROXY": "http://p:1", "HTTPS_PROXY": "http://p:2"}


@pytest.mark.parametrize(
    ("scheme", "environ", "proxy"),
    [
        ("http", {}, None),
        ("http", PROXIES, "http://p:1"),
        ("https", PROXIES, "http://p:2"),
        ("https", PROXIES | {"https_proxy": "http://lower"}, "http://lower"),
        ("https", PROXIES | {"https_proxy": ""}, None),
        ("http", {"HTTPS_PROXY": "x", "ALL_PROXY": "http://all"}, "http://all"),
        ("http", {"HTTP_PROXY": "proxy.example:3128"}, "http://proxy.example:3128"),
        ("http", {"HTTP_PROXY": "  "}, None),
    ],
)
def test_proxy_is_that_of_the_scheme(scheme, environ, proxy):
    assert proxy == proxy_for(scheme, "example.com", 80, environ)


@pytest.mark.parametrize(
    ("no_proxy", "host", "direct"),
    [
        ("*", "example.com", True),
        ("example.com", "example.com", True),
        ("example.com", "EXAMPLE.com.", True),
        ("example.com", "api.example.com", True),
        (".example.com", "api.example.com", True),
        ("*.example.com", "api.example.com", True),
        ("example.com", "badexample.com", False),
        ("other.org, example.com", "example.com", True),
        ("other.org example.com", "example.com", True),
        ("example.com:80", "example.com", True),
        ("example.com:81", "example.com", False),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "example.com", False),
        ("0.0.1", "10.0.0.1", False),
        ("::1", "::1", True),
        ("[::1]", "::1", True),
        ("[::1]:80", "::1", True),
        ("[::1]:81", "::1", False),
        ("fd00::/8", "fd12::1", True),
        (" , ", "example.com", False),
        ("", "example.com", False),
    ],
)
def test_exemptions(no_proxy, host, direct):
    environ = PROXIES | {"NO_PROXY": no_proxy}
    assert direct == (proxy_for("http", host, 80, environ) is None)
