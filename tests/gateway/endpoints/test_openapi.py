"""The description of our own endpoints, and what it promises."""

from __future__ import annotations

from typing import Any

from running_gateway import Start

from turnout.gateway.endpoints.openapi import DESCRIPTION


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*([value["$ref"]] if "$ref" in value else []), *(ref for v in value.values() for ref in _references(v))]
    return [ref for item in value for ref in _references(item)] if isinstance(value, list) else []


async def test_it_is_served_and_names_every_path(start: Start) -> None:
    gateway = await start()
    async with gateway.http.get(gateway.url.removesuffix("/v1") + "/openapi.json") as answer:
        assert await answer.json() == DESCRIPTION
    assert gateway.app.paths() - {"/openapi.json"} <= DESCRIPTION["paths"].keys()


async def test_every_path_is_served_with_its_method(start: Start) -> None:
    gateway = await start()
    for path, operations in DESCRIPTION["paths"].items():
        for method in operations:
            url = gateway.url.removesuffix("/v1") + path.replace("{model}", "auto")
            async with gateway.http.request(method, url, data=b"{}" if method == "post" else None) as answer:
                assert answer.status == (400 if method == "post" else 200)
                other = "get" if method == "post" else "post"
            async with gateway.http.request(other, url) as refused:
                assert (refused.status, refused.headers["allow"]) == (405, method.upper())


def test_what_it_refers_to_is_there() -> None:
    for reference in _references(DESCRIPTION):
        assert reference.removeprefix("#/components/schemas/") in DESCRIPTION["components"]["schemas"]
