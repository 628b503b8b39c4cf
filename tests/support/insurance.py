"""Questions of which the tests' tokenizer knows the words, with their answers and others."""

QUESTIONS = [
    "what is term life",
    "how much do i pay for car insurance",
    "is a home policy a claim",
    "what is health cover",
]
ANSWERS = [
    "term life is a policy",
    "i pay the cost of a plan for a car",
    "a home policy is a cover",
    "health is a plan",
]
OTHERS = [
    "whole life",
    "the cost of a claim",
    "do i pay",
    "what is the cover of a car",
    "how much is a home plan",
]
