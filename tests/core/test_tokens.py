"""The token estimate: how far off it is, that it is fast, and what a message costs beside its words."""

from __future__ import annotations

import time

import pytest
from clippy_hookspecs import (
    Block,
    Image,
    Message,
    Opaque,
    Reasoning,
    RefusalText,
    Text,
    TokenCounter,
    ToolCall,
    ToolResult,
)
from hypothesis import given
from hypothesis import strategies as st

from clippy_core.tokens import (
    CALL_TOKENS,
    CLAUDE_IMAGE_TOKENS,
    IMAGE_TOKENS,
    LOW_DETAIL_TOKENS,
    MESSAGE_TOKENS,
    HeuristicTokenCounter,
)

COUNTER = HeuristicTokenCounter()

# Texts of our own with their number of tokens in o200k_base, as bpe-openai 0.1.4 counts them.
SAMPLES: dict[str, tuple[int, str]] = {
    "chat": (
        163,
        "ana: Hi! I moved to the new flat on Saturday, but my internet still isn't working. The router blinks"
        " orange all the time.\n"
        "agent: Sorry to hear that, Ana. Could you tell me the serial number on the back of the router? It st"
        "arts with KX and has nine characters.\n"
        "ana: It's KX-4471920. I've already restarted it twice, and I tried the other socket in the hallway t"
        "oo.\n"
        "agent: Thanks, that helps. I can see that the line was activated yesterday evening, so we'll need ab"
        "out 24 hours before the signal is stable. If it doesn't turn green by tomorrow at noon, I'll book a "
        "technician for you free of charge.\n"
        "ana: OK, tomorrow at noon works. Can I get some money back for the three days without a connection?",
    ),
    "meeting": (
        138,
        "Project Manager: Right, so let's move on to the second point on the agenda, which is, um, the user i"
        "nterface of the remote control.\n"
        "Industrial Designer: Yeah, I think what we found last week is that people really only use about ten "
        "percent of the buttons, and they lose the thing under the sofa all the time.\n"
        "Marketing: Mm-hmm. And seventy-five percent of the people we asked said that they find most remote c"
        "ontrols ugly, so they'd pay a bit more for one that looks good.\n"
        "Project Manager: Okay. So fewer buttons, something fancy, and maybe a way to find it when it's lost."
        " Does anybody know what that would do to the production cost?",
    ),
    "python": (
        196,
        "def merge_intervals(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:\n"
        '    """Join intervals that touch or overlap; the result is sorted and disjoint."""\n'
        "    merged: list[tuple[int, int]] = []\n"
        "    for start, end in sorted(intervals):\n"
        "        if merged and start <= merged[-1][1]:\n"
        "            last_start, last_end = merged.pop()\n"
        "            merged.append((last_start, max(last_end, end)))\n"
        "        else:\n"
        "            merged.append((start, end))\n"
        "    return merged\n"
        "\n"
        "\n"
        "class Account:\n"
        "    def __init__(self, owner: str, balance: float = 0.0) -> None:\n"
        "        self.owner = owner\n"
        "        self._balance = balance\n"
        "\n"
        "    def withdraw(self, amount: float) -> None:\n"
        "        if amount > self._balance:\n"
        '            raise ValueError(f"{self.owner} has only {self._balance:.2f}")\n'
        "        self._balance -= amount\n",
    ),
    "json": (
        207,
        '{"order_id": "8f14e45f-ceea-467f-a0e6-1f2d3c4b5a69", "customer": {"id": 48213, "name": "Maria Lopez"'
        ', "email": "maria@example.com", "vip": true}, "items": [{"sku": "TBL-0093", "title": "Oak side table'
        '", "quantity": 1, "price": 149.9}, {"sku": "LMP-1207", "title": "Reading lamp, brass", "quantity": 2'
        ', "price": 39.5}], "shipping": {"method": "express", "address": {"street": "12 Harbour Road", "city"'
        ': "Bristol", "zip": "BS1 4TR", "country": "GB"}, "eta": "2026-11-27T16:00:00Z"}, "discount": null, "'
        'total": 228.9}',
    ),
    "markdown": (
        159,
        "# Getting started\n"
        "\n"
        "Install the package, then create a file called `settings.toml` in your project:\n"
        "\n"
        "```toml\n"
        "[server]\n"
        'host = "127.0.0.1"\n'
        "port = 8080\n"
        "```\n"
        "\n"
        "## What happens next\n"
        "\n"
        "1. The server reads the settings and checks **every** value.\n"
        "2. If something is wrong, it prints *all* faults at once and stops.\n"
        "3. Otherwise it listens on the port above; open <http://127.0.0.1:8080/> to see the status page.\n"
        "\n"
        "| option | default | meaning |\n"
        "| --- | --- | --- |\n"
        "| `host` | `localhost` | the address to listen on |\n"
        "| `workers` | 4 | how many processes answer requests |\n",
    ),
    "chinese": (
        103,
        "昨天下午我和同事一起去了城北的新图书馆。那里的阅览室很大,窗户朝着公园,光线非常好。我们本来只想借两"
        "本关于气候变化的书,结果在里面待了三个多小时。图书管理员告诉我们,从下个月开始,周末的开放时间会延长"
        "到晚上十点。如果你也想安静地工作或者学习,我觉得这是一个很不错的地方。",
    ),
    "japanese": (
        115,
        "先週の日曜日、友達と一緒に京都へ行きました。朝早く出発したので、お寺はまだ静かで、庭をゆっくり歩くこ"
        "とができました。昼ごはんには駅の近くの小さな店でうどんを食べました。とてもおいしかったです。午後は雨"
        "が降り始めたため、博物館に入って古い着物の展示を見ました。来年の春にまた行きたいと思います。",
    ),
    "korean": (
        90,
        "지난 주말에 가족과 함께 바닷가로 여행을 다녀왔습니다. 날씨가 맑아서 아이들이 모래사장에서"
        " 하루 종일 뛰어놀았습니다. 저녁에는 시장에서 산 생선을 구워 먹었는데 정말 맛있었습니다."
        " 다음 날 아침에는 일찍 일어나서 해가 뜨는 모습을 보았습니다. 내년 여름에도 같은 곳에 "
        "다시 가기로 약속했습니다.",
    ),
    "russian": (
        86,
        "Вчера вечером мы долго обсуждали, куда поехать лет"
        "ом. Отец хочет на море, а мне больше нравятся горы"
        ", потому что там прохладно и мало людей. Сестра пр"
        "едложила взять машину и проехать через несколько м"
        "аленьких городов, останавливаясь там, где понравит"
        "ся. В конце концов мы решили сначала посчитать ден"
        "ьги, а потом уже выбирать дорогу и гостиницы.",
    ),
    "arabic": (
        74,
        "ذهبت صباح اليوم إلى السوق القديم مع أخي الصغير لنش"
        "تري بعض الخضار والفواكه الطازجة. كان المكان مزدحما"
        " بالناس، لكن الأسعار كانت أفضل بكثير من المتجر الك"
        "بير القريب من البيت. بعد ذلك جلسنا في مقهى صغير وش"
        "ربنا الشاي وتحدثنا عن خطط السفر في الصيف القادم.",
    ),
    "hindi": (
        75,
        "कल सुबह हम सब स्टेशन पर मिले और वहाँ से पहाड़ों की"
        " ओर निकल पड़े। रास्ते में बहुत बारिश हो रही थी, इस"
        "लिए गाड़ी धीरे चल रही थी। दोपहर को हमने एक छोटे गा"
        "ँव में रुककर गरम चाय पी और लोगों से बातें कीं। शाम"
        " तक मौसम साफ हो गया और हमें दूर से बर्फ दिखाई देने"
        " लगी।",
    ),
    "german": (
        67,
        "Letzte Woche haben wir endlich die neue Wohnung be"
        "sichtigt. Die Küche ist größer als erwartet, und v"
        "om Balkon aus sieht man über die Dächer bis zum Fl"
        "uss. Allerdings muss das Badezimmer renoviert werd"
        "en, was wahrscheinlich mehrere tausend Euro kostet"
        ". Der Vermieter hat versprochen, uns bis Freitag e"
        "inen Vorschlag zu schicken.",
    ),
    "french": (
        68,
        "Hier soir, nous avons dîné dans un petit restauran"
        "t près de la gare. La serveuse nous a conseillé le"
        " poisson du jour, qui était délicieux, et un vin b"
        "lanc de la région. Après le repas, nous avons marc"
        "hé le long de la rivière jusqu'au vieux pont, où d"
        "es musiciens jouaient encore malgré le froid.",
    ),
    "polish": (
        98,
        "W zeszłym tygodniu wreszcie obejrzeliśmy nowe mies"
        "zkanie. Kuchnia jest większa, niż się spodziewaliś"
        "my, a z balkonu widać rzekę i stare dachy. Niestet"
        "y łazienka wymaga remontu, który prawdopodobnie bę"
        "dzie kosztował kilka tysięcy złotych. Właściciel o"
        "biecał, że do piątku przyśle nam swoją propozycję.",
    ),
    "log": (
        150,
        "2026-11-03 08:14:22,513 INFO [http-12] GET /api/v1/users/482 200 in 18.42ms\n"
        "2026-11-03 08:14:23,090 WARN [db-3] connection to 10.0.4.7:5432 refused, retrying in 500ms\n"
        "2026-11-03 08:14:23,611 ERROR [worker-7] job 90113 failed: TimeoutError('no answer after 30s')\n"
        "2026-11-03 08:14:25,002 INFO [http-4] POST /api/v1/orders 201 in 73.05ms\n",
    ),
    "base64": (
        102,
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggkq9Zx2m"
        "TfWv7Lr3HbYdC8uEoQ1sPnKgXyVt6IwRzDl5eJaMiUB0FhGx4cNqOp",
    ),
}
CLOSE = ("chat", "meeting", "python", "json", "markdown", "log")


