"""What the demonstration asks: easy and hard, of many kinds, written for it and taken from no benchmark."""

QUERIES = (
    "Hi! How is your day going?",
    "Prove that the square root of 3 is irrational.",
    "What is 17 + 26?",
    "Write a Python function that merges overlapping intervals, and state its time complexity.",
    "Translate 'The train leaves at noon' into German.",
    "A pipe fills a tank in 6 hours, a second one in 4, and a leak empties it in 12. How long do both pipes take?",
    "What is the capital of Portugal?",
    "Why does the sum of 1/n diverge while the sum of 1/n² converges? Give a proof of both.",
    "Extract the date and the amount: Invoice 2207, due 14 March, 310.50 EUR.",
    "SELECT c.name FROM customers c JOIN orders o ON o.customer_id = c.id repeats names. Explain why, and mend it "
    "without DISTINCT.",
    "Rewrite this politely: Send me the report now.",
    "Design a rate limiter for an API on twelve servers, and compare token buckets with sliding windows when their "
    "clocks disagree.",
    "Is this review positive or negative? The soup was cold, but the waiter made up for it.",
    "Derive the closed form of the Fibonacci numbers, and say where the golden ratio comes from.",
    "Give me three names for a small brown dog.",
    "How does Raft keep a cluster consistent when its leader fails in the middle of replicating an entry?",
    "Convert 68 degrees Fahrenheit to Celsius.",
    "Write a haiku about a railway switch.",
    "Find the bug: def mean(xs): return sum(xs) / len(xs) if xs else None + 0",
    "Thanks, that was all for today.",
)
