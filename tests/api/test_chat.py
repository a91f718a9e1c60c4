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


# ---- what becomes of messages ----

ROLES = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"


def templated(server, messages, **more):
    r = server.post("/chat_tokenize", {"messages": messages, **more})
    assert r.status_code == 200, r.text
    return r.json()["templated_text"]


def test_parts_become_one_string(start, model):
    s = start(model=model(default=ROLES))
    parts = [{"type": "text", "text": "Grüß"}, {"type": "text", "text": " Gott"}, {"type": "text", "text": ""}]
    assert templated(s, [{"role": "user", "content": parts}]) == "<user>Grüß Gott<assistant>"
    assert templated(s, [{"role": "user", "content": []}]) == "<user><assistant>"
    assert templated(s, [{"role": "user", "content": "![](http://x)"}]) == "<user>![](http://x)<assistant>"  # it is text
    image = {"type": "image_url", "image_url": {"url": "http://x"}}
    r = s.post("/chat_tokenize", {"messages": [{"role": "user", "content": [parts[0], image]}]})
    assert r.status_code == 422 and r.json()["error"].endswith("messages[0].content[1]: image modality is not supported by this model")


def test_developers_are_system_where_a_template_knows_none(start, model, tmp_path):
    s = start(model=model(default=ROLES))
    assert templated(s, [{"role": "developer", "content": "a"}, {"role": "user", "content": "b"}]) == "<system>a<user>b<assistant>"
    (tmp_path / "model/chat_template.jinja").write_text("{# developer #}" + ROLES)
    s = start(model=tmp_path / "model")
    assert templated(s, [{"role": "developer", "content": "a"}]) == "<developer>a<assistant>"


def test_calls_are_content_where_a_template_knows_none(start, model, tmp_path):
    calls = [{"id": "0", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]
    conversation = [{"role": "user", "content": "a"}, {"role": "assistant", "content": None, "tool_calls": calls},
                    {"role": "tool", "content": "4", "tool_call_id": "0"}]
    s = start(model=model(default=ROLES))
    text = templated(s, conversation)
    assert text.startswith("<user>a<assistant>[{") and text.endswith("}]<tool>4<assistant>")
    assert json.loads(text[len("<user>a<assistant>"):-len("<tool>4<assistant>")]) == calls
    assert templated(s, [{"role": "assistant", "content": "b", "tool_calls": calls}, conversation[0]]) == "<assistant>b<user>a<assistant>"
    (tmp_path / "model/chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.content is defined }} {{ m.tool_calls[0].function.name if m.tool_calls }} {{ m.tool_call_id }};{% endfor %}")
    assert templated(start(model=tmp_path / "model"), conversation) == "True  ;False f ;True  0;"


def test_null_members_are_absent(start, model):
    s = start(model=model(default="{% for m in messages %}{{ m.name is defined }}{{ m.tool_calls is defined }}{% endfor %}"))
    assert templated(s, [{"role": "user", "content": "x", "name": None, "tool_calls": None}]) == "FalseFalse"
    assert templated(s, [{"role": "user", "content": "x", "name": "me"}]) == "TrueFalse"


def test_the_last_message_of_the_assistant_is_continued(start, model):
    s = start(model=model(default=ROLES + "<end>"))
    user = {"role": "user", "content": "Name a colour. Blue"}
    assert templated(s, [user, {"role": "assistant", "content": "Blue"}]) == "<user>Name a colour. Blue<assistant>Blue"
    assert templated(s, [user, {"role": "assistant", "content": "Blue \n"}]) == "<user>Name a colour. Blue<assistant>Blue"
    assert templated(s, [user, {"role": "assistant", "content": [{"type": "text", "text": "Blu"}]}]).endswith("<assistant>Blu")
    assert templated(s, [{"role": "assistant", "content": "aa"}, {"role": "user", "content": "aaa"}]).endswith("<end>")
    assert templated(s, [{"role": "user", "content": "aaa"}, {"role": "assistant", "content": "aa"}]).endswith("<assistant>aa")


def test_looking_for_the_last_message_takes_linear_time(start, model):
    """Half a minute of a worker's time, if it did not."""
    s = start(model=model(default="{% for m in messages %}{{ m.content | trim }}\n{% endfor %}"))
    body = {"messages": [{"role": "user", "content": "a" * 500000}, {"role": "assistant", "content": "a" * 200000}]}
    assert len(templated(s, body["messages"])) == 700001


def test_template_kwargs_reach_the_template(start, model):
    s = start(model=model(default="{{ messages[0].content }}|{{ enable_thinking }}|{{ more | default(0) | tojson }}|{{ add_generation_prompt }}"))
    user = [{"role": "user", "content": "x"}]
    assert templated(s, user) == "x||0|True"
    kwargs = {"enable_thinking": False, "more": {"a": [1, "ü", None]}, "add_generation_prompt": False}
    assert templated(s, user, chat_template_kwargs=kwargs) == 'x|False|{"a": [1, "ü", null]}|False'
    assert templated(s, user, chat_template_kwargs=None) == templated(s, user) == templated(s, user, chat_template_kwargs={})
    for bad, text in (({"messages": []}, "`messages` has its own field"), ({"tools": []}, "`tools` has its own field"),
                      ({str(i): i for i in range(65)}, "at most 64 variables")):
        r = s.post("/chat_tokenize", {"messages": user, "chat_template_kwargs": bad})
        assert r.status_code == 422 and text in r.text
    r = s.post("/v1/chat/completions", {"messages": user, "max_tokens": 1, "chat_template_kwargs": {"enable_thinking": True, "more": 0}})
    assert r.status_code == 200 and r.headers["x-compute-characters"] == str(len("x|True|0|True"))
