"""LangChain over both of the server's dialects: langchain-openai's chat and langchain-huggingface's endpoint."""

import asyncio

import openai
import pytest
from huggingface_hub.errors import ValidationError
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_huggingface import ChatHuggingFace, HuggingFaceEndpoint
from langchain_openai import ChatOpenAI, OpenAI

from servers import KEY, gone

QUESTION = "What is prompteur?"
TALK = [SystemMessage("Be brief."), HumanMessage(QUESTION), AIMessage("A server."), HumanMessage([{"type": "text", "text": "Really?"}])]


def chat(server, **more):
    return ChatOpenAI(base_url=server.url + "/v1", **{"api_key": "unused", "model": "tgi", "temperature": 0, "max_tokens": 12,
                                                      "max_retries": 0, **more})


def endpoint(server, **more):
    return HuggingFaceEndpoint(endpoint_url=server.url, **{"max_new_tokens": 12, "top_k": 1, **more})


# ---- over OpenAI's routes ----

def test_chat(server):
    answer = chat(server).invoke(QUESTION)
    assert answer.content and answer.response_metadata["finish_reason"] == "length"
    assert answer.usage_metadata["output_tokens"] == 12
    assert "".join(c.content for c in chat(server).stream(QUESTION)) == answer.content
    total = sum(c.usage_metadata["output_tokens"] for c in chat(server, stream_usage=True).stream(QUESTION) if c.usage_metadata)
    assert total == 12
    assert chat(server).invoke(TALK).content
    assert [a.content for a in chat(server).batch([QUESTION, QUESTION])] == [answer.content] * 2
    hot = chat(server, temperature=1.6, seed=2, max_tokens=24)
    assert hot.invoke(QUESTION).content == hot.invoke(QUESTION).content
    two = chat(server, n=2, temperature=1.6, seed=2).generate([[HumanMessage(QUESTION)]])
    assert len(two.generations[0]) == 2
    assert chat(server, stop=[" is"]).invoke(QUESTION).content.endswith(" is")
    told = chat(server, logprobs=True, top_logprobs=2).invoke(QUESTION).response_metadata["logprobs"]["content"]
    assert "".join(t["token"] for t in told) == answer.content
    chain = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "{q}")]) | chat(server) | StrOutputParser()
    assert chain.invoke({"q": QUESTION})


def test_completion(server):
    llm = OpenAI(base_url=server.url + "/v1", api_key="unused", model="tgi", temperature=0, max_tokens=8, max_retries=0)
    text = llm.invoke("Once upon a time")
    assert text and "".join(llm.stream("Once upon a time")) == text
    assert llm.batch(["Once upon a time", "Hello"])[0] == text  # one call with two prompts


def test_chat_refusals(server, strict, strict_narrow, keyed):
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        chat(strict, max_tokens=0).invoke(QUESTION)
    assert "`max_new_tokens` must be strictly positive" in str(caught.value)
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        list(chat(strict, max_tokens=0).stream(QUESTION))
    with pytest.raises(openai.APIError, match="strictly positive"):
        list(chat(server, max_tokens=0).stream(QUESTION))
    with pytest.raises(openai.RateLimitError, match="Model is overloaded"):
        chat(strict_narrow, n=2).invoke(QUESTION)
    with pytest.raises(openai.UnprocessableEntityError, match="calling tools"):
        chat(strict).bind_tools([{"type": "function", "function": {"name": "f", "parameters": {}}}]).invoke(QUESTION)
    with pytest.raises(openai.AuthenticationError):
        chat(keyed, api_key="wrong").invoke(QUESTION)
    assert chat(keyed, api_key=KEY).invoke(QUESTION).content


def test_chat_async(server):
    async def all_at_once():
        llm = chat(server)

        async def streamed():
            return "".join([c.content async for c in llm.astream(QUESTION)])
        return await asyncio.gather(llm.ainvoke(QUESTION), streamed(), streamed())
    answer, *streams = asyncio.run(all_at_once())
    assert streams == [answer.content] * 2


def test_a_stream_that_is_left(start):
    s = start("--max-concurrent-requests", "1")
    stream = chat(s, max_tokens=900, logit_bias={1: -100, 3: -100}).stream(QUESTION)
    next(stream)
    stream.close()
    gone(s)


# ---- over TGI's own routes ----

def test_endpoint(server):
    text = endpoint(server).invoke("Once upon a time")
    assert text and "".join(endpoint(server).stream("Once upon a time")) == text
    assert endpoint(server, streaming=True).invoke("Once upon a time") == text
    assert endpoint(server, top_k=None, seed=5, do_sample=True).invoke("Once") == endpoint(server, top_k=None, seed=5, do_sample=True).invoke("Once")
    assert endpoint(server, stop_sequences=[text[5:9]]).invoke("Once upon a time") in text

    async def both():
        return await asyncio.gather(endpoint(server).ainvoke("Once upon a time"), endpoint(server).ainvoke("Once upon a time"))
    assert asyncio.run(both()) == [text, text]
    with pytest.raises(ValidationError, match="`top_p` must be"):
        endpoint(server, top_p=1.0).invoke("x")


def test_chat_over_the_endpoint(server):
    llm = ChatHuggingFace(llm=endpoint(server), model_id="tgi")
    answer = llm.invoke([HumanMessage(QUESTION)])
    assert answer.content
    assert "".join(c.content for c in llm.stream([HumanMessage(QUESTION)]))
