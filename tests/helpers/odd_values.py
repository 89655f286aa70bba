"""Traces with one odd value each, to see what those who read them do."""

import json

ODD = (None, -1, 0.5, 10**400, "<b>", [], {}, [None], True)


def odd_versions(whole, values=ODD):
    """Copies of a JSON value in which one field is odd: (path of the field, value, copy)."""
    text = json.dumps(whole)
    for path in places(whole):
        for value in values:
            changed = json.loads(text)
            *outer, last = path
            inner = changed
            for name in outer:
                inner = inner[name]
            inner[last] = value
            yield path, value, changed


def places(value):
    """The paths to all fields inside a JSON value; of a list only the first."""
    inside = value.items() if isinstance(value, dict) else [*enumerate(value)][:1] if isinstance(value, list) else ()
    for name, part in inside:
        yield (name,)
        yield from ((name, *rest) for rest in places(part))


def short(trace):
    """The trace with one step of one candidate, and with all fields that a trace may have."""
    step = trace["steps"][0]
    one = step["candidates"][0] | {"duplicates_of": 0, "log_p_at_most": -1.0, "log_p_by_token": [-1.0]}
    step = step | {"candidates": [one], "chosen": 0, "kept": [0], "parents": [0]}
    chat = {"before": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "template": True}
    return trace | {"steps": [step], "notes": ["a note"], "chat": chat}
