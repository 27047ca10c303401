"""Against a real server on a loopback socket."""

import contextlib
import http.server
import threading
import time

import numpy as np
import orjson
import pytest

from turnout.encoders.openai import OpenAIEncoder
from turnout.errors import (
    ConfigError,
    InvalidValueError,
    UpstreamProtocolError,
    UpstreamStatusError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from turnout.types import Encoder


def vector_of(text, dim=4):
    return [float(len(text)), 1.0, float(text.count("a")), -1.0][:dim]


class Server:
    """Answers each request with the next scripted (status, headers, body), and with right vectors after that."""

    def __init__(self):
        self.script = []
        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append((self.path, dict(self.headers), body))
                status, headers, content = outer.script.pop(0) if outer.script else (200, {}, None)
                if callable(content):
                    content = content()
                if content is None:
                    data = [
                        {"index": n, "embedding": vector_of(text), "object": "embedding"}
                        for n, text in enumerate(body["input"])
                    ]
                    content = orjson.dumps({"object": "list", "data": data[::-1]})
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(content))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def handle_one_request(self):
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    super().handle_one_request()

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("EMBEDDINGS_KEY", "sk-secret")
    monkeypatch.setattr("turnout.encoders.openai._FIRST_WAIT_S", 0.001)
    server = Server()
    yield server
    server.close()


@pytest.fixture
def make(server):
    def make(**settings):
        return OpenAIEncoder("tiny", **{"dim": 4, "base_url": server.url, "api_key_env": "EMBEDDINGS_KEY"} | settings)

    return make


def test_vectors_have_length_one_and_keep_the_order_of_the_texts(server, make):
    texts = ["banana", "b", "aaa", ""]
    vectors = make().encode(texts)
    expected = np.array([vector_of(text) for text in texts])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    expected[3] = 0
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert vectors.dtype == np.float32
    assert isinstance(make(), Encoder)


def test_the_request_is_what_the_protocol_says(server, make):
    make(send_dim=True).encode(["hello"])
    path, headers, body = server.requests[0]
    assert path == "/v1/embeddings"
    assert headers["Authorization"] == "Bearer sk-secret"
    assert body == {"model": "tiny", "input": ["hello"], "encoding_format": "float", "dimensions": 4}


def test_batches_are_bounded_and_blank_texts_are_never_sent(server, make):
    make(batch_size=2).encode(["a", "", "b", "c", " ", "d", "e"])
    assert [body["input"] for _, _, body in server.requests] == [["a", "b"], ["c", "d"], ["e"]]


def test_only_blank_texts_ask_nothing(server, make):
    assert not make().encode(["", " "]).any()
    assert server.requests == []


def test_a_long_text_keeps_both_ends(server, make):
    make(max_chars=10).encode(["start" + "x" * 100 + "final"])
    assert server.requests[0][2]["input"] == ["startfinal"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_failure_is_tried_again(server, make, status):
    server.script = [(status, {}, b"busy"), (status, {"Retry-After": "0"}, b"busy")]
    assert make(retries=2).encode(["a"]).any()
    assert len(server.requests) == 3


def test_retries_come_to_an_end(server, make):
    server.script = [(503, {}, b"down")] * 5
    with pytest.raises(UpstreamStatusError) as caught:
        make(retries=1).encode(["a"])
    assert (caught.value.status, caught.value.body) == (503, b"down")
    assert len(server.requests) == 2


def test_a_refusal_is_not_tried_again(server, make):
    server.script = [(401, {}, b"bad key")]
    with pytest.raises(UpstreamStatusError, match="401"):
        make().encode(["a"])
    assert len(server.requests) == 1


def test_a_redirect_is_refused_so_that_the_key_goes_nowhere_else(server, make):
    server.script = [(307, {"Location": f"{server.url}/elsewhere"}, b"")]
    with pytest.raises(UpstreamStatusError, match="307"):
        make().encode(["a"])
    assert len(server.requests) == 1


def test_a_slow_server_is_a_timeout(server, make):
    server.script = [(200, {}, lambda: time.sleep(0.5) or b"late")]
    with pytest.raises(UpstreamTimeoutError, match=r"timeout_s = 0\.05"):
        make(timeout_s=0.05, retries=0).encode(["a"])


def test_nobody_there_is_unreachable(monkeypatch):
    encoder = OpenAIEncoder(base_url="http://127.0.0.1:9", api_key_env=None, retries=0)
    with pytest.raises(UpstreamUnreachableError, match=r"http://127\.0\.0\.1:9/embeddings"):
        encoder.encode(["a"])


def test_a_cut_answer_is_unreachable(server, make):
    server.script = [(200, {"Content-Length": "1000"}, b'{"data": [')]
    with pytest.raises(UpstreamUnreachableError, match="broke off"):
        make(retries=0).encode(["a"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>hello</html>", "something else than vectors"),
        (b'{"data": 7}', "something else than vectors"),
        (b'{"data": []}', "Asked for 1 vectors, the server sent 0"),
        (b'{"data": [{"index": 0, "embedding": [1, 2]}]}', "vectors of 2 numbers, but dim is 4"),
        (b'{"data": [{"index": 0, "embedding": ["x", 2, 3, 4]}]}', "something else than vectors"),
        (b'{"data": [{"index": 0, "embedding": [null, 2, 3, 4]}]}', "NaN or infinity|something else"),
        (b'{"data": [{"index": 5, "embedding": [1, 2, 3, 4]}]}', "numbered"),
    ],
)
def test_rubbish_is_named(server, make, content, message):
    server.script = [(200, {}, content)]
    with pytest.raises(UpstreamProtocolError, match=message):
        make().encode(["a"])


def test_a_missing_key_is_named_before_anything_is_sent(server, make):
    with pytest.raises(ConfigError, match="NO_SUCH_KEY is not set"):
        make(api_key_env="NO_SUCH_KEY").encode(["a"])
    assert server.requests == []


def test_no_key_where_none_is_needed(server, make):
    make(api_key_env=None).encode(["a"])
    assert "Authorization" not in server.requests[0][1]


def test_the_key_is_kept_nowhere(server, make):
    encoder = make()
    encoder.encode(["a"])
    assert "sk-secret" not in repr(vars(encoder)) + encoder.identity


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dim": 0}, "dim"),
        ({"batch_size": 0}, "batch_size"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"base_url": "x"}, "http"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InvalidValueError, match=message):
        OpenAIEncoder(**settings)


def test_identity_changes_with_what_changes_the_vectors():
    identities = {
        OpenAIEncoder(**settings).identity
        for settings in ({}, {"dim": 256}, {"base_url": "http://x/v1"}, {"max_chars": 100}, {"model": "other"})
    }
    assert len(identities) == 5
    assert OpenAIEncoder(retries=9, batch_size=1).identity in identities