def error(kind: str) -> float:
    """How much the estimate is above the true count, as a share of it."""
    tokens, text = SAMPLES[kind]
    return COUNTER.count(text) / tokens - 1


@pytest.mark.parametrize("kind", CLOSE)
def test_english_code_and_json_are_within_seven_percent(kind: str) -> None:
    """What most requests are made of is counted closely."""
    assert abs(error(kind)) <= 0.07


def test_english_code_and_json_are_within_five_percent_on_average() -> None:
    """The mean error over the close kinds is at most five percent."""
    assert sum(abs(error(kind)) for kind in CLOSE) / len(CLOSE) <= 0.05


@pytest.mark.parametrize("kind", [kind for kind in SAMPLES if kind not in (*CLOSE, "base64")])
def test_other_languages_are_within_fifteen_percent(kind: str) -> None:
    """Other scripts and languages are counted less closely, and hardly ever too low."""
    assert -0.10 <= error(kind) <= 0.15


def test_random_characters_are_not_counted_too_low() -> None:
    """Base64 costs more tokens for each character than words; the estimate errs on the safe side."""
    assert 0 <= error("base64") <= 0.25


@pytest.mark.parametrize("model", ["", "gpt-4o-mini", "openai/gpt-5.1", "azure:gpt-4.1", "o3-mini", "gpt-oss-120b"])
def test_models_with_the_new_vocabulary_are_counted_as_they_are(model: str) -> None:
    """Names are recognised with and without the prefix of a gateway."""
    assert COUNTER.count(SAMPLES["chat"][1], model) == COUNTER.count(SAMPLES["chat"][1])


