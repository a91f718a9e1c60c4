"""The routes of hosting platforms: SageMaker's /invocations, Vertex AI's /vertex and the routes that it names itself."""

import pytest
import requests

from conftest import openai_chunks

PROMPT = "Once upon a time"
USER = [{"role": "user", "content": "What is prompteur?"}]
GREEDY = {"max_new_tokens": 8, "do_sample": False}


def generated(server, prompt=PROMPT):
    return server.generate(prompt, max_new_tokens=8).json()["generated_text"]


def chat(server, **more):
    body = {"messages": USER, "temperature": 0, "max_tokens": 8, **more}
    return server.post("/v1/chat/completions", body).json()["choices"][0]["message"]["content"]


# ---- SageMaker ----

def test_an_invocation_is_the_route_that_its_body_fits(server):
    body = {"inputs": PROMPT, "parameters": GREEDY}
    assert server.post("/invocations", body).json() == server.post("/", body).json() == [{"generated_text": PROMPT + generated(server)}]
    for path, body, kind in (("/v1/chat/completions", {"messages": USER, "max_tokens": 8, "temperature": 0}, "chat.completion"),
                             ("/v1/completions", {"prompt": PROMPT, "max_tokens": 8, "temperature": 0}, "text_completion")):
        r, direct = server.post("/invocations", body), server.post(path, body)
        assert r.json()["object"] == kind and r.json()["choices"] == direct.json()["choices"]
        assert set(r.headers) == set(direct.headers)
    both = server.post("/invocations", {"inputs": PROMPT, "parameters": GREEDY, "messages": USER, "prompt": "x"})
    assert isinstance(both.json(), list)  # TGI's order


def test_invocations_stream(server):
    body = {"inputs": PROMPT, "parameters": GREEDY, "stream": True}
    r = server.post("/invocations", body)
    assert r.content == server.post("/", body).content and b"[DONE]" not in r.content
    chunks = openai_chunks(server.post("/invocations", {"messages": USER, "temperature": 0, "max_tokens": 8, "stream": True}))
    assert "".join(c["choices"][0]["delta"]["content"] for c in chunks) == chat(server)
    chunks = openai_chunks(server.post("/invocations", {"prompt": PROMPT, "temperature": 0, "max_tokens": 8, "stream": True}))
    assert "".join(c["choices"][0]["text"] for c in chunks) == generated(server)


@pytest.mark.parametrize("body,status,text", [
    ({}, 422, "data did not match any variant of untagged enum SagemakerRequest"),
    ([], 422, "data did not match any variant of untagged enum SagemakerRequest"),
    ({"inputs": 5}, 422, "inputs: invalid type: integer `5`, expected a string"),
    ({"inputs": "x", "parameters": {"temperature": 0}}, 422, "`temperature` must be strictly positive"),
    ({"messages": USER, "max_tokens": 0}, 422, "`max_new_tokens` must be strictly positive"),
    ({"prompt": "x", "suffix": "y"}, 422, "Suffix is not supported"),
])
def test_invocations_refuse_as_their_routes_do(server, body, status, text):
    r = server.post("/invocations", body)
    assert r.status_code == status and text in r.text


# ---- Vertex AI ----

def test_vertex_answers_each_instance(server):
    body = {"instances": [{"inputs": PROMPT, "parameters": GREEDY},
                          {"messages": USER, "temperature": 0, "max_tokens": 8},
                          {"inputs": "Hello", "parameters": GREEDY}]}
    r = server.post("/vertex", body)
    assert r.status_code == 200 and r.headers["content-type"] == "application/json"
    assert r.json() == {"predictions": [generated(server), chat(server), generated(server, "Hello")]}
    assert r.headers["x-generated-tokens"] == "24"


def test_vertex_samples_unless_told_otherwise(server):
    def ask(**parameters):
        return server.post("/vertex", {"instances": [{"inputs": PROMPT, "parameters": parameters}]}).json()["predictions"][0]
    texts = {seed: ask(max_new_tokens=24, temperature=2.0, seed=seed) for seed in range(6)}
    assert len(set(texts.values())) > 1 and texts[1] == ask(max_new_tokens=24, temperature=2.0, seed=1)
    assert ask(**GREEDY) == generated(server)
    r = server.post("/vertex", {"instances": [{"inputs": PROMPT, "parameters": None}]})
    assert r.status_code == 200 and len(r.json()["predictions"]) == 1  # as none at all; elsewhere null is refused
    for alone in ({"stream": True}, {"n": 2}, {"logprobs": True}, {"model": "x"}):
        r = server.post("/vertex", {"instances": [{"messages": USER, "temperature": 0, "max_tokens": 8, **alone}]})
        assert r.json() == {"predictions": [chat(server)]}


@pytest.mark.parametrize("body,text", [
    ({}, "missing field `instances`"),
    ({"instances": "x"}, 'instances: invalid type: string "x", expected a sequence'),
    ({"instances": []}, "`instances` cannot be empty"),
    ({"instances": [{}]}, "missing field `inputs`"),
    ({"instances": [5]}, "expected struct GenerateRequest"),
    ({"instances": [{"inputs": "x"}, {"messages": 5}]}, "messages: invalid type: integer `5`, expected a sequence"),
    ({"instances": [{"inputs": "x", "parameters": {"top_p": 2}}]}, "`top_p` must be > 0.0 and < 1.0"),
    ({"instances": [{"messages": USER, "tools": [{}]}]}, "calling tools"),
    ({"instances": [{"messages": USER, "max_tokens": 0}]}, "`max_new_tokens` must be strictly positive"),
    ({"instances": [{"inputs": "x"}] * 129}, "`instances` must be at most 128"),
])
def test_vertex_refuses(server, body, text):
    r = server.post("/vertex", body)
    assert r.status_code == 422 and text in r.text


def test_vertex_counts_the_call_and_its_instances(start):
    s = start("--max-concurrent-requests", "2")
    two = {"instances": [{"inputs": PROMPT, "parameters": GREEDY}] * 2}
    assert s.post("/vertex", two).status_code == 200
    assert s.metric("tgi_request_count") == 3 and s.metric("tgi_request_success") == 2
    assert s.post("/vertex", {"instances": two["instances"] * 2}).status_code == 422


def test_vertex_ai_names_its_routes(start):
    s = start("--api-key", "K", env={"AIP_PREDICT_ROUTE": "/v1/endpoints/7:predict", "AIP_HEALTH_ROUTE": "/v1/endpoints/7"})
    body = {"instances": [{"inputs": PROMPT, "parameters": GREEDY}]}
    r = s.post("/v1/endpoints/7:predict", body)  # behind the platform's own authentication
    assert r.status_code == 200 and list(r.json()) == ["predictions"]
    assert requests.get(s.url + "/v1/endpoints/7", timeout=10).status_code == 200
    assert s.post("/vertex", body).status_code == 401
    assert s.post("/vertex", body, headers={"authorization": "Bearer K"}).json() == r.json()
    assert requests.get(s.url + "/v1/endpoints/8", timeout=10).status_code == 404
