"""Languages, in mteb's spelling for corpora and tasks and in that of hubs for released models."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator

# What hubs call a language (ISO 639-1), and mteb (ISO 639-3 with ISO 15924's script): those that corpora are most often
# of.
COMMON = dict(
    pair.split("=")
    for pair in (
        "ar=ara-Arab bg=bul-Cyrl bn=ben-Beng ca=cat-Latn cs=ces-Latn da=dan-Latn de=deu-Latn el=ell-Grek en=eng-Latn"
        " es=spa-Latn et=est-Latn fa=fas-Arab fi=fin-Latn fr=fra-Latn he=heb-Hebr hi=hin-Deva hr=hrv-Latn hu=hun-Latn"
        " id=ind-Latn it=ita-Latn ja=jpn-Jpan ko=kor-Hang lt=lit-Latn lv=lav-Latn nb=nob-Latn nl=nld-Latn pl=pol-Latn"
        " pt=por-Latn ro=ron-Latn ru=rus-Cyrl sk=slk-Latn sl=slv-Latn sr=srp-Cyrl sv=swe-Latn ta=tam-Taml te=tel-Telu"
        " th=tha-Thai tr=tur-Latn uk=ukr-Cyrl ur=urd-Arab vi=vie-Latn zh=zho-Hans"
    ).split()
)

# What fastText's model of 176 languages calls them (mostly ISO 639-1), and the ISO 639-3 codes that each label stands
# for: also those of a language's standard forms, and of languages that are hard to distinguish.
_FASTTEXT = (
    "af=afr als=gsw am=amh an=arg ar=ara,arb,ary,apc arz=arz,ara as=asm ast=ast av=ava az=aze,azj azb=azb ba=bak"
    " bar=bar bcl=bcl be=bel bg=bul bh=bho bn=ben bo=bod bpy=bpy br=bre bs=bos,hbs bxr=bxr ca=cat cbk=cbk ce=che"
    " ceb=ceb ckb=ckb co=cos cs=ces cv=chv cy=cym da=dan de=deu diq=diq dsb=dsb dty=dty dv=div el=ell eml=eml en=eng"
    " eo=epo es=spa et=est,ekk eu=eus fa=fas,pes fi=fin fr=fra frr=frr fy=fry ga=gle gd=gla gl=glg gn=grn gom=gom"
    " gu=guj gv=glv he=heb hi=hin hif=hif hr=hrv,hbs hsb=hsb ht=hat hu=hun hy=hye ia=ina id=ind ie=ile ilo=ilo io=ido"
    " is=isl it=ita ja=jpn jbo=jbo jv=jav ka=kat kk=kaz km=khm kn=kan ko=kor krc=krc ku=kur,kmr kv=kom kw=cor ky=kir"
    " la=lat lb=ltz lez=lez li=lim lmo=lmo lo=lao lrc=lrc lt=lit lv=lav,lvs mai=mai mg=mlg,plt mhr=mhr min=min mk=mkd"
    " ml=mal mn=mon,khk mr=mar mrj=mrj ms=msa,zsm mt=mlt mwl=mwl my=mya myv=myv mzn=mzn nah=nah nap=nap nds=nds"
    " ne=nep,npi new=new nl=nld nn=nno,nor no=nob,nor oc=oci or=ori,ory os=oss pa=pan pam=pam pfl=pfl pl=pol pms=pms"
    " pnb=pnb ps=pus,pbt pt=por qu=que,quy rm=roh ro=ron ru=rus rue=rue sa=san sah=sah sc=srd scn=scn sco=sco sd=snd"
    " sh=hbs,srp,hrv,bos si=sin sk=slk sl=slv so=som sq=sqi,als sr=srp,hbs su=sun sv=swe sw=swa,swh ta=tam te=tel"
    " tg=tgk th=tha tk=tuk tl=tgl,fil tr=tur tt=tat tyv=tyv ug=uig uk=ukr ur=urd uz=uzb,uzn vec=vec vep=vep vi=vie"
    " vls=vls vo=vol wa=wln war=war wuu=wuu,zho,cmn xal=xal xmf=xmf yi=yid,ydd yo=yor yue=yue,zho,cmn"
    " zh=zho,cmn,yue,wuu "
)
_LABELS = {}
for pair in _FASTTEXT.split():
    label, codes = pair.split("=")
    for code in codes.split(","):
        _LABELS.setdefault(code, []).append(label)


def labels_of(language: str) -> list[str]:
    """Return the labels of fastText's model that a language, spelled as a corpus's, may get: none if it does not know
    it."""
    return _LABELS.get(language.split("-")[0], [])


def _of_corpus(language: str) -> str:
    # Programming languages have the script Code.
    if re.fullmatch(r"[a-z]{3}-[A-Z][a-z]{3}|[a-z+#]+-Code", language):
        return language
    raise ValueError(
        f"'{language}' is not a language as mteb spells it, an ISO 639-3 code with script; write"
        f" {COMMON.get(language, 'eng-Latn')}{'' if language in COMMON else ' for English, and so on'}"
    )


def _of_hub(language: str) -> str:
    if re.fullmatch(r"[a-z]{2,3}|multilingual|code", language):
        return language
    known = {three: two for two, three in COMMON.items()}
    raise ValueError(
        f"'{language}' is not a language as hubs spell it, an ISO 639 code; write {known.get(language, 'en')}"
        f"{'' if language in known else ' for English, and so on'}"
    )


def _identified(language: str) -> str:
    if labels_of(language):
        return language
    raise ValueError(
        f"'{language}' is not a language that can be told from a text; it is one of fastText's 176 with their scripts"
    )


Language = Annotated[str, AfterValidator(_of_corpus)]
"""A language with its script: eng-Latn."""
HubLanguage = Annotated[str, AfterValidator(_of_hub)]
"""A language as hubs spell it: en."""
KnownLanguage = Annotated[Language, AfterValidator(_identified)]
"""A language with its script that can be told from a text."""
Script = Literal[
    "Arabic",
    "Armenian",
    "Bengali",
    "Bopomofo",
    "Cyrillic",
    "Devanagari",
    "Ethiopic",
    "Georgian",
    "Greek",
    "Gujarati",
    "Gurmukhi",
    "Han",
    "Hangul",
    "Hebrew",
    "Hiragana",
    "Kannada",
    "Katakana",
    "Khmer",
    "Lao",
    "Latin",
    "Malayalam",
    "Mongolian",
    "Myanmar",
    "Oriya",
    "Sinhala",
    "Tamil",
    "Telugu",
    "Thaana",
    "Thai",
    "Tibetan",
    "Tifinagh",
]
"""A script of Unicode."""