@pytest.mark.parametrize("model", ["gpt-4", "gpt-4-turbo-2024-04-09", "gpt-3.5-turbo", "text-embedding-3-small"])
def test_the_older_vocabulary_needs_many_more_tokens_for_other_scripts(model: str) -> None:
    """cl100k_base counts 249 tokens where o200k_base counts 75 (the Hindi sample); English is nearly the same."""
    assert COUNTER.count(SAMPLES["hindi"][1], model) >= 2 * COUNTER.count(SAMPLES["hindi"][1])
    assert COUNTER.count(SAMPLES["chat"][1], model) <= 1.05 * COUNTER.count(SAMPLES["chat"][1])


@pytest.mark.parametrize("model", ["claude-sonnet-5", "gemini-3-pro", "mistral-large", "my-own-model"])
def test_a_tenth_is_added_for_tokenizers_nobody_knows(model: str) -> None:
    """Without a public tokenizer the estimate is a tenth higher."""
    assert COUNTER.count(SAMPLES["chat"][1], model) == pytest.approx(1.1 * COUNTER.count(SAMPLES["chat"][1]), abs=1.5)


@given(st.text(max_size=400))
def test_any_text_has_a_count(text: str) -> None:
    """Nothing costs nothing; anything else at least a token and at most three for each character and a bit."""
    tokens = COUNTER.count(text)
    assert tokens >= (1 if text else 0)
    assert tokens <= 3.1 * len(text) + 2


@given(st.text(max_size=200), st.text(max_size=200))
def test_pieces_count_about_what_the_whole_counts(left: str, right: str) -> None:
    """Appending a text never makes the estimate much smaller."""
    assert COUNTER.count(left + "\n" + right) >= 0.6 * COUNTER.count(left) - 2


def test_a_lone_surrogate_is_counted() -> None:
    """Texts that cannot be written as UTF-8 come from providers, too."""
    assert COUNTER.count("a \ud800 b") >= 3


