"""Texts as sets of 64-bit hashes of what they consist of: n-grams of words, or runs of characters.

Scripts that put no spaces between words (Chinese, Japanese, Thai, ...) count by characters. Case, width and punctuation
are ignored. Texts go through polars and numpy in batches."""

import numpy as np
import polars as pl

# Scripts without spaces between words.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_UNIT = rf"[{_UNSPACED}]|[\p{{L}}\p{{M}}\p{{N}}--[{_UNSPACED}]]+"
_NO_LETTER = r"[^\p{L}\p{M}\p{N}]+"
# Of the characters of a shingle, a script without spaces, whose characters say more, has this share.
_UNSPACED_SHARE = 0.4
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(32)


def word_ngrams(texts: pl.Series, size: int) -> pl.DataFrame:
    """Return the n-grams of each text: columns `text`, its place in `texts`, ascending, and `key`, the hash, which is
    equal within one process only."""
    units = _folded(texts).str.extract_all(_UNIT)
    lengths = units.list.len().to_numpy()
    hashes = units.list.explode(keep_nulls=False, empty_as_null=False).hash().to_numpy()
    return _runs(hashes, lengths, np.full(len(lengths), size))


def character_shingles(texts: pl.Series, size: int = 5) -> pl.DataFrame:
    """Return the runs of `size` letters and digits of each text, of two where it is five in a script without spaces, as
    word_ngrams does. A shorter text is one run. The hashes are the same everywhere."""
    letters = _folded(texts).str.replace_all(_NO_LETTER, "")
    lengths = letters.str.len_chars().to_numpy()
    unspaced = letters.str.count_matches(f"[{_UNSPACED}]").to_numpy() * 2 > lengths
    sizes = np.where(unspaced, max(1, round(_UNSPACED_SHARE * size)), size)
    codes = np.frombuffer("".join(letters.to_list()).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    return _runs(codes, lengths, np.minimum(sizes, np.maximum(lengths, 1)))


def distinct(shingles: pl.DataFrame) -> pl.DataFrame:
    """Return each shingle of a text once. (Ten times faster than `unique`, because each text's shingles lie
    together.)"""
    grouped = shingles.group_by("text", maintain_order=True).agg(pl.col("key").unique())
    return grouped.explode("key", empty_as_null=False, keep_nulls=False)


def _folded(texts: pl.Series) -> pl.Series:
    return texts.str.normalize("NFKC").str.to_lowercase()


def _runs(units: np.ndarray, lengths: np.ndarray, sizes: np.ndarray) -> pl.DataFrame:
    """Hash each run of `sizes` units within texts of `lengths` units, which lie one after another."""
    text_of = np.repeat(np.arange(len(lengths), dtype=np.uint32), lengths)
    parts = [pl.DataFrame(schema={"text": pl.UInt32, "key": pl.UInt64})]
    for size in np.unique(sizes).tolist():
        count = max(len(units) - size + 1, 0)
        key = np.full(count, size, dtype=np.uint64)
        for offset in range(size):
            key ^= units[offset : offset + count]
            key *= _PRIME
            key ^= key >> _SHIFT
        first, last = text_of[:count], text_of[size - 1 :]
        inside = (first == last) & (sizes[first] == size)
        parts.append(pl.DataFrame({"text": first[inside], "key": key[inside]}))
    return pl.concat(parts) if len(parts) == 2 else pl.concat(parts).sort("text", maintain_order=True)
