"""Fixtures of the client tests: one server of each kind for all of them."""

import pytest

from servers import KEY, Server, server, start  # noqa: F401: fixtures


def running(name, *args):
    @pytest.fixture(scope="session", name=name)
    def make(tmp_path_factory):
        s = Server(tmp_path_factory.mktemp(name) / "log", *args)
        yield s
        assert s.stop() == 0 and "Sanitizer" not in s.log(), s.log()
    return make


strict = running("strict", "--strict-openai")
keyed = running("keyed", "--api-key", KEY)
narrow = running("narrow", "--max-concurrent-requests", "1", "--payload-limit", "20000")
strict_narrow = running("strict_narrow", "--max-concurrent-requests", "1", "--strict-openai")
