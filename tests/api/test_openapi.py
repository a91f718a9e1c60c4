"""The OpenAPI document: valid, of the routes that there are, true of what the server takes and gives, and a superset
of TGI's own document."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import requests
from openapi_schema import validator
from openapi_spec_validator import validate

from conftest import PROGRAM, ROOT

CHAT = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 3}


@pytest.fixture(scope="module")
def document(server):
    return requests.get(server.url + "/api-doc/openapi.json", timeout=10).json()


def operations(document):
    return [(method, path, op) for path, ops in document["paths"].items() for method, op in ops.items()]


def routes(kind):
    text = (ROOT / "src/api/routes.def").read_text()
    if kind == "PAGE":
        return re.findall(r'^PAGE\("([^"]+)"', text, re.M)
    return {(m.lower(), p) for m, p in re.findall(r'^ROUTE\("(\w+)", "([^"]+)"', text, re.M)}


# ---- the document ----


def test_the_document_is_valid(document):
    validate(document)
    tags = {x["name"] for x in document["tags"]}
    assert all(set(op["tags"]) <= tags for _, _, op in operations(document))


def test_routes_and_documentation_are_the_same(server, document):
    assert {(m, p) for m, p, _ in operations(document)} == routes("ROUTE")
    for method, path, op in operations(document):
        answer = requests.request(method, server.url + path, json={} if method == "post" else None, timeout=60)
        assert str(answer.status_code) in op["responses"], (method, path, answer.status_code)
        assert ("security" in op) == ("401" in op["responses"]) == (method == "post")
    for path in routes("PAGE"):
        answer = requests.get(server.url + path, timeout=10, allow_redirects=False)
        assert answer.status_code == (303 if path == "/docs" else 200), path


def test_platforms_routes_are_documented(start):
    names = {"AIP_PREDICT_ROUTE": "/v1/endpoints/7:predict", "AIP_HEALTH_ROUTE": "/v1/endpoints/7"}
    s = start(env=names)
    document = requests.get(s.url + "/api-doc/openapi.json", timeout=10).json()
    validate(document)
    paths = document["paths"]
    predict = paths[names["AIP_PREDICT_ROUTE"]]["post"]
    assert predict["requestBody"] == paths["/vertex"]["post"]["requestBody"] and "security" not in predict
    assert "503" in paths[names["AIP_HEALTH_ROUTE"]]["get"]["responses"]


def test_strict_errors_are_documented(start):
    s = start("--strict-openai")
    document = requests.get(s.url + "/api-doc/openapi.json", timeout=10).json()
    validate(document)
    errors = validator(document, "OpenAiErrorResponse")
    for path in ("/v1/chat/completions", "/v1/completions"):
        documented = document["paths"][path]["post"]["responses"]
        for body in ({}, {**CHAT, "prompt": "Hello", "top_p": 7}):
            answer = s.post(path, body)
            content = documented[str(answer.status_code)]["content"]["application/json"]
            assert content["schema"] == {"$ref": "#/components/schemas/OpenAiErrorResponse"}
            errors.validate(answer.json())


def test_print_schema_is_the_same_document(document):
    done = subprocess.run([PROGRAM, "print-schema"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == document and done.stderr == ""


# ---- what the server takes ----

REQUESTS = {
    "/generate": ("GenerateRequest", {"inputs": "Hello", "parameters": {"max_new_tokens": 1}}),
    "/": ("CompatGenerateRequest", {"inputs": "Hello", "parameters": {"max_new_tokens": 1}}),
    "/v1/chat/completions": ("ChatRequest", {**CHAT, "max_tokens": 1}),
    "/v1/completions": ("CompletionRequest", {"prompt": "Hello", "max_tokens": 1}),
}
# read by nothing here yet, or by the chat template alone
UNREAD = {"tool_prompt", "tool_choice", "tools", "response_format"}
# may not stand beside max_tokens: the same thing
OTHERWISE_NAMED = {"max_completion_tokens": "max_tokens"}


def fields(document, path):
    """(name, schema, a request's body with the field set to a value) of each field of a route's request."""
    schema, base = REQUESTS[path]
    for name, field in document["components"]["schemas"][schema]["properties"].items():
        yield name, field, lambda x, n=name: {k: v for k, v in {**base, n: x}.items() if k != OTHERWISE_NAMED.get(n)}
    if "parameters" in base:
        for name, field in document["components"]["schemas"]["GenerateParameters"]["properties"].items():
            yield name, field, lambda x, n=name: {**base, "parameters": {**base["parameters"], n: x}}


def is_shape_error(answer):
    return answer.status_code == 422 and answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("path", REQUESTS)
def test_fields_are_nullable_as_documented(server, document, path):
    for name, field, body in fields(document, path):
        answer = server.post(path, body(None))
        assert is_shape_error(answer) == (not field.get("nullable")), (name, answer.text)
        assert answer.status_code in (200, 422), (name, answer.text)
        assert not field.get("nullable") or answer.status_code == 200, (name, answer.text)


@pytest.mark.parametrize("path", REQUESTS)
def test_fields_have_the_documented_types(server, document, path):
    values = [True, 7, 7.5, "7", ["7"], {"7": 1}]
    for name, field, body in fields(document, path):
        valid = validator(document, field)
        for x in values:
            answer = server.post(path, body(x))
            if name not in UNREAD and not valid.is_valid(x):
                assert answer.status_code in (400, 422), (name, x, answer.text)
            if valid.is_valid(x):
                assert not is_shape_error(answer), (name, x, answer.text)


@pytest.mark.parametrize("path", REQUESTS)
def test_bounds_are_as_documented(server, document, path):
    """One step beyond a bound is refused, the bound itself is not (but for what the server's limits say)."""
    limited = {"best_of", "n", "top_n_tokens", "top_logprobs", "logprobs", "truncate"} | {
        "max_new_tokens", "max_tokens", "max_completion_tokens"}
    for name, field, body in fields(document, path):
        step = 1 if field.get("type") == "integer" else 0.01
        for bound, sign in (("minimum", -1), ("maximum", 1)):
            if bound not in field:
                continue
            is_open = field.get("exclusive" + bound.capitalize())
            inside, outside = field[bound] - sign * step * bool(is_open), field[bound] + sign * step * (not is_open)
            assert server.post(path, body(outside)).status_code in (400, 422), (name, outside)
            if name not in limited:
                answer = server.post(path, body(inside))
                assert answer.status_code == 200, (name, inside, answer.text)


# ---- what the server gives ----


def event_bodies(answer):
    lines = [x.removeprefix("data: ") for x in answer.text.split("\n") if x.startswith("data: ")]
    return [json.loads(x) for x in lines if x != "[DONE]"]


def check_answer(document, method, path, answer):
    """Body and content type are what the document says of that status."""
    response = document["paths"][path][method]["responses"][str(answer.status_code)]
    media = answer.headers.get("content-type", "").split(";")[0]
    if "content" not in response:
        return answer.content == b""
    schema = validator(document, response["content"][media]["schema"])
    bodies = {"application/json": answer.json, "text/event-stream": lambda: event_bodies(answer)}
    body = bodies.get(media, lambda: answer.text)()
    for x in body if media == "text/event-stream" else [body]:
        schema.validate(x)
    return True


ASKED = [
    ("/generate", {"inputs": "Hello"}),
    ("/generate", {"inputs": "Hello", "parameters": {"details": True, "top_n_tokens": 2, "decoder_input_details": True}}),
    ("/generate", {"inputs": "Hello", "parameters": {"details": True, "best_of": 2, "do_sample": True, "max_new_tokens": 4}}),
    ("/generate", {"inputs": "", "parameters": {}}),
    ("/generate", {"inputs": 1}),
    ("/generate_stream", {"inputs": "Hello", "parameters": {"details": True, "top_n_tokens": 2, "max_new_tokens": 4}}),
    ("/generate_stream", {"inputs": ""}),
    ("/", {"inputs": "Hello", "parameters": {"max_new_tokens": 4}}),
    ("/", {"inputs": "Hello", "stream": True, "parameters": {"max_new_tokens": 4}}),
    ("/tokenize", {"inputs": "Hello wörld"}),
    ("/chat_tokenize", CHAT),
    ("/chat_tokenize", {"messages": 1}),
    ("/v1/chat/completions", {**CHAT, "logprobs": True, "top_logprobs": 2, "n": 2}),
    ("/v1/chat/completions", {**CHAT, "logprobs": True, "stream": True, "stream_options": {"include_usage": True}}),
    ("/v1/chat/completions", {**CHAT, "stream": True, "top_p": 7}),
    ("/v1/chat/completions", {**CHAT, "tools": [{"type": "function", "function": {"name": "f"}}]}),
    ("/v1/completions", {"prompt": ["Hello", "you"], "logprobs": 2, "max_tokens": 3}),
    ("/v1/completions", {"prompt": [1, 2, 3], "stream": True, "logprobs": 1, "max_tokens": 3}),
    ("/v1/completions", {"prompt": "Hello", "suffix": "x"}),
    ("/v1/completions", {"prompt": "Hello", "stream": True, "top_p": 7}),
    ("/invocations", {"inputs": "Hello", "parameters": {"max_new_tokens": 3}}),
    ("/invocations", {**CHAT, "stream": True}),
    ("/invocations", {"prompt": "Hello", "max_tokens": 3}),
    ("/invocations", {}),
    ("/vertex", {"instances": [{"inputs": "Hello", "parameters": {"max_new_tokens": 3}}, CHAT]}),
    ("/vertex", {"instances": []}),
]


def test_answers_are_as_documented(server, document):
    for path, body in ASKED:
        assert check_answer(document, "post", path, server.post(path, body)), (path, body)
    for method, path, _ in operations(document):
        if method == "get":
            assert check_answer(document, "get", path, requests.get(server.url + path, timeout=10)), path
    for headers, body in (({"content-type": "text/plain"}, "{}"), ({"content-type": "application/json"}, "{")):
        for path in ("/generate", "/v1/chat/completions", "/vertex", "/tokenize"):
            answer = requests.post(server.url + path, data=body, headers=headers, timeout=10)
            assert answer.status_code in (400, 415)
            assert check_answer(document, "post", path, answer)


# ---- TGI's document ----

TGI = Path(os.environ.get("PROMPTEUR_TESTDATA", "/nonexistent")).parent / "reference/tgi-openapi.json"

# Where TGI's document is not what TGI's server does, or this server's answer is meant to differ.
NEVER_SENT = "TGI's server never answers so either"
EVENTS_ONLY = "errors of a stream are events of a 200, in TGI's server too"
DIFFERENCES = {
    "post /generate_stream 422 text/event-stream: missing": EVENTS_ONLY,
    "post /generate_stream 424 text/event-stream: missing": EVENTS_ONLY,
    "post /generate_stream 429 text/event-stream: missing": EVENTS_ONLY,
    "post /generate_stream 500 text/event-stream: missing": EVENTS_ONLY,
    "post /tokenize 404: missing": NEVER_SENT,
    "post /chat_tokenize 404: missing": NEVER_SENT,
    "get /v1/models 404: missing": NEVER_SENT,
    **{f"get /v1/models 200.{x}: missing": "TGI's server answers a list of these" for x in ("created", "id", "owned_by")},
    "get /v1/models 200: may lack created": "TGI's server answers a list of these",
    "get /v1/models 200: may lack id": "TGI's server answers a list of these",
    "get /v1/models 200: may lack owned_by": "TGI's server answers a list of these",
    "ChatRequest.logit_bias: refuses array": "TGI ignores its array; OpenAI's object says what to do",
    **{f"ChatCompletion{x}.logprob: may be null": "minus infinity, of what a filter took out: TGI's server writes null too"
       for x in ("Logprob", "TopLogprob")},
    "CompletionComplete.finish_reason: may be null": "with --strict-openai, as OpenAI's streams say it",
    "CompletionComplete.logprobs: gives object": "TGI gives null only; this is OpenAI's object",
    "SagemakerResponse: without GenerateResponse": "TGI's server answers `inputs` with a list of one",
}

ANY = frozenset(("null", "boolean", "integer", "number", "string", "array", "object"))


def resolved(document, schema):
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].split("/")[-1]]
    return schema


