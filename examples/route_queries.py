"""Ask the shipped router which model each query should go to, at two budgets."""

from turnout import Route

QUERIES = [
    "What is the capital of France?",
    "Write a haiku about rain.",
    "A bag holds 5 red and 7 blue marbles. Two are drawn without replacement. What is the chance that both are red?",
    "Prove that there are infinitely many primes.",
]

for strong_fraction in (0.2, 0.5):
    route = Route.load(strong_fraction=strong_fraction)
    print(f"at most {strong_fraction:.0%} to {route.policy.pair.strong}:")
    for query, decision in zip(QUERIES, route.decide(QUERIES), strict=True):
        print(f"  {decision.win_rate:.3f}  {decision.side:6}  {query[:70]}")
