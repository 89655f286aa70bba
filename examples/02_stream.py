"""Print steps as they are accepted: in a plain loop with a deadline, then with asyncio.

python examples/02_stream.py
"""

import asyncio

from specs import Models, astream, load, stream

QUESTION = "Tom has 40 nuts. He gives 6 nuts to each of 3 friends. How many nuts does Tom have now?"


def with_a_loop(models: Models) -> None:
    running = stream(QUESTION, models, "specs", deadline_s=5.0)
    for record in running:
        print(f"{record.writer:>6}  {record.text.strip()}", flush=True)
    result = running.result
    print(f"answer: {result.answer}, first step after {result.time_to_first_step_s:.2f} s\n")


async def with_asyncio(models: Models) -> None:
    running = astream(QUESTION, models, "beam", n=4)
    async for record in running:
        print(f"{record.writer:>6}  {record.text.strip()}", flush=True)
    print(f"answer: {running.result.answer}")


if __name__ == "__main__":
    models = load()
    with_a_loop(models)
    asyncio.run(with_asyncio(models))
