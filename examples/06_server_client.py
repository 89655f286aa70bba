"""Send a question to a running `specs serve` with OpenAI's client (pip install openai).

specs serve                              # in another terminal
python examples/06_server_client.py [http://127.0.0.1:8080/v1]
"""

import sys

from openai import APIConnectionError, OpenAI
from openai.types.chat import ChatCompletionMessageParam

ADDRESS = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080/v1"
QUESTION = "Tom has 40 nuts. He gives 6 nuts to each of 3 friends. How many nuts does Tom have now?"

client = OpenAI(base_url=ADDRESS, api_key="none", max_retries=0)
messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]
method = "specs"  # every method is a model name: beam, gsi, best-of-n, ...
options = {"specs": {"n": 8}}  # of the method, a deadline, ...
try:
    answer = client.chat.completions.create(model=method, messages=messages, seed=1, extra_body=options)
except APIConnectionError:
    sys.exit(f'no server at {ADDRESS}; start one with: pip install -e ".[serve]" && specs serve')
print(answer.choices[0].message.content)
own = (answer.choices[0].model_extra or {})["specs"]
print(f"answer: {own['answer']} ({own['finish_reason']}), {own['draft_share']:.0%} of the steps by the draft")

print("\nthe same as a stream:")
for part in client.chat.completions.create(model=method, messages=messages, seed=1, extra_body=options, stream=True):
    if part.choices and part.choices[0].delta.content:
        print(part.choices[0].delta.content, end="", flush=True)
print()
