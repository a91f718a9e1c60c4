"""huggingface_hub's InferenceClient, the client that TGI's own documentation shows."""

import asyncio

import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import (HfHubHTTPError, OverloadedError, UnknownError,
                                    ValidationError)

from servers import DEMO, KEY, gone

PROMPT = "Once upon a time"
USER = [{"role": "user", "content": "What is prompteur?"}]


@pytest.fixture(scope="module")
def client(server):
    return InferenceClient(server.url, timeout=60)


# ---- text_generation ----

def test_text(server, client):
    text = client.text_generation(PROMPT, max_new_tokens=12, return_full_text=False)
    assert text and not text.startswith(PROMPT)
    assert client.text_generation(PROMPT, max_new_tokens=12) == PROMPT + text  # TGI's rule for a model of unknown purpose
    assert "".join(client.text_generation(PROMPT, max_new_tokens=12, stream=True)) == text
    assert client.text_generation(PROMPT, max_new_tokens=12, top_k=1, temperature=2.0) == PROMPT + text
    hot = dict(return_full_text=False, max_new_tokens=24, do_sample=True, temperature=1.5, top_p=0.95, typical_p=0.9, repetition_penalty=1.1, seed=3)
    assert client.text_generation(PROMPT, **hot) == client.text_generation(PROMPT, **hot) != text
    assert "".join(client.text_generation(PROMPT, stream=True, **hot)) == client.text_generation(PROMPT, **hot)
    assert text[4:8] in client.text_generation(PROMPT, max_new_tokens=12, stop=[text[4:8]])
    assert client.text_generation("word " * 100 + PROMPT, max_new_tokens=2, truncate=5, frequency_penalty=1.0, watermark=True)


def test_details(client):
    ask = lambda **more: client.text_generation(PROMPT, max_new_tokens=6, details=True, return_full_text=False, **more)
    out = ask(top_n_tokens=2, decoder_input_details=True)
    assert out.details.finish_reason == "length" and out.details.generated_tokens == 6 and out.details.seed is None
    assert "".join(t.text for t in out.details.tokens) == out.generated_text and len(out.details.top_tokens) == 6
    assert out.details.prefill == []  # the server was not told to
    best = ask(best_of=2, do_sample=True)
    assert len(best.details.best_of_sequences) == 1 and best.details.seed is not None
    *events, last = ask(stream=True, top_n_tokens=2)
    assert all(e.details is None and e.generated_text is None for e in events)
    assert last.generated_text == out.generated_text and last.details.finish_reason == "length"
    assert last.details.generated_tokens == 6 and last.details.input_length > 0
    assert [(e.token.id, e.token.text) for e in [*events, last]] == [(t.id, t.text) for t in out.details.tokens]
    assert [t.id for e in [*events, last] for t in e.top_tokens] == [t["id"] for top in out.details.top_tokens for t in top]


def test_a_server_that_gives_the_prompts_logprobs(start):
    out = InferenceClient(start("--enable-prefill-logprobs").url).text_generation(
        PROMPT, max_new_tokens=2, details=True, decoder_input_details=True)
    assert len(out.details.prefill) > 1 and out.details.prefill[0].logprob is None
    assert all(t.logprob <= 0 for t in out.details.prefill[1:])


@pytest.mark.parametrize("stream", [False, True])
def test_text_is_refused_with_the_clients_own_errors(client, narrow, stream):
    def ask(c, **more):
        out = c.text_generation(PROMPT, stream=stream, **more)
        return list(out) if stream else out
    for more, sentence in (({"top_p": 1.0}, "`top_p` must be > 0.0 and < 1.0"),
                           ({"max_new_tokens": 0}, "`max_new_tokens` must be strictly positive"),
                           ({"stop": ["a"] * 5}, "`stop` supports up to 4 stop sequences. Given: 5"),
                           ({"adapter_id": "x"}, "`adapter_id` is not supported by this version"),
                           ({"grammar": {"type": "regex", "value": "a"}}, "`grammar` is not supported by this version")):
        with pytest.raises(ValidationError) as caught:
            ask(client, **more)
        assert str(caught.value) == "Input validation error: " + sentence
    busy = InferenceClient(narrow.url)
    endless = busy.text_generation(PROMPT, max_new_tokens=900, stream=True)
    next(iter(endless))
    with pytest.raises(OverloadedError) as caught:
        ask(busy)
    assert str(caught.value) == "Model is overloaded"
    endless.close()
    gone(narrow)
    with pytest.raises(HfHubHTTPError) as caught:
        busy.text_generation("x" * 20001)
    assert caught.value.response.status_code == 413


# ---- chat_completion ----

