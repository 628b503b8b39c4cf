"""Rows that a language model writes about the texts of a corpus.

A row of the corpus and a prompt make a conversation (conversation.py), which yields requests and takes answers until it
has a row or a reason to set it aside. Requests go to a back end, and every answer into a file of answers first
(answers.py), from which the rows are made in the end: so a killed run asks nothing twice, and rows do not depend on the
order of answers.

A back end is one module of backends/ for one class of settings, with a context manager of the class's name:

    Openai(settings, folder)     folder: of the model, for a local one; else None
        .identity                what answers depend on besides the settings, for their keys
        .window                  how many requests it likes to have
        .submit(key, request)    take a request
        .finished()              wait; return (key, Answer or Failure) of at least one of them
"""
