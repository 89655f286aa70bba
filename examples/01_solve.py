"""Solve one question with the bundled models, and show who wrote each step.

python examples/01_solve.py
"""

from specs import load, solve

QUESTION = (
    "Maya has 12 shells. She buys 3 bags with 5 shells in each bag. Then 7 of the shells break. "
    "How many shells does Maya have now?"
)

models = load()
result = solve(QUESTION, models, "specs", n=8, seed=1)

print(QUESTION, end="\n\n")
for record in result.accepted:
    print(f"{record.writer:>6}  reward {record.reward:.3f}  {record.text.strip()}")
print(f"\nanswer: {result.answer} ({result.finish_reason}, {1000 * result.latency_s:.0f} ms)")
print(f"steps by the draft: {result.draft_share:.0%}")
