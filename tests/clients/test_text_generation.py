"""TGI's old Python client. It sends a null for each field that is not set. Its reader of chat streams expects a member
`tool_calls` that TGI never sent and parses "[DONE]" as JSON, so that it works with no server: test_its_chat_streams
fails when the server lets it, and is then to be turned around."""

import asyncio

import pytest
from pydantic import ValidationError as BadArguments
from text_generation import AsyncClient, Client
from text_generation.errors import OverloadedError, UnknownError, ValidationError
from text_generation.types import Message

PROMPT = "Once upon a time"
USER = [Message(role="user", content="What is prompteur?")]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def client(server):
    return Client(server.url, timeout=60)


def test_text(client):
    r = client.generate(PROMPT, max_new_tokens=8, top_n_tokens=2, decoder_input_details=True)
    assert r.details.finish_reason == "length" and r.details.generated_tokens == 8 and r.details.seed is None
    assert "".join(t.text for t in r.details.tokens) == r.generated_text and len(r.details.top_tokens) == 8
    *events, last = client.generate_stream(PROMPT, max_new_tokens=8)
    assert last.generated_text == r.generated_text == "".join(e.token.text for e in [*events, last])
    assert last.details.finish_reason == "length" and all(e.details is None for e in events)
    assert client.generate(PROMPT, max_new_tokens=8, return_full_text=True).generated_text == PROMPT + r.generated_text
    hot = dict(do_sample=True, temperature=1.5, top_k=50, top_p=0.95, typical_p=0.9, repetition_penalty=1.1,
               frequency_penalty=0.1, seed=7, truncate=10, watermark=True)
    assert client.generate(PROMPT, **hot).generated_text == client.generate(PROMPT, **hot).generated_text
    assert client.generate(PROMPT, **hot).details.seed == 7
    best = client.generate(PROMPT, do_sample=True, best_of=2)
    assert len(best.details.best_of_sequences) == 1
    stopped = client.generate(PROMPT, stop_sequences=[r.generated_text[3:6]])
    assert stopped.details.finish_reason == "stop_sequence" and r.generated_text[3:6] in stopped.generated_text


def test_chat(client, server):
    ask = lambda **more: client.chat(USER, **{"max_tokens": 8, "temperature": 0.0, **more})
    c = ask()
    assert c.choices[0].message.role == "assistant" and c.choices[0].message.content and c.choices[0].finish_reason == "length"
    assert c.usage["completion_tokens"] == 8 and c.model == server.post("/v1/chat/completions", {
        "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}).json()["model"]
    assert ask(seed=3, temperature=1.5).choices == ask(seed=3, temperature=1.5).choices
    assert len(ask(logprobs=True, top_logprobs=2).choices[0].logprobs["content"]) == 8
    assert ask(presence_penalty=0.0, frequency_penalty=0.0, n=1).choices[0].message == c.choices[0].message


def test_refusals(client, narrow):
    with pytest.raises(ValidationError) as caught:
        client.generate(PROMPT, max_new_tokens=0)
    assert str(caught.value) == "Input validation error: `max_new_tokens` must be strictly positive"
    with pytest.raises(ValidationError):
        list(client.generate_stream(PROMPT, max_new_tokens=0))
    with pytest.raises(ValidationError) as caught:
        client.chat(USER, max_tokens=0)
    assert str(caught.value) == "Input validation error: `max_new_tokens` must be strictly positive"
    with pytest.raises(UnknownError) as caught:
        client.chat(USER, tools=[{"type": "function", "function": {"name": "f"}}])
    assert str(caught.value).startswith("Tool error: calling tools")
    busy = Client(narrow.url)
    with pytest.raises(OverloadedError) as caught:
        busy.generate(PROMPT, do_sample=True, best_of=2)
    assert str(caught.value) == "Model is overloaded"
    with pytest.raises(OverloadedError):
        busy.chat(USER, n=2)
    with pytest.raises((BadArguments, ValidationError)):
        client.generate(PROMPT, top_p=1.0)  # refused before it is sent


def test_its_chat_streams(client):
    with pytest.raises(AttributeError, match="status"):
        list(client.chat(USER, stream=True, max_tokens=2))


def test_keys(keyed):
    key = {"Authorization": "Bearer Sesame-1"}
    assert Client(keyed.url, headers=key).generate(PROMPT, max_new_tokens=2).generated_text
    with pytest.raises(ValueError):  # an empty body is no JSON
        Client(keyed.url).generate(PROMPT)


def test_async(server, client):
    async def all_at_once():
        c = AsyncClient(server.url, timeout=60)

        async def streamed():
            return [e async for e in c.generate_stream(PROMPT, max_new_tokens=8)][-1].generated_text
        with pytest.raises(ValidationError):
            await c.generate(PROMPT, max_new_tokens=0)
        with pytest.raises(ValidationError):
            [e async for e in c.generate_stream(PROMPT, max_new_tokens=0)]
        return await asyncio.gather(c.generate(PROMPT, max_new_tokens=8), c.chat(USER, max_tokens=4, temperature=0.0), streamed(), streamed())
    whole, chat, *texts = asyncio.run(all_at_once())
    assert texts == [whole.generated_text] * 2 == [client.generate(PROMPT, max_new_tokens=8).generated_text] * 2
    assert chat.choices[0].message.content