def alternatives(document, schema):
    schema = resolved(document, schema)
    return schema.get("anyOf", schema.get("oneOf", []))


def any_of(schemas):
    return {"anyOf": schemas} if len(schemas) > 1 else schemas[0]


class Shape:
    """What a schema says, with its references and alternatives looked through."""

    def __init__(self, document, schema):
        self.types, self.required, self.enum = set(ANY), set(), None
        self.properties, self.items = {}, []
        schema = resolved(document, schema)
        if "type" in schema:
            self.types = {schema["type"]} | ({"integer"} if schema["type"] == "number" else set())
        self.required = set(schema.get("required", []))
        self.enum = {x for x in schema["enum"] if x is not None} if "enum" in schema else None
        self.properties = {k: [v] for k, v in schema.get("properties", {}).items()}
        self.items = [schema["items"]] if "items" in schema else []
        for part in schema.get("allOf", []):
            self.add(Shape(document, part), set.intersection, set.union)
        some = [Shape(document, x) for x in alternatives(document, schema)]
        for other in some[1:]:
            some[0].add(other, set.union, set.intersection)
            some[0].enum = some[0].enum | other.enum if some[0].enum and other.enum else None
        if some:
            self.add(some[0], set.intersection, set.union)
        self.nullable = bool(schema.get("nullable")) or self.types == ANY
        self.types -= {"null"}

    def add(self, other, of_types, of_required):
        self.types = of_types(self.types, other.types)
        self.required = of_required(self.required, other.required)
        self.enum = self.enum or other.enum
        self.items = self.items + other.items
        for k, v in other.properties.items():
            self.properties[k] = self.properties.get(k, []) + v


