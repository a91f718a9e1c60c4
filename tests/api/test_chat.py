"""POST /chat_tokenize: conversations through the model's own chat template."""

import json

import pytest
import requests

from conftest import DEMO

TEMPLATE = """{{- eos_token -}}
{%- for m in messages %}
    {%- if m.role not in ['system', 'user', 'assistant'] %}
        {{- raise_exception('Only friends may speak, not ' + m.role + '!') }}
    {%- endif %}
    {{- '<' + m.role + '>' + m.content }}
{%- endfor %}
{%- if add_generation_prompt %}<assistant>{% endif %}"""


@pytest.fixture
def model(tmp_path):
    """A folder like the demo model's, with chat templates of the test's own."""
    def make(**templates):
        folder = tmp_path / "model"
        folder.mkdir()
        for f in DEMO.iterdir():
            if f.name != "tokenizer_config.json":
                (folder / f.name).symlink_to(f)
        config = json.loads((DEMO / "tokenizer_config.json").read_text())
        config.pop("chat_template")
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        for name, text in templates.items():
            path = folder / ("chat_template.jinja" if name == "default" else f"additional_chat_templates/{name}.jinja")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return folder
    return make


def chat(server, *messages, **more):
    return server.post("/chat_tokenize", {"messages": [dict(zip(("role", "content"), m)) for m in messages], **more})


def test_a_conversation_is_templated_and_tokenized(start, model):
    s = start(model=model(default=TEMPLATE))
    r = chat(s, ("system", "Be kind."), ("user", "Grüß Gott"))
    assert r.status_code == 200, r.text
    body = r.json()
    assert list(body) == ["tokenize_response", "templated_text"]
    text = body["templated_text"]
    assert text.endswith("<system>Be kind.<user>Grüß Gott<assistant>") and not text.startswith("<system>")
    raw = text.encode()
    tokens = body["tokenize_response"]  # several may share a character
    assert {i for t in tokens for i in range(t["start"], t["stop"])} == set(range(len(raw)))
    plain = [t["id"] for t in s.post("/tokenize", {"inputs": text}).json()]  # with bos, which a template writes itself
    assert [t["id"] for t in tokens] == plain[1:]


def test_what_a_template_raises_reaches_the_client(start, model):
    s = start(model=model(default=TEMPLATE))
    r = chat(s, ("critic", "hmm"))
    assert r.status_code == 422
    assert r.json() == {"error": "Template error: Only friends may speak, not critic!", "error_type": "template_error"}
    long = "ä\n" * 3000
    assert chat(s, (long, "hmm")).json()["error"] == f"Template error: Only friends may speak, not {long}!"
    r = chat(s, ("user", None))  # refused before a template could stumble over it
    assert r.status_code == 422 and r.text.endswith("messages[0]: a message needs `content` or `tool_calls`")
    assert s.metric("tgi_request_failure") == 2
    assert chat(s, ("user", "still there?")).status_code == 200


def test_tools_have_a_template_of_their_own(start, model):
    s = start(model=model(default="plain {{ tools }}", tool_use="{{ tools | tojson }}"))
    assert chat(s, ("user", "x")).json()["templated_text"] == "plain None"
    assert chat(s, ("user", "x"), tools=[{"name": "a"}]).json()["templated_text"] == '[{"name": "a"}]'


def test_a_model_without_a_usable_template_says_so(start, model, tmp_path):
    s = start(model=model())
    r = chat(s, ("user", "x"))
    assert r.status_code == 422 and r.json()["error"] == "Template error: template not found"
    (tmp_path / "model/chat_template.jinja").write_text("a\n{% for x in %}")
    s = start(model=tmp_path / "model")
    r = chat(s, ("user", "x"))
    assert r.status_code == 422 and "line 2" in r.json()["error"] and str(tmp_path) not in r.text
    assert "conversations are refused" in s.log()
    assert s.generate("Once", max_new_tokens=1).status_code == 200


@pytest.mark.parametrize("body,status,text", [
    (b"{", 400, "Failed to parse the request body as JSON"),
    (b"{}", 422, "missing field `messages`"),
    (b'{"messages": 1}', 422, "messages: invalid type: integer `1`, expected a sequence"),
])
def test_bodies_of_another_shape(server, body, status, text):
    r = requests.post(server.url + "/chat_tokenize", data=body, headers={"content-type": "application/json"}, timeout=10)
    assert r.status_code == status and text in r.text


def test_a_hostile_template_ends(start, model):
    s = start(model=model(default="{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}"))
    r = chat(s, ("user", "x"))
    assert r.status_code == 422 and r.json()["error_type"] == "template_error"
