"""The OpenAPI document as JSON Schema: validators for its schemas."""

import jsonschema


def to_json_schema(node):
    """OpenAPI 3.0's own keywords in JSON Schema's words."""
    if isinstance(node, list):
        return [to_json_schema(x) for x in node]
    if not isinstance(node, dict):
        return node
    schema = {k: to_json_schema(v) for k, v in node.items() if k not in ("nullable", "example", "default")}
    for bound in ("Minimum", "Maximum"):
        if schema.pop("exclusive" + bound, None) is True:
            schema["exclusive" + bound] = schema.pop(bound.lower())
    return {"anyOf": [schema, {"type": "null"}]} if node.get("nullable") is True else schema


def validator(document, schema):
    """For a schema's name, or a schema that refers to others of the document."""
    schema = {"$ref": f"#/components/schemas/{schema}"} if isinstance(schema, str) else to_json_schema(schema)
    schemas = {k: to_json_schema(v) for k, v in document["components"]["schemas"].items()}
    return jsonschema.Draft202012Validator({**schema, "components": {"schemas": schemas}})
