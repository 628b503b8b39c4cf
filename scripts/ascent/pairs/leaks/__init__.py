"""How two texts are found to be the same: one module per method. One that compares embeddings is embedding.py; each
other one has two functions

    keys(texts, settings)      return columns `text` (place in the series), `key` (64 bits): distinct keys of each text.
                               Texts that match share at least one, but for MinHash's chance
    judge(found, settings)     return the pairs that match, with the column `score`, from 0 to 1

`found` has the columns `training` and `test` (texts), `shared` (keys that both have), `training_keys` and `test_keys`
(keys that each has). `settings` are those of settings/leaks.py."""
