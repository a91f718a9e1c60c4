"""The openai package: what its users call, and what they see when it is refused."""

import asyncio
import functools

import openai
import pytest

from servers import DEMO, KEY, gone

USER = [{"role": "user", "content": "What is prompteur?"}]
ASK = {"model": "tgi", "messages": USER, "temperature": 0, "max_tokens": 12}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


@functools.cache
def connect(kind, url, api_key):
    return kind(base_url=url + "/v1", api_key=api_key, max_retries=0, timeout=60)


def client(server, api_key="unused"):
    return connect(openai.OpenAI, server.url, api_key)


def async_client(server):
    return connect.__wrapped__(openai.AsyncOpenAI, server.url, "unused")


@pytest.fixture(scope="module")
def ask(server):
    return lambda **more: client(server).chat.completions.create(**{**ASK, **more})


def text_of(completion):
    return completion.choices[0].message.content


def joined(chunks):
    return "".join(c.choices[0].delta.content for c in chunks if c.choices)


# ---- chat ----

def test_a_chat(server, ask):
    c = ask()
    assert c.object == "chat.completion" and c.model == str(DEMO) and c.id.startswith("chatcmpl-")
    assert c.choices[0].finish_reason == "length" and c.choices[0].message.role == "assistant"
    assert c.usage.completion_tokens == 12 and c.usage.total_tokens == c.usage.prompt_tokens + 12
    assert c.usage.prompt_tokens_details.cached_tokens >= 0 and c.system_fingerprint
    assert text_of(ask(max_tokens=openai.omit, max_completion_tokens=12)) == text_of(c)
    assert text_of(ask(top_p=1, presence_penalty=0, frequency_penalty=0, logit_bias={}, n=1)) == text_of(c)
    assert joined(ask(stream=True)) == text_of(c)


