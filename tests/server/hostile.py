"""Hostile requests, generated from a seed, each with the answers that are allowed.

`statuses` of a case are those allowed; 0 stands for a connection that closes without an answer. `MARK` is in nearly
every text that a client can send, so that tests can look for it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MARK = "hostile5f3a"
CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
SHORT = {"max_tokens": 2, "specs": {"method": "draft"}}


@dataclass(frozen=True)
class Case:
    """A request, and the answers that are allowed.

    Attributes:
        param: the field, or a part of it, that a 400 must name; None if no field is wrong.
        leave: close the connection instead of waiting for the answer.
    """

    name: str
    data: bytes
    statuses: tuple[int, ...]
    param: str | None = None
    leave: bool = False


def head(method: str, path: str, *headers: str, length: int | None = None) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(headers or ("Host: 127.0.0.1",)), "Connection: close"]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogatepass")


def post(body: bytes, path: str = CHAT, *headers: str) -> bytes:
    return (
        head("POST", path, "Host: localhost", *(headers or ("Content-Type: application/json",)), length=len(body))
        + body
    )


def chat(content: Any = f"{MARK} 1 + 1", **fields: Any) -> dict[str, Any]:
    return {"model": "specs", "messages": [{"role": "user", "content": content}]} | SHORT | fields


def completion(prompt: Any = f"{MARK} 1 + 1", **fields: Any) -> dict[str, Any]:
    return {"model": "specs", "prompt": prompt} | SHORT | fields


def dumped(body: Any) -> bytes:
    return json.dumps(body).encode()


def broken_json(rng: random.Random, count: int) -> Iterator[Case]:
    """JSON with bytes cut, dropped, swapped, doubled or inserted; some of it is still valid."""
    whole = dumped(chat())
    for k in range(count):
        body = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(body))
            match rng.randrange(5):
                case 0:
                    del body[max(1, at) :]
                case 1:
                    del body[at : at + rng.randint(1, 5)]
                case 2:
                    body[at] = rng.randrange(256)
                case 3:
                    body[at:at] = body[at : at + rng.randint(1, 20)]
                case _:
                    body[at:at] = rng.randbytes(rng.randint(1, 8))
            body = body or bytearray(b"{")
        yield Case(f"broken {k}", post(bytes(body)), (200, 400, 404), "*")


FIELDS = {
    CHAT: (
        "model messages max_tokens max_completion_tokens n seed stop stream stream_options temperature top_p specs "
        "top_k min_p user metadata frequency_penalty presence_penalty logit_bias logprobs top_logprobs tools "
        "tool_choice functions response_format modalities audio reasoning_effort include_reasoning "
        f"chat_template_kwargs reasoning service_tier store prediction {MARK}"
    ).split(),
    COMPLETION: "model prompt n stop echo logprobs suffix best_of stream_options".split(),
}
OWN = [
    "method", "n", "beta", "tau", "width", "threshold", "max_steps", "max_step_tokens", "deadline_s", "seed",
    "trace",
]  # fmt: skip
NUMBERS = ["max_tokens", "n", "seed", "temperature", "top_p", "top_k", "min_p", *(f"specs.{name}" for name in OWN[1:])]
ODD = [
    True, -1, 0, 17, 2**63, -(2**64), 10**30, 1.5, -0.0, 1e308, 5e-324, "", " ", "1", MARK, "\x00", "none", [], [[]],
    [MARK], [None], [1, [2, [3]]], {}, {MARK: MARK}, {"type": MARK}, [{"type": "text"}], {"role": "user"},
    "x" * 5000,
]  # fmt: skip


def placed(path: str, field: str, value: Any) -> dict[str, Any]:
    """A valid request except for one field."""
    body = chat() if path == CHAT else completion()
    if field.startswith("specs."):
        body["specs"] = body["specs"] | {field.removeprefix("specs."): value}
    else:
        body[field] = value
    return body


def wrong_types(rng: random.Random, count: int) -> Iterator[Case]:
    fields = [(path, field) for path, names in FIELDS.items() for field in names]
    fields += [(CHAT, f"specs.{name}") for name in (*OWN, MARK)]
    fields += [(CHAT, f"messages.0.{name}") for name in ("role", "content", "name", "tool_calls", "refusal", MARK)]
    for _ in range(count):
        path, field = rng.choice(fields)
        value = rng.choice(ODD)
        if field.startswith("messages.0."):
            message = {"role": "user", "content": MARK, field.rpartition(".")[2]: value}
            body, param = chat() | {"messages": [message]}, "messages"
        else:
            body, param = placed(path, field, value), field.split(".")[0]
            if field == "max_completion_tokens":
                param = "*"  # it also differs from max_tokens, which the error may name
        statuses = (200, 400, 404, 503) if field == "specs.deadline_s" else (200, 400, 404)  # 503: it has passed
        yield Case(f"{field} = {value!r:.40}", post(dumped(body), path), statuses, param)


def numbers(rng: random.Random, count: int) -> Iterator[Case]:
    """Numbers that JSON does not allow, or that are too large."""
    spelled = [
        "NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1" * 5000, "-" + "9" * 400, "1e-400", "0x10", "01",
        "--1",
    ]  # fmt: skip
    for _ in range(count):
        field, value = rng.choice(NUMBERS), rng.choice(spelled)
        body = dumped(placed(CHAT, field, "@")).replace(b'"@"', value.encode())
        yield Case(f"{field} = {value:.20}", post(body), (200, 400, 503) if "deadline" in field else (200, 400), "*")


KINDS = [
    "", "text/plain", "text/html", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml",
    "json", "multipart/form-data; boundary=x", "application/json; charset=utf-16", "application/jsonx", "*/*",
    "application/", "application/json" + ";" * 3000, "\x01", f'application/json; {MARK}="', "text/json",
]  # fmt: skip


def content_types(rng: random.Random, count: int) -> Iterator[Case]:
    bodies = [dumped(chat()), b"", b"model=specs", b"--x\r\n\r\n--x--", b"<a/>", "{}".encode("utf-16")]
    for _ in range(count):
        kind, body = rng.choice(KINDS), rng.choice(bodies)
        headers = [f"Content-Type: {kind}"] if kind else ["Accept: */*"]
        if rng.random() < 0.2:
            headers.append(
                rng.choice(["Content-Encoding: gzip", "Content-Type: application/json", "Expect: 100-continue"])
            )
        yield Case(f"kind {kind:.30}", post(body, CHAT, *headers), (200, 400), "*")


def sizes(rng: random.Random) -> Iterator[Case]:
    """Bodies that are too large or too deep, and false content lengths."""
    large = dumped(chat("x" * (2 << 20)))
    yield Case("large", post(large), (413,))
    yield Case("large, only said", head("POST", CHAT, "Host: localhost", length=1 << 40), (413,))
    yield Case("large, digits", head("POST", CHAT, "Host: localhost", f"Content-Length: {'9' * 300}"), (400, 413))
    chunk = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
    chunked = head("POST", CHAT, "Host: localhost", "Content-Type: application/json", "Transfer-Encoding: chunked")
    yield Case("large, in chunks", chunked + chunk * 3 + b"0\r\n\r\n", (413,))
    good = dumped(chat())
    for size in ("-1", "x", "1e3", "0x10", "+5", "", "1, 2", "1 1", "٣"):
        said = head("POST", CHAT, "Host: localhost", "Content-Type: application/json", f"Content-Length: {size}")
        yield Case(f"length {size!r}", said + good, (400,))
    two = head("POST", CHAT, "Host: localhost", "Content-Length: 5", "Content-Length: 6")
    yield Case("two lengths", two + good, (400,))
    both = head("POST", CHAT, "Host: localhost", "Content-Length: 5", "Transfer-Encoding: chunked")
    yield Case("length and chunks", both + b"0\r\n\r\n", (400,))
    for size in (b"zz", b"-1", b"f" * 40, b"", MARK.encode()):
        yield Case(f"chunk of {size!r}", chunked + size + b"\r\n" + good + b"\r\n0\r\n\r\n", (0, 400))
    kind = "Content-Type: application/json"
    for cut in (0, 1, len(good) // 2, len(good) - 1):
        short = head("POST", CHAT, "Host: localhost", kind, length=cut) + good
        yield Case(f"said to be {cut}", short, (400,), "*")
        long = head("POST", CHAT, "Host: localhost", kind, length=len(good) + 1 + cut) + good
        yield Case(f"{1 + cut} more were said", long, (0,), leave=True)
    deep = 100_000
    for opening, closing in (("[", "]"), ('{"a":', "}"), ('[{"messages":', "}]")):
        for body in (opening * deep, opening * deep + "1" + closing * deep):
            yield Case(f"deep {opening}", post(body.encode()), (400, 413), "*")
        for name in ("messages", "metadata", "specs", "stop", "tools", MARK):
            inside = opening * rng.choice([60, 500, 5000]) + "1"
            inside += closing * (inside.count("{") + inside.count("[")) if len(opening) < 9 else ""
            body = dumped(chat(**{name: "@"})).replace(b'"@"', inside.encode())
            yield Case(f"deep {name}", post(body), (400,), "*")
    yield Case("many fields", post(dumped(chat() | {f"{MARK}{k}": k for k in range(20_000)})), (400,), "*")
    yield Case(
        "many turns", post(dumped(chat() | {"messages": [{"role": "user", "content": "x"}] * 2000})), (400,), "messages"
    )
    yield Case("many parts", post(dumped(chat([{"type": "text", "text": "x"}] * 2000))), (400,), "messages")
    yield Case("many stops", post(dumped(chat(stop=[MARK] * 5000))), (400,), "stop")
    yield Case("long question", post(dumped(chat("x " * 100_000))), (400,), "messages")
    yield Case("many prompts", post(dumped(completion(["x"] * 5000)), COMPLETION), (400,), "prompt")


RANGES = [
    (0, 32), (32, 127), (127, 160), (0x300, 0x370), (0x590, 0x700), (0x200B, 0x2070), (0x3040, 0x3100),
    (0xD800, 0xE000), (0xE000, 0xE100), (0xFE00, 0x10000), (0x1F300, 0x1FAFF), (0xE0000, 0xE0080),
    (0x10FF00, 0x110000),
]  # fmt: skip
SPECIAL = [
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|start_header_id|>system<|end_header_id|>", "<s>",
    "</s>", "[INST]", "[/INST]", "<<SYS>>", "<think>", "</think>", "<|user|>", "<|assistant|>", "<extra_0>", "<pad>",
    "<unk>", "ки", "{{ messages }}", "{% for m in messages %}{% endfor %}", "{{ ''.__class__.__mro__ }}", "%s%n%x",
    "\\boxed{1}", "\n\n",
]  # fmt: skip


def word(rng: random.Random) -> str:
    low, high = rng.choice(RANGES)
    return "".join(chr(rng.randrange(low, high)) for _ in range(rng.randint(1, 12)))


def unicode(rng: random.Random, count: int) -> Iterator[Case]:
    """In questions, prompts, stop strings, labels and field names; escaped, or as bytes that may not be UTF-8."""
    for k in range(count):
        text = "".join(rng.choice([word(rng), rng.choice(SPECIAL), MARK, " "]) for _ in range(rng.randint(1, 6))) + MARK
        where = rng.randrange(6)
        path = COMPLETION if where == 1 else CHAT
        param = ("messages", "prompt", "stop", "metadata", "messages", "*")[where]
        body = (
            chat(text), completion(text), chat(stop=[text]), chat(metadata={text: text}),
            chat([{"type": "text", "text": text}]), chat(**{text: 1}),
        )[where]  # fmt: skip
        data = json.dumps(body, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
        yield Case(f"unicode {k}", post(data, path), (200, 400), param if b"\xed" not in data else "*")


def special_tokens(rng: random.Random, count: int) -> Iterator[Case]:
    for k in range(count):
        text = " ".join(rng.choices(SPECIAL, k=rng.randint(1, 8)))
        role = rng.choice(["system", "assistant", "user", "developer"])
        body = rng.choice([chat(text), chat([{"type": "text", "text": text}] * 2), completion(text)])
        if "messages" in body:
            body["messages"] = [{"role": role, "content": text}, *body["messages"]]
        path = CHAT if "messages" in body else COMPLETION
        yield Case(f"special {k}", post(dumped(body), path), (200, 400), "messages" if path == CHAT else "prompt")


NAMES = [
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "/etc/passwd",
    "file:///etc/passwd",
    "http://127.0.0.1:1/",
    "~root",
    "C:\\x",
    "'; DROP TABLE models; --",
    "$(touch {mark})",
    "`touch {mark}`",
    "| touch {mark}",
    "{{7*7}}",
    "${jndi:ldap://{mark}}",
    "<script>alert('{mark}')</script>",
    "specs\r\nX-{mark}: 1",
    "specs\n{mark}",
    "specs\x00{mark}",
    "__proto__",
    "%00{mark}",
    "specs ",
    " specs",
    "SPECS",
    "specs#{mark}",
    "specs?{mark}=1",
    "bundled",
    "\x1b[31m{mark}",
    "\u202e{mark}",
    "ｓｐｅｃｓ",
    "{mark}" * 200,
    "\ud800{mark}",
    "os.system('{mark}')",
    "!!python/object:{mark}",
    "..\\..\\{mark}",
    "con",
    "-{mark}",
    "*",
]


def names(rng: random.Random, count: int) -> Iterator[Case]:
    """Names of models and methods."""
    for k in range(count):
        name = rng.choice(NAMES).replace("{mark}", MARK) + rng.choice(["", MARK, ".", "/"])
        if k % 3:
            path, body = rng.choice([(CHAT, chat()), (COMPLETION, completion())])
            yield Case(f"model {name!r:.30}", post(dumped(body | {"model": name}), path), (400, 404), "model")
        else:
            yield Case(f"method {name!r:.30}", post(dumped(placed(CHAT, "specs.method", name))), (400,), "specs")


def paths(rng: random.Random, count: int) -> Iterator[Case]:
    steps = [
        "..", "%2e%2e", "%2E.", "..%2f", "..%5c", "%252e%252e", ".", "", "%00", "etc", "passwd", MARK, "v1",
        "models",
    ]  # fmt: skip
    steps += [
        "%c0%ae%c0%ae", "%ff", "..;", "~", "static", "page", "specs", "proc", "self", "environ", "%0d%0aX-A:1", "*",
    ]  # fmt: skip
    for _ in range(count):
        path = rng.choice(["/v1/models/", "/", "/v1/", "//", "/page/"]) + "/".join(
            rng.choices(steps, k=rng.randint(1, 7))
        )
        if rng.random() < 0.2:
            path += "?" + rng.choice(["a=" + MARK, "%00", "a[]=1&a[]=2", "=" * 500, "file=../../etc/passwd"])
        yield Case(f"path {path:.50}", head(rng.choice(["GET", "GET", "POST"]), path), (200, 307, 400, 404, 405), "*")


def headers(rng: random.Random, count: int) -> Iterator[Case]:
    ids = [
        "a\tb", "a b", "x" * 129, "x" * 5000, "é", "../" + MARK, "<b>" + MARK, "\x01", "'" + MARK, "${" + MARK + "}",
        "𝕏",
    ]  # fmt: skip
    hosts = [
        "", "evil.example", "localhost:80:80", "127.0.0.1.evil.example", "[::1", "::1", "localhost@evil", "a b",
        MARK + ".x",
    ]  # fmt: skip
    odd = [
        "X-Request-Id: a\r\n b", "NoColon", ": empty", "Sp ace: 1", "Tab\tbed: 1", "A: \x00", "A: \x0b",
        "Content-Length: 1 1", "Transfer-Encoding: gzip", "Upgrade: websocket\r\nConnection: Upgrade",
        "Upgrade: h2c", "Range: bytes=0-", "X-Forwarded-For: " + MARK, "X-Original-Url: /etc/passwd",
        "X-Http-Method-Override: DELETE", "Cookie: " + MARK * 50, "Authorization: Bearer " + MARK,
        "Authorization: é", "Authorization: Basic", "Origin: http://" + MARK, "Accept: " + MARK,
        "Accept-Encoding: " + "gzip," * 500, "If-None-Match: *", "Te: trailers", "Expect: " + MARK,
        "Forwarded: for=" + MARK,
    ]  # fmt: skip
    for k in range(count):
        match k % 4:
            case 0:
                lines = ["Host: localhost", f"X-Request-Id: {rng.choice(ids)}{MARK} "]
            case 1:
                lines = [f"Host: {rng.choice(hosts)}"] + ["Host: localhost"] * (rng.random() < 0.2)
            case 2:
                lines = ["Host: localhost", rng.choice(odd)]
            case _:
                lines = ["Host: localhost", *[f"X-{MARK}-{j}: {word(rng)}" for j in range(rng.choice([1, 50, 5000]))]]
        data = head("GET", "/health", *[line.replace("\n", "") if k % 4 == 3 else line for line in lines])
        yield Case(f"headers {lines!r:.60}", data, (0, 200, 400), "*")  # 0: the server stopped reading before the end


def methods(rng: random.Random, count: int) -> Iterator[Case]:
    known = [
        "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "CONNECT", "PROPFIND", "get", "G\x00T", MARK,
        "X" * 500, "POST", "GET",
    ]  # fmt: skip
    routes = [
        CHAT, COMPLETION, "/v1/models", "/v1/models/specs", "/health", "/version", "/metrics", "/", "/openapi.json",
    ]  # fmt: skip
    for _ in range(count):
        method, path = rng.choice(known), rng.choice(routes)
        yield Case(f"{method:.10} {path}", head(method, path, "Host: localhost", length=0), (200, 400, 405), "*")


def noise(rng: random.Random, count: int) -> Iterator[Case]:
    """No HTTP, other versions of HTTP, and requests that stop half-way."""
    known = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(500), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 50, b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n",
        b"\x00" * 1000, b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"SSH-2.0-" + MARK.encode() + b"\r\n", b"*1\r\n$4\r\nPING\r\n",
    ]  # fmt: skip
    whole = post(dumped(chat()))
    for k in range(count):
        match k % 3:
            case 0:
                yield Case(f"noise {k}", rng.choice(known), (0, 200, 400, 404), "*", leave=True)
            case 1:
                yield Case(f"noise {k}", rng.randbytes(rng.randint(1, 3000)), (0, 400), leave=True)
            case _:
                yield Case(f"half {k}", whole[: rng.randrange(len(whole))], (0,), leave=True)


def cases(seed: int) -> list[Case]:
    """More than 2,000 cases in random order, the same for the same seed."""
    rng = random.Random(seed)
    found = [
        *broken_json(rng, 300), *wrong_types(rng, 600), *numbers(rng, 120), *content_types(rng, 100), *sizes(rng),
        *unicode(rng, 300), *special_tokens(rng, 100), *names(rng, 150), *paths(rng, 250), *headers(rng, 200),
        *methods(rng, 100), *noise(rng, 120),
    ]  # fmt: skip
    rng.shuffle(found)
    return found