@pytest.mark.parametrize(
    "pump",
    [
        "a",
        "A",
        "aA",
        " ",
        "\n",
        " \n",
        "\t",
        "1",
        "a1",
        "_",
        "+",
        "a/",
        "'s",
        "x'",
        "é",
        "e\u0301",
        "ж",
        "汉",
        "=-",
        "!",
        "\u200d",
        "😀",
        "\u00a0",
    ],
)
def test_time_grows_with_length_alone(pump: str) -> None:
    """No text makes the scan quadratic: eight times the text takes nowhere near sixty-four times as long."""

    def seconds(size: int) -> float:
        text = (pump * size)[:size] + "!"
        begin = time.process_time()
        COUNTER.count(text)
        return time.process_time() - begin

    seconds(1000)
    small, large = min(seconds(10_000) for _ in range(3)), min(seconds(80_000) for _ in range(2))
    assert large <= 24 * max(small, 0.002)


# --- messages ---------------------------------------------------------------------------------------------------------


def test_the_counter_is_the_service_that_plugins_ask_for() -> None:
    """It has the methods of the Protocol."""
    assert isinstance(COUNTER, TokenCounter)


def test_an_empty_message_costs_its_framing() -> None:
    """Role and delimiters are tokens as well."""
    assert COUNTER.count_message(Message("user")) == MESSAGE_TOKENS


def test_a_name_costs_its_words_and_one_more() -> None:
    """OpenAI adds a token for the field."""
    named = Message("user", (Text("hi"),), {"name": "ana"})
    assert COUNTER.count_message(named) == COUNTER.count_message(Message("user", (Text("hi"),))) + 1 + COUNTER.count(
        "ana"
    )


@pytest.mark.parametrize(
    "block", [Text("some words here"), RefusalText("some words here"), Reasoning("some words here")]
)
def test_words_count_the_same_in_every_block(block: Block) -> None:
    """Text, refusal and reasoning are all text to a tokenizer."""
    assert COUNTER.count_message(Message("assistant", (block,))) == MESSAGE_TOKENS + COUNTER.count("some words here")


def test_a_call_costs_its_name_its_arguments_and_framing() -> None:
    """The id is not shown to the model."""
    call = ToolCall("call_abcdefghijklmnop", "get_weather", '{"city": "Paris"}')
    expected = MESSAGE_TOKENS + CALL_TOKENS + COUNTER.count("get_weather") + COUNTER.count('{"city": "Paris"}')
    assert COUNTER.count_message(Message("assistant", (call,))) == expected


def test_a_result_costs_what_is_in_it() -> None:
    """Blocks inside a tool result are counted like any others."""
    result = ToolResult("c", (Text("sunny"), Image(url="https://example.com/a.png")))
    expected = MESSAGE_TOKENS + CALL_TOKENS + COUNTER.count("sunny") + IMAGE_TOKENS
    assert COUNTER.count_message(Message("tool", (result,))) == expected


@pytest.mark.parametrize(
    ("image", "model", "tokens"),
    [
        (Image(url="https://example.com/a.png"), "gpt-4o", IMAGE_TOKENS),
        (Image(data="A" * 400_000, media_type="image/png"), "gpt-4o", IMAGE_TOKENS),
        (Image(data="A" * 400_000, media_type="image/png"), "claude-sonnet-5", CLAUDE_IMAGE_TOKENS),
        (Image(url="u", extra={"type": "image_url", "image_url": {"detail": "low"}}), "gpt-4o", LOW_DETAIL_TOKENS),
        (Image(url="u", extra={"detail": "low"}), "gpt-4o", LOW_DETAIL_TOKENS),
        (Image(url="u", extra={"detail": "high"}), "gpt-4o", IMAGE_TOKENS),
    ],
)
def test_an_image_costs_tiles_and_not_its_base64(image: Image, model: str, tokens: int) -> None:
    """Half a megabyte of base64 would be counted as more than any model can read."""
    assert COUNTER.count_message(Message("user", (image,)), model) == MESSAGE_TOKENS + tokens


def test_a_block_we_do_not_model_is_counted_as_json() -> None:
    """A short unknown block costs its text, a document far less than its base64."""
    note = COUNTER.count_message(Message("user", (Opaque("note", {"type": "note", "text": "remember the milk"}),)))
    assert note > MESSAGE_TOKENS + COUNTER.count("remember the milk")
    source = {"type": "base64", "data": "JVBERi0xLjQK" * 20_000}
    document = COUNTER.count_message(Message("user", (Opaque("document", {"type": "document", "source": source}),)))
    assert 2_000 < document < 20_000