def test_whoever_speaks_and_however(ask):
    conversation = [{"role": "system", "content": "Be brief."}, *USER, {"role": "assistant", "content": "A server."},
                    {"role": "user", "content": [{"type": "text", "text": "What "}, {"type": "text", "text": "is it?"}]}]
    c = ask(messages=conversation)
    assert text_of(c) and c.usage.prompt_tokens > ask().usage.prompt_tokens
    same = [{"role": "developer", "content": "Be brief.", "name": "me"}, *conversation[1:3], {"role": "user", "content": "What is it?"}]
    assert text_of(ask(messages=same)) == text_of(c) and ask(messages=same).usage.prompt_tokens == c.usage.prompt_tokens
    call = {"id": "0", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert text_of(ask(messages=[*USER, {"role": "assistant", "content": None, "tool_calls": [call]},
                                 {"role": "tool", "tool_call_id": "0", "content": "4"}]))


def test_stop(ask):
    whole = text_of(ask(max_tokens=30))
    for stop in (" server", [" server"], ["nowhere", " server"]):
        c = ask(max_tokens=30, stop=stop)
        assert c.choices[0].finish_reason == "stop_sequence" and text_of(c).endswith(" server") and whole.startswith(text_of(c))


def test_seeds_and_several_answers(ask):
    def hot(**more):
        return ask(temperature=1.6, seed=11, max_tokens=24, **more)
    assert text_of(hot()) == text_of(hot()) and text_of(hot()) != text_of(ask(max_tokens=24))
    two = hot(n=2)
    assert [c.index for c in two.choices] == [0, 1] and two.choices[0].message.content != two.choices[1].message.content
    streamed = ["", ""]
    for chunk in hot(n=2, stream=True):
        streamed[chunk.choices[0].index] += chunk.choices[0].delta.content
    assert streamed == [c.message.content for c in two.choices]


def test_logit_bias(server, ask):
    first = ask(logprobs=True, max_tokens=1).choices[0].logprobs.content[0].token
    [token] = [t["id"] for t in server.post("/tokenize", {"inputs": first}).json()][-1:]
    assert text_of(ask(max_tokens=4, logit_bias={str(token): 100})) == first * 4
    assert not text_of(ask(logit_bias={token: -100})).startswith(first)


def test_logprobs(ask):
    c = ask(logprobs=True, top_logprobs=3)
    content = c.choices[0].logprobs.content
    assert b"".join(bytes(t.bytes) for t in content).decode() == text_of(c)
    assert all(t.logprob <= 0 and len(t.top_logprobs) == 3 and t.top_logprobs[0].token == t.token for t in content)
    streamed = [t for chunk in ask(logprobs=True, top_logprobs=3, stream=True) for t in chunk.choices[0].logprobs.content]
    assert [(t.token, t.logprob) for t in streamed] == [(t.token, t.logprob) for t in content]


def test_the_usage_of_a_stream(ask):
    *chunks, last = ask(stream=True, stream_options={"include_usage": True})
    assert all(c.usage is None for c in chunks) and last.choices == [] and last.usage.completion_tokens == 12
    assert joined(chunks) == text_of(ask())


def test_the_streams_of_the_helper(server, ask):
    with client(server).chat.completions.stream(**{**ASK, "max_tokens": 200}) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert kinds[-1] == "content.done" and "content.delta" in kinds
    assert text_of(final) == text_of(ask(max_tokens=200)) and final.choices[0].finish_reason == "stop"


def test_unknown_members_and_models(ask):
    assert ask(model="gpt-4o").model == "gpt-4o" and ask(model="dummy").model == "dummy"
    plain = text_of(ask())
    assert text_of(ask(extra_body={"top_k": 0, "guided": {"a": [None]}}, user="me", store=False, metadata={"a": "b"},
                       parallel_tool_calls=True, reasoning_effort="low", service_tier="auto")) == plain
    assert text_of(ask(tools=[TOOL], tool_choice="none")) == plain
    assert text_of(ask(response_format={"type": "text"})) == plain
    assert text_of(ask(extra_body={"top_k": 1}, temperature=2)) == plain


# ---- completions ----

def test_completions(server):
    complete = lambda prompt, **more: client(server).completions.create(
        model="tgi", prompt=prompt, **{"temperature": 0, "max_tokens": 8, **more})
    one = complete("Once upon a time")
    text = one.choices[0].text
    assert one.object == "text_completion" and one.choices[0].finish_reason == "length" and one.usage.completion_tokens == 8
    ids = [t["id"] for t in server.post("/tokenize", {"inputs": "Once upon a time"}).json()]
    assert complete(ids).choices[0].text == text
    for prompts in (["Once upon a time", "Hello"], [ids, ids]):
        many = complete(prompts)
        assert len(many.choices) == 2 and many.choices[0].text == text and many.usage.completion_tokens == 16
    assert complete("Once upon a time", echo=True).choices[0].text == "Once upon a time" + text
    assert text[3:6] in complete("Once upon a time", stop=text[3:6]).choices[0].text
    told = complete("Once upon a time", logprobs=2).choices[0].logprobs
    assert "".join(told.tokens) == text and told.text_offset[0] == 0 and len(told.top_logprobs[0]) == 2
    streamed = ["", ""]
    usage = []
    for chunk in complete(["Once upon a time", "Hello"], stream=True):
        streamed[chunk.choices[0].index] += chunk.choices[0].text
        usage += [chunk.usage] if chunk.usage else []
    assert streamed[0] == text and len(usage) == 2
    *_, last = complete("Once", stream=True, stream_options={"include_usage": True})
    assert last.choices == [] and last.usage.completion_tokens == 8
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        complete("x", suffix="y")
    assert refused.value.body == "Suffix is not supported and can be achieved by preprocessing the prompt."


def test_models(server):
    [model] = client(server).models.list()
    assert model.id == str(DEMO) and model.object == "model"


# ---- async ----

def test_async(server, ask):
    async def all_at_once():
        async with async_client(server) as c:
            async def streamed():
                return "".join([x.choices[0].delta.content async for x in await c.chat.completions.create(**ASK, stream=True)])
            whole = c.chat.completions.create(**ASK)
            text = c.completions.create(model="tgi", prompt="Once", temperature=0, max_tokens=4)
            return await asyncio.gather(whole, text, *[streamed() for _ in range(6)])
    whole, text, *streams = asyncio.run(all_at_once())
    assert set(streams) == {text_of(whole)} == {text_of(ask())} and text.choices[0].text


@pytest.mark.parametrize("is_async", [False, True])
def test_a_stream_that_is_left(start, is_async):
    s = start("--max-concurrent-requests", "1")
    endless = {**ASK, "max_tokens": 900, "stream": True, "logit_bias": {"1": -100, "3": -100}}

    def leave():
        with client(s).chat.completions.create(**endless) as stream:
            next(iter(stream))

    async def leave_async():
        async with async_client(s) as c:
            async with await c.chat.completions.create(**endless) as stream:
                async for _ in stream:
                    break
    if is_async:
        asyncio.run(leave_async())
    else:
        leave()
    gone(s)
    assert text_of(client(s).chat.completions.create(**ASK))


# ---- refusals ----

def refused(kind, call):
    with pytest.raises(kind) as caught:
        result = call()
        if not hasattr(result, "choices"):
            list(result)
    return caught.value


REFUSED = [
    ({"max_tokens": 0}, "Input validation error: `max_new_tokens` must be strictly positive"),
    ({"temperature": -1}, "Input validation error: `temperature` must be strictly positive"),
    ({"n": 129}, "Input validation error: `n` must be > 0 and <= 128. Given: 129"),
    ({"logprobs": True, "top_logprobs": 6}, "Input validation error: `top_n_tokens` must be >= 0 and <= 5. Given: 6"),
    ({"tools": [TOOL]}, 'Tool error: calling tools (`tool_choice` other than "none") is not supported by this version'),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}},
     "Input validation error: a `response_format` other than text is not supported by this version"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]},
     "Input validation error: messages[0].content[0]: image modality is not supported by this model"),
]