class Comparison:
    def __init__(self, ours, theirs):
        self.ours, self.theirs, self.found, self.seen = ours, theirs, set(), set()

    def schema(self, ours, theirs, where, is_request):
        if "$ref" in theirs:
            name = theirs["$ref"].split("/")[-1]
            where = where if "models" in where else name
            if (name, is_request) in self.seen:
                return
            self.seen.add((name, is_request))
        named = [x for x in alternatives(self.theirs, theirs) if "$ref" in x]
        if named:
            known = alternatives(self.ours, ours)
            self.found |= {f"{where}: without {x['$ref'].split('/')[-1]}" for x in named if x not in known}
            for x in [x for x in named if x in known]:
                self.schema(x, x, where, is_request)
            return
        a, b = Shape(self.ours, ours), Shape(self.theirs, theirs)
        taken, given = (b, a) if is_request else (a, b)  # what the one sends the other has to know
        verb = "refuses" if is_request else "gives"
        self.found |= {f"{where}: {verb} {x}" for x in taken.types - given.types if taken.types != ANY - {"null"}}
        if taken.nullable and not given.nullable:
            self.found.add(f"{where}: " + ("refuses null" if is_request else "may be null"))
        self.found |= {f"{where}: {'wants' if is_request else 'may lack'} {x}" for x in given.required - taken.required}
        if given.enum and (not taken.enum or not taken.enum <= given.enum):
            self.found.add(f"{where}: {verb} other values")
        for name, schemas in b.properties.items():
            if name not in a.properties:
                self.found.add(f"{where}.{name}: missing")
                continue
            self.schema(any_of(a.properties[name]), any_of(schemas), f"{where}.{name}", is_request)
        if a.items and b.items:
            self.schema(any_of(a.items), any_of(b.items), f"{where}[]", is_request)

    def content(self, ours, theirs, where, is_request):
        for media, content in theirs.items():
            if media not in ours:
                self.found.add(f"{where} {media}: missing")
                continue
            schema = ours[media]["schema"]
            if media == "text/event-stream" and schema != content["schema"]:  # TGI's document has no errors inside
                parts = alternatives(self.ours, schema)
                schema = {"oneOf": [x for x in parts if not x["$ref"].endswith(("ErrorResponse", "StreamError"))]}
            self.schema(schema, content["schema"], where, is_request)

    def operation(self, ours, theirs, where):
        if not set(theirs["tags"]) <= set(ours["tags"]) or theirs["operationId"] != ours["operationId"]:
            self.found.add(f"{where}: other name")
        if "requestBody" in theirs:
            self.content(ours["requestBody"]["content"], theirs["requestBody"]["content"], where, True)
        for status, response in theirs["responses"].items():
            if status not in ours["responses"]:
                self.found.add(f"{where} {status}: missing")
            else:
                mine = ours["responses"][status].get("content", {})
                self.content(mine, response.get("content", {}), f"{where} {status}", False)


