"""Answers from a causal language model of transformers in this process, held to their JSON schema token by token."""

import json
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from llguidance import LLMatcher
from llguidance.hf import from_tokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
from transformers import LogitsProcessor, LogitsProcessorList, TopPLogitsWarper

from ...errors import AscentError
from ...files import digest_of, read_json
from ...model.causal import load_causal
from ...model.device import find_device
from ...settings.synthesis import Transformers as Settings
from ..answers import Answer, Failure, Request

# As many batches of requests are taken at a time, so that one batch has prompts of similar length.
BATCHES = 8


class Transformers:
    """A model, its tokenizer, and the requests that wait."""

    def __init__(self, settings: Settings, folder: str | Path):
        self.settings, self.window, self.folder = settings, BATCHES * settings.batch_size, Path(folder)
        provenance = self.folder / "provenance.json"
        # Another model of the same name gives other answers.
        self.identity = digest_of(read_json(provenance)["files"]) if provenance.exists() else None
        self.device = find_device()
        self.model, self.tokenizer = load_causal(self.folder, self.device, "write at random")
        self.end = self.tokenizer.eos_token_id
        if self.end is None:
            raise AscentError(f"{folder}: its tokenizer has no end token, so no answer would end; use another model.")
        self.width = self.model.get_output_embeddings().weight.shape[0]
        try:
            self.vocabulary = from_tokenizer(self.tokenizer, n_vocab=self.width, eos_token=self.end)
        except ValueError as error:
            raise AscentError(
                f"{folder}: answers cannot be held to JSON with this tokenizer ({error}); use another model."
            ) from None
        self._waiting: list[tuple[int, str, Request, list[int]]] = []

    def __enter__(self) -> "Transformers":
        return self

    def __exit__(self, *_) -> None:
        pass

    def submit(self, key: str, request: Request) -> None:
        """Take a request."""
        tokens = self.tokenizer(self._prompt(request), add_special_tokens=False)["input_ids"]
        self._waiting.append((len(tokens), key, request, tokens))

    def finished(self) -> list[tuple[str, Answer | Failure]]:
        """Answer one batch of requests, the longest first."""
        self._waiting.sort(key=lambda each: (-each[0], each[1]))
        batch, self._waiting = self._waiting[: self.settings.batch_size], self._waiting[self.settings.batch_size :]
        most = getattr(self.model.config, "max_position_embeddings", None)
        fits = [each for each in batch if most is None or each[0] + self.settings.max_tokens <= most]
        failure = Failure(
            "longer than the model reads", f"it reads {most} tokens, {self.settings.max_tokens} of them the answer"
        )
        answered: list[tuple[str, Answer | Failure]] = [(each[1], failure) for each in batch if each not in fits]
        if fits:
            answers = self._generate([each[3] for each in fits], [each[2] for each in fits])
            answered += [(each[1], answer) for each, answer in zip(fits, answers, strict=True)]
        return answered

    def _prompt(self, request: Request) -> str:
        """Return the messages as the model reads them: by its chat template, or one after the other if it has none."""
        messages = [{"role": role, "content": text} for role, text in request.messages]
        if not self.tokenizer.chat_template:
            beginning = self.tokenizer.bos_token or ""
            return beginning + "".join(f"{message['content']}\n\n" for message in messages)
        try:
            return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except TemplateError:  # some models know no system message
            system, user, *more = messages
            first = {"role": "user", "content": f"{system['content']}\n\n{user['content']}"}
            return self.tokenizer.apply_chat_template([first, *more], tokenize=False, add_generation_prompt=True)

    @torch.inference_mode()
    def _generate(self, prompts: list[list[int]], requests: list[Request]) -> list[Answer]:
        longest = max(map(len, prompts))
        ids = torch.full((len(prompts), longest), self.end)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        drawn = Drawing(self.vocabulary, requests, longest, self.settings.temperature, self.settings.top_p)
        output = self.model.generate(
            input_ids=ids.to(self.device),
            attention_mask=mask.to(self.device),
            max_new_tokens=self.settings.max_tokens,
            do_sample=False,  # the processor draws
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            eos_token_id=self.end,
            pad_token_id=self.end,
            logits_processor=LogitsProcessorList([drawn]),
        )
        answers = []
        for row, prompt in enumerate(prompts):
            tokens = output[row, longest:].tolist()
            ended = self.end in tokens
            tokens = tokens[: tokens.index(self.end)] if ended else tokens
            text = self.tokenizer.decode(tokens, skip_special_tokens=True)
            answers.append(Answer(text, ended, len(prompt), len(tokens)))
        return answers


class Drawing(LogitsProcessor):
    """Leaves each row one token, drawn by the row's own seed from those that its schema allows.

    The largest of scores / temperature + Gumbel noise is a draw from their softmax; so what a row gets does not depend
    on the other rows of its batch. longest: tokens of the padded prompts."""

    def __init__(self, vocabulary: Any, requests: list[Request], longest: int, temperature: float, top_p: float):
        self._longest, self._temperature = longest, temperature
        self._top_p = TopPLogitsWarper(top_p) if temperature > 0 and top_p < 1 else None
        self._draws = [torch.Generator().manual_seed(request.seed) for request in requests]
        self._matchers = [LLMatcher(vocabulary, _grammar(request)) for request in requests]
        self._allowed = allocate_token_bitmask(len(requests), vocabulary.vocab_size)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        for row, matcher in enumerate(self._matchers):
            if input_ids.shape[1] > self._longest and not matcher.is_stopped():
                matcher.consume_token(int(input_ids[row, -1]))
            fill_next_token_bitmask(matcher, self._allowed, row)
            if matcher.is_error():
                raise AscentError(
                    f"an answer cannot be held to its JSON schema ({matcher.get_error()}); simplify the prompt's"
                    " answer."
                )
        bits = torch.from_numpy(self._allowed).unsqueeze(-1) >> torch.arange(32, dtype=torch.int32)
        allowed = (bits & 1).bool().flatten(1)[:, : scores.shape[1]].to(scores.device)
        scores = scores.float().masked_fill(~allowed, -torch.inf)
        if not self._temperature:
            return scores
        scores = scores / self._temperature
        scores = self._top_p(input_ids, scores) if self._top_p else scores
        noise = torch.stack([torch.empty(scores.shape[1]).exponential_(generator=draw) for draw in self._draws])
        return scores - noise.log().to(scores.device)


def _grammar(request: Request) -> str:
    # Without white space between fields: a small model may go on writing it for ever.
    return LLMatcher.grammar_from_json_schema(json.dumps(request.schema), {"whitespace_flexible": False})