@pytest.mark.parametrize("more,sentence", REFUSED)
def test_values_are_refused_as_tgi_does(server, ask, more, sentence):
    e = refused(openai.UnprocessableEntityError, lambda: ask(**more))
    assert e.status_code == 422 and e.body == sentence  # TGI's error is a string: the client keeps it as the body
    e = refused(openai.APIError, lambda: ask(**more, stream=True))
    assert (e.body == sentence and e.status_code == 422) if "tools" in more else (
        e.message == sentence and e.body == {"message": sentence, "http_status_code": 422})


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("more,sentence", REFUSED)
def test_values_are_refused_as_openai_does(strict, more, sentence, stream):
    e = refused(openai.UnprocessableEntityError, lambda: client(strict).chat.completions.create(**{**ASK, **more}, stream=stream))
    assert str(e) == f"Error code: 422 - {sentence}" and e.type == "invalid_request_error" and e.code and e.param is None


def test_bodies_are_refused(server, strict, narrow):
    sentence = 'Failed to deserialize the JSON body into the target type: messages: invalid type: string "x", expected a sequence'
    e = refused(openai.UnprocessableEntityError, lambda: client(server).chat.completions.create(**{**ASK, "messages": "x"}))
    assert e.body == sentence
    e = refused(openai.UnprocessableEntityError, lambda: client(strict).chat.completions.create(**{**ASK, "messages": "x"}))
    assert str(e) == f"Error code: 422 - {sentence}"
    e = refused(openai.APIStatusError, lambda: client(narrow).chat.completions.create(**{**ASK, "messages": [{"role": "user", "content": "x" * 20000}]}))
    assert e.status_code == 413 and e.body == "Failed to buffer the request body: length limit exceeded"
    headers = {"content-type": "text/plain"}
    e = refused(openai.APIStatusError, lambda: client(server).chat.completions.create(**ASK, extra_headers=headers))
    assert e.status_code == 415 and "Content-Type: application/json" in e.body
    e = refused(openai.NotFoundError, lambda: client(server).embeddings.create(model="tgi", input="x"))
    assert e.status_code == 404


def test_overload(narrow, strict_narrow):
    e = refused(openai.RateLimitError, lambda: client(narrow).chat.completions.create(**ASK, n=2))
    assert e.body == "Model is overloaded"
    e = refused(openai.APIError, lambda: client(narrow).chat.completions.create(**ASK, n=2, stream=True))
    assert e.body == {"message": "Model is overloaded", "http_status_code": 429}
    for stream in (False, True):
        e = refused(openai.RateLimitError, lambda: client(strict_narrow).chat.completions.create(**ASK, n=2, stream=stream))
        assert str(e) == "Error code: 429 - Model is overloaded" and e.type == "rate_limit_error" and e.code == "overloaded"


def test_keys(keyed):
    assert text_of(client(keyed, api_key=KEY).chat.completions.create(**ASK))
    assert list(client(keyed, api_key="wrong").models.list())  # no secret
    for wrong in ("wrong", KEY.lower(), KEY + "x"):
        for stream in (False, True):
            e = refused(openai.AuthenticationError, lambda: client(keyed, api_key=wrong).chat.completions.create(**ASK, stream=stream))
            assert e.status_code == 401


# ---- --strict-openai ----

def test_strict_words(strict):
    ask = lambda **more: client(strict).chat.completions.create(**{**ASK, "max_tokens": 30, **more})
    whole = text_of(ask())
    c = ask(stop=" server")
    assert c.choices[0].finish_reason == "stop" and text_of(c) == whole[:whole.index(" server")]
    *_, last = chunks = list(ask(stop=" server", stream=True))
    assert joined(chunks) == text_of(c) and last.choices[0].finish_reason == "stop"
    done = {"model": "tgi", "prompt": "What is prompteur?", "temperature": 0, "max_tokens": 300}
    assert client(strict).completions.create(**done).choices[0].finish_reason == "stop"
    *chunks, last = client(strict).completions.create(**done, stream=True)
    assert last.choices[0].finish_reason == "stop" and {c.choices[0].finish_reason for c in chunks} == {None}