def superset_differences(ours, theirs):
    c = Comparison(ours, theirs)
    for method, path, op in operations(theirs):
        if method not in ours["paths"].get(path, {}):
            c.found.add(f"{method} {path}: missing")
        else:
            c.operation(ours["paths"][path][method], op, f"{method} {path}")
    c.found |= {f"schema {x}: missing" for x in theirs["components"]["schemas"] if x not in ours["components"]["schemas"]}
    return c.found


@pytest.mark.skipif(not TGI.exists(), reason="TGI's OpenAPI document is not here (looked for beside PROMPTEUR_TESTDATA)")
def test_superset_of_tgi(document):
    assert superset_differences(document, json.loads(TGI.read_text())) == set(DIFFERENCES)


def test_the_comparison_finds_differences(document):
    """Whatever is taken out of the document is missed."""
    whole = json.dumps(document)
    assert superset_differences(json.loads(whole), json.loads(whole)) == set()

    def without(change):
        less = json.loads(whole)
        change(less)
        return superset_differences(less, json.loads(whole))

    def without_schema(change):
        return without(lambda d: change(d["components"]["schemas"]))

    assert without(lambda d: d["paths"].pop("/info")) == {"get /info: missing"}
    assert without(lambda d: d["paths"]["/info"]["get"]["responses"].pop("200")) == {"get /info 200: missing"}
    assert without_schema(lambda d: d["Token"]["properties"].pop("id")) >= {"Token.id: missing"}
    assert without_schema(lambda d: d["Token"]["required"].remove("id")) == {"Token: may lack id"}
    assert without_schema(lambda d: d["ChatRequest"]["required"].append("model")) == {"ChatRequest: wants model"}
    assert without_schema(lambda d: d["Prompt"]["anyOf"].pop(0)) == {"Prompt: refuses string"}
    assert without_schema(lambda d: d["ChatRequest"]["properties"]["seed"].pop("nullable")) == {
        "ChatRequest.seed: refuses null"}


# ---- the page ----


def test_docs_page(server):
    answer = requests.get(server.url + "/docs", timeout=10)
    assert answer.url == server.url + "/docs/" and answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    for name in ("", "docs.css", "palette.css", "docs.js"):
        text = requests.get(server.url + "/docs/" + name, timeout=10).text
        assert not re.search(r"https?://|innerHTML|<script>|\bstyle=", text.replace("http://www.w3.org/2000/svg", "")), name
