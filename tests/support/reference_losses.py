"""Losses as loops over rows and documents, written from the papers' formulas: what the fast ones are compared with.

Each takes a whole batch (`Embedded`, float64) and the loss's settings, and returns the rows' losses with torch's own
gradients."""

import math

import numpy as np
import torch


def cosine_of(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return one @ other / (one.norm() * other.norm())


def cosent(batch, scale: float) -> torch.Tensor:
    return _ranking([cosine_of(q, p) for q, p in zip(batch.queries, batch.positives, strict=True)], batch, scale)


def angle(batch, scale: float) -> torch.Tensor:
    def similarity(query: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
        half = (len(query) + 1) // 2
        pairs = [(side / side.norm()).tensor_split([half]) for side in (query, positive)]
        z, w = (torch.complex(a, torch.cat([b, b.new_zeros(half - len(b))])) for a, b in pairs)
        turn = (z * w.conj()).sum()
        return (turn.real + turn.imag).abs()

    return _ranking([similarity(q, p) for q, p in zip(batch.queries, batch.positives, strict=True)], batch, scale)


def _ranking(similarities: list[torch.Tensor], batch, scale: float) -> torch.Tensor:
    """For each row, all pairs of rows of its data set of which one has the higher label."""
    sources, labels = batch.dataset_index.tolist(), batch.labels.tolist()
    losses = []
    for source in sources:
        rows = [row for row, other in enumerate(sources) if other == source]
        wrong = [
            torch.exp(scale * (similarities[low] - similarities[high]))
            for high in rows
            for low in rows
            if labels[high] > labels[low]
        ]
        losses.append(torch.log(1 + sum(wrong, torch.zeros((), dtype=torch.float64))))
    return torch.stack(losses)


def triplet(batch, margin: float, distance: str) -> torch.Tensor:
    def far(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return 1 - cosine_of(one, other) if distance == "cosine" else (one - other).pow(2).sum().sqrt()

    losses = []
    for row, (query, positive) in enumerate(zip(batch.queries, batch.positives, strict=True)):
        own = [
            torch.clamp(far(query, positive) - far(query, batch.documents[d]) + margin, min=0)
            for d in range(len(batch.queries), len(batch.documents))
            if batch.row_of_document[d] == row and batch.document_ids[d] not in batch.answers[row]
        ]
        losses.append(sum(own) / len(own) if own else query.sum() * 0)
    return torch.stack(losses)


def infonce(
    batch,
    temperature: float,
    symmetric=False,
    terms=(),
    false_negative_margin=None,
    tau_plus=0.0,
    focal_gamma=0.0,
    mixing=None,
) -> torch.Tensor:
    owners, groups, ids = batch.row_of_document.tolist(), batch.groups.tolist(), batch.document_ids.tolist()
    known = [set(answers) - {-1} for answers in batch.answers.tolist()]

    def loss(row: int, pools: list[list[torch.Tensor]]) -> torch.Tensor:
        own = batch.queries[row] @ batch.positives[row]
        scores = [
            s for pool in pools for s in pool if false_negative_margin is None or s <= own + false_negative_margin
        ]
        if not scores:
            return own * 0
        positive, negative = torch.exp(own / temperature), sum(torch.exp(score / temperature) for score in scores)
        if tau_plus:
            corrected = (negative / len(scores) - tau_plus * positive) / (1 - tau_plus)
            negative = len(scores) * torch.clamp(corrected, min=math.exp(-1 / temperature))
        p = positive / (positive + negative)
        return (1 - p) ** focal_gamma * -torch.log(p)

    losses = []
    for row, (query, positive) in enumerate(zip(batch.queries, batch.positives, strict=True)):
        rivals = [other for other, group in enumerate(groups) if group == groups[row]]
        texts = [d for d, owner in enumerate(owners) if owner in rivals and ids[d] not in known[row]]
        pools = {
            "query-document": [
                query @ text for text in (*batch.documents[texts], *mixed(batch, row, temperature, mixing))
            ],
            "query-query": [query @ batch.queries[other] for other in rivals if not known[row] & known[other]],
            "document-query": [positive @ batch.queries[other] for other in rivals if ids[row] not in known[other]],
            "document-document": [positive @ batch.documents[d] for d in texts if ids[owners[d]] not in known[row]],
        }
        again = [query @ positive] if "document-query" in terms else []  # as in GTE's sum over all queries
        one = loss(row, [pools["query-document"], *(pools[term] for term in terms), again])
        both = symmetric and groups[row] == 0
        losses.append((one + loss(row, [pools["document-query"]])) / 2 if both else one)
    return torch.stack(losses)


def mixed(batch, row: int, temperature: float, mixing: dict | None) -> list[torch.Tensor]:
    """A row's synthetic negatives, of unit length."""
    known = batch.answers[row].tolist()
    places = range(len(batch.queries), len(batch.documents))
    own = [
        batch.documents[d]
        for d in places
        if batch.row_of_document[d] == row and int(batch.document_ids[d]) not in known
    ]
    found, draw = [], np.random.default_rng([(mixing or {}).get("seed", 0), int(batch.numbers[row])])
    if not mixing or len(own) < 2:
        return found
    for _ in range(mixing.get("pairwise", 0)):
        a, b, share = draw.random(3)
        first = int(a * len(own))
        others = own[first + 1 :] + own[:first]  # the others, in a circle
        mixture = share * own[first] + (1 - share) * others[int(b * len(others))]
        found.append(mixture / mixture.norm())
    if mixing.get("listwise"):
        exponentials = [torch.exp(batch.queries[row] @ negative / temperature) for negative in own]
        mixture = sum(e / sum(exponentials) * negative for e, negative in zip(exponentials, own, strict=True))
        found.append(mixture / mixture.norm())
    return found


def circle(batch, gamma: float, margin: float) -> torch.Tensor:
    owners, groups, ids = batch.row_of_document.tolist(), batch.groups.tolist(), batch.document_ids.tolist()
    losses = []
    for row, (query, positive) in enumerate(zip(batch.queries, batch.positives, strict=True)):
        own = cosine_of(query, positive)
        pull = gamma * torch.clamp(1 + margin - own.detach(), min=0) * (own - (1 - margin))
        inner = torch.ones((), dtype=torch.float64)
        for d, document in enumerate(batch.documents):
            if groups[owners[d]] == groups[row] and ids[d] not in batch.answers[row].tolist():
                score = cosine_of(query, document)
                push = gamma * torch.clamp(score.detach() + margin, min=0) * (score - margin)
                inner = inner + torch.exp(push - pull)
        losses.append(torch.log(inner))
    return torch.stack(losses)


def spread_out(batch) -> torch.Tensor:
    def spread(side: torch.Tensor) -> torch.Tensor:
        cosines = [cosine_of(one, other) for i, one in enumerate(side) for j, other in enumerate(side) if i != j]
        second = sum(cosine**2 for cosine in cosines) / len(cosines)
        return (sum(cosines) / len(cosines)) ** 2 + torch.clamp(second - 1 / side.shape[1], min=0)

    ids = batch.document_ids[: len(batch.queries)].tolist()
    distinct = torch.stack([positive for i, positive in enumerate(batch.positives) if ids[i] not in ids[:i]])
    return ((spread(batch.queries) + spread(distinct)) / 2).repeat(len(batch.queries))


def latent_attention(states: torch.Tensor, weights: dict[str, torch.Tensor], *, heads: int) -> torch.Tensor:
    """Of token states, (tokens, dimension), one by one: they attend to latents, and an MLP follows (arXiv
    2405.17428)."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return (x - x.mean()) / torch.sqrt(x.var(correction=0) + 1e-5) * weights[f"{name}.weight"] + weights[
            f"{name}.bias"
        ]

    width = states.shape[1]
    both = [weights["key_value.weight"] @ norm(latent, "latent_norm") for latent in weights["array"]]
    rows = []
    for state in states:
        query, parts = weights["query.weight"] @ norm(state, "token_norm"), []
        for own in torch.arange(width).split(width // heads):
            shares = torch.stack([query[own] @ pair[:width][own] / len(own) ** 0.5 for pair in both]).softmax(0)
            parts.append(sum(share * pair[width:][own] for share, pair in zip(shares, both, strict=True)))
        state = state + weights["out.weight"] @ torch.cat(parts)
        inner = weights["mlp.1.weight"] @ norm(state, "mlp.0") + weights["mlp.1.bias"]
        gelu = inner * (1 + torch.erf(inner / 2**0.5)) / 2
        rows.append(state + weights["mlp.3.weight"] @ gelu + weights["mlp.3.bias"])
    return torch.stack(rows)


def _own(batch, row: int) -> list[int]:
    return [d for d in range(len(batch.documents)) if batch.row_of_document[d] == row]


def margin_mse(batch, scale: float) -> torch.Tensor:
    losses = []
    for row, query in enumerate(batch.queries):
        positive, *negatives = _own(batch, row)
        errors = [
            scale * (query @ batch.documents[positive] - query @ batch.documents[n])
            - (batch.teacher_scores[positive] - batch.teacher_scores[n])
            for n in negatives
        ]
        losses.append(sum(error**2 for error in errors) / len(errors) if errors else query.sum() * 0)
    return torch.stack(losses)


def distill_kl(batch, temperature: float, teacher_temperature: float) -> torch.Tensor:
    losses = []
    for row, query in enumerate(batch.queries):
        student = [torch.exp(query @ batch.documents[d] / temperature) for d in _own(batch, row)]
        teacher = [math.exp(batch.teacher_scores[d] / teacher_temperature) for d in _own(batch, row)]
        shares = [(s / sum(student), t / sum(teacher)) for s, t in zip(student, teacher, strict=True)]
        losses.append(temperature**2 * sum(t * (math.log(t) - torch.log(s)) for s, t in shares))
    return torch.stack(losses)


def embedding_mse(batch) -> torch.Tensor:
    losses = []
    for row, query in enumerate(batch.queries):
        texts = [(query, batch.teacher_queries[row])]
        texts += [(batch.documents[d], batch.teacher_documents[d]) for d in _own(batch, row)]
        losses.append(
            sum((found - expected) @ (found - expected) / len(query) for found, expected in texts) / len(texts)
        )
    return torch.stack(losses)


def m3(batch, temperature: float, score_weights: dict, loss_weights: dict, self_distillation: bool) -> torch.Tensor:
    groups, ids, owners = batch.groups.tolist(), batch.document_ids.tolist(), batch.row_of_document.tolist()
    kinds = ["dense", *batch.query_tokens.outputs]
    queries, documents = texts_of(batch.query_tokens), texts_of(batch.document_tokens)
    losses = []
    for row, query in enumerate(batch.queries):
        known = batch.answers[row].tolist()
        others = [d for d, owner in enumerate(owners) if groups[owner] == groups[row] and ids[d] not in known]
        scores = {kind: [] for kind in kinds}
        for d in [row, *others]:
            scores["dense"].append(query @ batch.documents[d])
            for kind in kinds[1:]:
                scores[kind].append(token_score(kind, queries[row], documents[d]))
        every = [sum(score_weights[kind] * scores[kind][place] for kind in kinds) for place in range(1 + len(others))]
        logs = {kind: [s / temperature - _log_sum(scores[kind], temperature) for s in scores[kind]] for kind in kinds}
        logs_of_sum = [s / temperature - _log_sum(every, temperature) for s in every]
        loss = (sum(-loss_weights[kind] * logs[kind][0] for kind in kinds) - logs_of_sum[0]) / (len(kinds) + 1)
        if self_distillation:
            taught = {
                kind: -sum(torch.exp(p.detach()) * log for p, log in zip(logs_of_sum, logs[kind], strict=True))
                for kind in kinds
            }
            loss = (loss + sum(loss_weights[kind] * taught[kind] for kind in kinds) / len(kinds)) / 2
        losses.append(loss)
    return torch.stack(losses)


def _log_sum(scores: list[torch.Tensor], temperature: float) -> torch.Tensor:
    return torch.log(sum(torch.exp(score / temperature) for score in scores))


def texts_of(tokens) -> list[list[tuple[int, dict]]]:
    """Each text's tokens: their ids, and what the heads give for them."""
    found, place = [], 0
    for length in tokens.lengths.tolist():
        own = range(place, place + length)
        found.append([(int(tokens.ids[i]), {name: output[i] for name, output in tokens.outputs.items()}) for i in own])
        place += length
    return found


def token_score(kind: str, query: list[tuple[int, dict]], document: list[tuple[int, dict]]) -> torch.Tensor:
    if kind == "lexical":
        weights = [{} for _ in range(2)]
        for text, of_text in zip((query, document), weights, strict=True):
            for token, outputs in text:
                weight = outputs["lexical"][0]
                if token not in of_text or weight > of_text[token]:
                    of_text[token] = weight
        shared = [weights[0][token] * weights[1][token] for token in weights[0].keys() & weights[1].keys()]
        return sum(shared) if shared else torch.zeros((), dtype=torch.float64)
    best = [max(cosine_of(q[kind], d[kind]) for _, d in document) for _, q in query if document]
    return sum(best) / len(query) if best else torch.zeros((), dtype=torch.float64)
