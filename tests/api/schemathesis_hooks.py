"""What Schemathesis has to know of this server beside its OpenAPI document."""

import json

import schemathesis

FLOAT_STEP = 1e-6


@schemathesis.deserializer("text/event-stream")
def events(_context, response):
    """The schema of a stream is that of the JSON in one event; `[DONE]` is none."""
    lines = [x.removeprefix("data: ") for x in response.content.decode().split("\n") if x and not x.startswith(":")]
    return [json.loads(x) for x in lines if x != "[DONE]"]


@schemathesis.hook
def before_load_schema(_context, document):
    """Numbers become floats: those next to an open bound would be the bound itself. They are left out, or most
    generated requests would be refused for them."""
    for schema in document["components"]["schemas"].values():
        for field in schema.get("properties", {}).values():
            for bound, step in (("minimum", FLOAT_STEP), ("maximum", -FLOAT_STEP)):
                if field.get("format") == "float" and field.pop("exclusive" + bound.capitalize(), False):
                    field[bound] += step
