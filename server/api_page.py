"""The page at `/docs`: the API in plain HTML, made from the OpenAPI schema. FastAPI's own needs a network to show anything."""

from __future__ import annotations

from html import escape
from typing import Any

from pydantic import TypeAdapter

from server.messages import ClientMessage, ServerMessage
from server.program_feed import Begin, Begun

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}: API</title></head>
<body><h1>{title} {version}</h1>
<p>The schema: <a href="openapi.json">openapi.json</a></p>
<h2>HTTP</h2><dl>{operations}</dl>
<h2>WebSocket /ws</h2>
<p>JSON messages, one session a socket. <code>set</code> and <code>ping</code> also over the data channel "control".</p>
<h3>To the server</h3><dl>{incoming}</dl>
<h3>From the server</h3><dl>{outgoing}</dl>
<h2>WebSocket /api/feed</h2>
<p>For programs: <code>begin</code> first, then int16 mono sound as binary messages and the messages above but <code>offer</code>; back come
<code>begun</code> and the bytes of one container. The README of the folder server/ has an example.</p>
<dl>{feed}</dl>
</body></html>
"""


def api_page(schema: dict[str, Any]) -> str:
    """HTML without scripts or styles."""
    operations = [
        (f"{method.upper()} {path}", operation.get("description") or operation.get("summary", ""))
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
    return _PAGE.format(
        title=escape(schema["info"]["title"]),
        version=escape(schema["info"]["version"]),
        operations=_definitions(operations),
        incoming=_definitions(_messages(TypeAdapter(ClientMessage))),
        outgoing=_definitions(_messages(TypeAdapter(ServerMessage))),
        feed=_definitions(_messages(TypeAdapter(Begin | Begun))),
    )


def _messages(adapter: TypeAdapter[Any]) -> list[tuple[str, str]]:
    """Each message's fields with their types, and those of its parts."""
    found = []
    for name, model in adapter.json_schema()["$defs"].items():
        fields = model.get("properties", {})
        words = ", ".join(f"{key}: {_type(value)}" for key, value in fields.items() if key != "type")
        # What messages are made of stands under its own name.
        found.append((fields["type"].get("const", name) if "type" in fields else name, words))
    return found


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(part) for part in field["anyOf"])
    if "enum" in field:
        return " or ".join(map(str, field["enum"]))
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    return str(field.get("type") or field.get("$ref", "").rsplit("/", 1)[-1])


def _definitions(pairs: list[tuple[str, str]]) -> str:
    return "".join(f"<dt><code>{escape(term)}</code></dt><dd>{escape(words)}</dd>" for term, words in pairs)
