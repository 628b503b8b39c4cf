"""Languages, in mteb's spelling for corpora and tasks and in that of hubs for released models."""

import re
from typing import Annotated

from pydantic import AfterValidator

# What hubs call a language (ISO 639-1), and mteb (ISO 639-3 with ISO 15924's script): those that corpora are most often of.
COMMON = dict(
    pair.split("=")
    for pair in (
        "ar=ara-Arab bg=bul-Cyrl bn=ben-Beng ca=cat-Latn cs=ces-Latn da=dan-Latn de=deu-Latn el=ell-Grek en=eng-Latn es=spa-Latn "
        "et=est-Latn fa=fas-Arab fi=fin-Latn fr=fra-Latn he=heb-Hebr hi=hin-Deva hr=hrv-Latn hu=hun-Latn id=ind-Latn it=ita-Latn "
        "ja=jpn-Jpan ko=kor-Hang lt=lit-Latn lv=lav-Latn nb=nob-Latn nl=nld-Latn pl=pol-Latn pt=por-Latn ro=ron-Latn ru=rus-Cyrl "
        "sk=slk-Latn sl=slv-Latn sr=srp-Cyrl sv=swe-Latn ta=tam-Taml te=tel-Telu th=tha-Thai tr=tur-Latn uk=ukr-Cyrl ur=urd-Arab "
        "vi=vie-Latn zh=zho-Hans"
    ).split()
)


def _of_corpus(language: str) -> str:
    # Programming languages have the script Code.
    if re.fullmatch(r"[a-z]{3}-[A-Z][a-z]{3}|[a-z+#]+-Code", language):
        return language
    raise ValueError(
        f"'{language}' is no language as mteb spells it, an ISO 639-3 code with script; write {COMMON.get(language, 'eng-Latn')}"
        f"{'' if language in COMMON else ' for English, and so on'}"
    )


def _of_hub(language: str) -> str:
    if re.fullmatch(r"[a-z]{2,3}|multilingual|code", language):
        return language
    known = {three: two for two, three in COMMON.items()}
    raise ValueError(
        f"'{language}' is no language as hubs spell it, an ISO 639 code; write {known.get(language, 'en')}"
        f"{'' if language in known else ' for English, and so on'}"
    )


Language = Annotated[str, AfterValidator(_of_corpus)]
"""A language with its script: eng-Latn."""
HubLanguage = Annotated[str, AfterValidator(_of_hub)]
"""A language as hubs spell it: en."""
