"""The HTTP API behind a proxy, below a path of it."""

import re
from pathlib import Path

import httpx
import pytest

from hm3_jax.retrieval.server.hosts import Hosts
from tests.commands import code_blocks
from tests.retrieval.proxying import proxied
from tests.retrieval.serving import WordCollection, served
from tests.retrieval.test_pictures import halves, pictures_of, write


@pytest.mark.parametrize(
    ("strips", "root_path"), [(True, ""), (True, "/museums"), (False, "/museums")]
)
def test_everything_is_below_the_path(
    tmp_path: Path, strips: bool, root_path: str
) -> None:
    write(tmp_path / "a.png", halves(8, 8))
    pictures = pictures_of(tmp_path, ["a.png"])
    with (
        served(WordCollection(), pictures, root_path=root_path) as url,
        proxied(url, "/museums", strips=strips) as outside,
        httpx.Client(base_url=outside) as client,
    ):
        page = client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert client.get("/main.js").status_code == 200
        assert client.get("/healthz").json()["status"] == "ok"
        assert client.get("/nothing.html").status_code == 404
        answer = client.post("/api/search", json={"query": "harbour storm"})
        hit = answer.json()["hits"][0]
        museum = client.get(f"/api/museums/{hit['id']}").json()
        addresses = [hit["picture"], hit["thumbnail"]]
        for picture in museum["rooms"][1]["pictures"]:
            addresses += [picture["url"], picture["thumbnail"]]
        for address in addresses:
            # As a browser understands it in the page.
            whole = httpx.URL(f"{outside}/").join(address)
            assert str(whole).startswith(f"{outside}/api/")
            assert client.get(whole).status_code == 200
        document = client.get("/openapi.json").json()
        servers = [{"url": root_path}] if root_path else None
        assert document.get("servers") == servers
        # The server's own address works as well.
        assert httpx.get(f"{url}/healthz").status_code == 200


@pytest.mark.parametrize(
    ("believed", "client_named"),
    [
        ((), "127.0.0.1"),
        (("192.0.2.1",), "127.0.0.1"),
        (("127.0.0.0/8",), "192.0.2.7"),
    ],
)
def test_only_named_proxies_are_believed(
    caplog: pytest.LogCaptureFixture, believed: tuple[str, ...], client_named: str
) -> None:
    with (
        served(WordCollection(), forwarded_allow_ips=believed) as url,
        proxied(url, "/museums", strips=True) as outside,
    ):
        httpx.get(f"{outside}/api/search?query=crash")
    (line,) = [record.message for record in caplog.records]
    assert line == f"GET /api/search from {client_named} failed"


def test_the_name_of_a_proxy_has_to_be_allowed() -> None:
    host = {"Host": "museum.example"}
    with served(WordCollection()) as url:
        assert httpx.get(url, headers=host).status_code == 400
    hosts = Hosts.of("127.0.0.1", ["museum.example"])
    with served(WordCollection(), hosts=hosts) as url:
        assert httpx.get(url, headers=host).status_code == 200


def test_the_guide_s_examples_fit_together(
    repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    guide = repository / "docs" / "serving.md"
    flags = dict(re.findall(r"--(\w+)=(\S+)", code_of(guide, "bash", "--root_path")))
    path, name = flags["root_path"], flags["allowed_hosts"]
    nginx, caddy = code_of(guide, "nginx"), code_of(guide, "caddy")
    # Both leave the path out, and name the host that browsers do.
    assert f"location {path}/ {{\n    proxy_pass http://127.0.0.1:8080/;" in nginx
    assert "proxy_set_header Host $host;" in nginx
    assert caddy.startswith(f"{name} {{\n")
    assert f"handle_path {path}/* {{\n        reverse_proxy 127.0.0.1:8080" in caddy
    with (
        served(
            WordCollection(),
            hosts=Hosts.of("127.0.0.1", [name]),
            root_path=path,
            forwarded_allow_ips=[flags["forwarded_allow_ips"]],
        ) as url,
        proxied(url, path, strips=True) as outside,
        httpx.Client(base_url=outside, headers={"Host": name}) as client,
    ):
        assert client.get("/").status_code == 200
        assert client.get("/api/search?query=king").status_code == 200
        client.get("/api/search?query=crash")
    (line,) = [record.message for record in caplog.records]
    assert line == "GET /api/search from 192.0.2.7 failed"


def code_of(guide: Path, language: str, has: str = "") -> str:
    (block,) = [block for block in code_blocks(guide, language) if has in block]
    return block
