"""What a router reads in a query besides its meaning: form and words, without the template that it came in."""
