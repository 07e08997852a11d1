"""What the broken text filters do to an answer."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from clippy_hookspecs import PluginError
from planted_shows import Make, a_caller, shows
from planted_text import WORD

import clippy_core
from clippy_core.testing import Fault, Reply, Script

SUITE = "TextFilterContract"


def streamed(make: Make, *pieces: str) -> str:
    return a_caller().start({"hide": make()}, Reply("".join(pieces), chunks=pieces)).stream().text


def streamed_by_choice(make: Make, *texts: str) -> list[str]:
    more = [Reply(text) for text in texts[1:]]
    caller = a_caller().start({"hide": make()}, Reply(texts[0], chunks=4, more=more))
    by_choice: dict[int, str] = defaultdict(str)
    for chunk in caller.stream(n=len(texts)).chunks:
        by_choice[chunk.choice] += chunk.delta if chunk.kind == "text" else ""
    return [by_choice[number] for number in range(len(texts))]


@shows(SUITE, "misses a word cut in two", sound="to <EMAIL>!", broken="to bob@corp.com!")
def a_word_in_two_pieces(make):
    return streamed(make, "to bob@", "corp.com!")


@shows(SUITE, "misses a word cut in three", sound="to <EMAIL>!", broken="to bob@corp.com!")
def a_word_in_its_letters(make):
    return streamed(make, "to ", *WORD, "!")


@shows(SUITE, "loses held text at the end", sound="to bob@", broken="to ")
def what_only_looked_like_the_word(make):
    return streamed(make, "to ", "bob@")


@shows(SUITE, "holds text back at the end", sound=None, broken=PluginError)
def what_the_caller_is_told_of_held_text(make):
    error = a_caller().start({"hide": make()}, Reply("to bob@")).stream().error
    return error and type(error)


@shows(SUITE, "gives held text twice", sound="to bob@", broken="to bob@bob@")
def what_only_looked_like_the_word_once(make):
    return streamed(make, "to ", "bob@")


@shows(SUITE, "mixes the answers of one call", sound=["to bob@", "good day"], broken=["to ", "bob@good day"])
def two_answers_of_one_call(make):
    return streamed_by_choice(make, "to bob@", "good day")


@shows(SUITE, "gives held text to the first answer", sound=["good day", "to bob@"], broken=["good daybob@", "to "])
def two_answers_the_second_of_which_ends_in_held_text(make):
    return streamed_by_choice(make, "good day", "to bob@")


@shows(SUITE, "mixes two streams", sound=["to bob@", "good day"], broken=["to ob@", "bgood day"])
def two_streams_at_a_time(make):
    script = Script(Reply("to bob@", chunks=["to b", "ob@"]), Reply("good day"))
    caller = a_caller().start({"hide": make()}, script)
    texts = ["", ""]
    with clippy_core.Client(caller.host, caller._http()) as client:
        with client.stream("one") as one:
            chunks = iter(one)
            while "to " not in texts[0]:
                texts[0] += _text(next(chunks))
            with client.stream("two") as two:
                texts[1] = "".join(map(_text, two))
            texts[0] += "".join(map(_text, chunks))
    return texts


def _text(chunk: Any) -> str:
    return chunk.delta if chunk.kind == "text" else ""


@shows(SUITE, "loses held text when the stream breaks", sound="to bob@", broken="to ")
def what_was_delivered_of_a_stream_that_broke(make):
    broken = [Fault.reset(at_delta=2), Reply("to bob@x", chunks=["to ", "bob@", "x"])]
    return a_caller().start({"hide": make()}, Script(broken)).stream().text


def whole(make: Make, *texts: str) -> list[str]:
    caller = a_caller().start({"hide": make()}, Reply(texts[0], more=[Reply(text) for text in texts[1:]]))
    response = caller.chat(n=len(texts))
    return [response.text, *(choice.message.text for choice in response.more)]


@shows(SUITE, "ignores answers in one piece", sound=["to <EMAIL>"], broken=["to bob@corp.com"])
def an_answer_in_one_piece(make):
    return whole(make, "to bob@corp.com")


@shows(SUITE, "ignores all answers in one piece but the first", sound=["<EMAIL>"] * 2, broken=["<EMAIL>", WORD])
def two_answers_in_one_piece(make):
    return whole(make, WORD, WORD)


@shows(SUITE, "finds less in one piece than in a stream", sound=["<EMAIL> <EMAIL>"], broken=[f"<EMAIL> {WORD}"])
def two_words_in_one_piece(make):
    return whole(make, f"{WORD} {WORD}")