def test_chat(client):
    ask = lambda **more: client.chat_completion(USER, **{"max_tokens": 12, "temperature": 0, **more})
    c = ask()
    text = c.choices[0].message.content
    assert c.model == "dummy" and c.choices[0].finish_reason == "length" and c.choices[0].message.role == "assistant"
    assert c.usage.completion_tokens == 12 and c.usage.total_tokens == c.usage.prompt_tokens + 12
    chunks = list(ask(stream=True))
    assert "".join(x.choices[0].delta.content for x in chunks) == text and chunks[-1].choices[0].finish_reason == "length"
    *chunks, last = ask(stream=True, stream_options={"include_usage": True})
    assert last.choices == [] and last.usage.completion_tokens == 12 and chunks[0].usage is None
    assert ask(top_p=1.0, presence_penalty=0.0, frequency_penalty=0.0).choices[0].message.content == text
    hot = [ask(temperature=1.6, seed=4, max_tokens=24).choices[0].message.content for _ in range(2)]
    assert hot[0] == hot[1]
    assert len(ask(n=2, seed=4, temperature=1.6).choices) == 2
    assert ask(stop=[" is"]).choices[0].finish_reason == "stop_sequence"
    told = ask(logprobs=True, top_logprobs=2).choices[0].logprobs.content
    assert "".join(t.token for t in told) == text and len(told[0].top_logprobs) == 2
    tool = {"type": "function", "function": {"name": "f", "description": "", "parameters": {}}}
    assert ask(tools=[tool], tool_choice="none").choices[0].message.content == text
    assert ask(extra_body={"top_k": 1}, temperature=2.0).choices[0].message.content == text
    same = client.chat.completions.create(model="gpt-4", messages=USER, max_tokens=12, temperature=0)
    assert same.choices[0].message.content == text
    conversation = [{"role": "system", "content": "Be brief."}, *USER, {"role": "assistant", "content": "A server."},
                    {"role": "user", "content": [{"type": "text", "text": "Really?"}]}]
    assert client.chat_completion(conversation, max_tokens=4).choices[0].message.content


def test_chat_is_refused_readably(client, narrow):
    for more, sentence in (({"max_tokens": 0}, "`max_new_tokens` must be strictly positive"), ({"n": 129}, "`n` must be > 0 and <= 128. Given: 129"),
                           ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}},
                            "a `response_format` other than text is not supported by this version")):
        with pytest.raises(HfHubHTTPError) as caught:
            client.chat_completion(USER, **more)
        assert caught.value.response.status_code == 422 and "Input validation error: " + sentence in str(caught.value)
        with pytest.raises(UnknownError) as caught:
            list(client.chat_completion(USER, **more, stream=True))
        assert "Input validation error: " + sentence in str(caught.value)
    tool = {"type": "function", "function": {"name": "f", "description": "", "parameters": {}}}
    for stream in (False, True):
        with pytest.raises(HfHubHTTPError) as caught:
            client.chat_completion(USER, tools=[tool], stream=stream)
        assert "Tool error: calling tools" in str(caught.value)
    with pytest.raises(HfHubHTTPError) as caught:
        InferenceClient(narrow.url).chat_completion(USER, n=2)
    assert caught.value.response.status_code == 429 and "Model is overloaded" in str(caught.value)


# ---- the rest ----

def test_what_the_server_is(server):
    client = InferenceClient(server.url, provider="hf-inference")  # the only one that it asks such things
    info = client.get_endpoint_info()
    assert info["model_id"] == str(DEMO) and info["router"] == "text-generation-router"
    assert isinstance(info["max_total_tokens"], int) and isinstance(info["version"], str)
    assert client.health_check() is True


def test_keys(keyed):
    assert InferenceClient(keyed.url, token=KEY).text_generation(PROMPT, max_new_tokens=2)
    assert InferenceClient(base_url=keyed.url, api_key=KEY).chat_completion(USER, max_tokens=2).choices
    for ask in (lambda c: c.text_generation(PROMPT), lambda c: c.chat_completion(USER), lambda c: list(c.text_generation(PROMPT, stream=True))):
        with pytest.raises(HfHubHTTPError) as caught:
            ask(InferenceClient(keyed.url, token="wrong"))
        assert caught.value.response.status_code == 401


def test_async(server, client):
    async def all_at_once():
        async with AsyncInferenceClient(server.url, timeout=60) as c:
            async def text():
                return "".join([x async for x in await c.text_generation(PROMPT, max_new_tokens=12, stream=True)])

            async def chat():
                stream = await c.chat_completion(USER, max_tokens=12, temperature=0, stream=True)
                return "".join([x.choices[0].delta.content async for x in stream])
            with pytest.raises(ValidationError):
                await c.text_generation(PROMPT, top_k=0)
            whole = c.text_generation(PROMPT, max_new_tokens=12, return_full_text=False)
            return await asyncio.gather(text(), text(), whole, chat(), chat())
    *texts, one, two = asyncio.run(all_at_once())
    assert set(texts) == {client.text_generation(PROMPT, max_new_tokens=12, return_full_text=False)}
    assert one == two == client.chat_completion(USER, max_tokens=12, temperature=0).choices[0].message.content


@pytest.mark.parametrize("route", ["text", "chat"])
def test_a_stream_that_is_left(start, route):
    s = start("--max-concurrent-requests", "1")
    client = InferenceClient(s.url)
    if route == "text":
        stream = client.text_generation(PROMPT, max_new_tokens=900, stream=True)
    else:
        stream = client.chat_completion(USER, max_tokens=900, stream=True, extra_body={"logit_bias": {"1": -100, "3": -100}})
    next(iter(stream))
    stream.close()
    gone(s)
