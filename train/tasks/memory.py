"""Multi-turn memory: the user tells things about himself and asks for them later.

Canonical forms
  a statement     "Nice to meet you, Anna." if it tells the user's name, otherwise "OK, I will remember that."
  a correction    "OK, I have corrected that."   (it begins with "Actually", "No", "Sorry" or "Correction")
  a question      the `answer` of its kind of fact, e.g. "Your name is Anna."
  never said      "You have not told me that."
The last value said counts. In thinking mode the reasoning of the last answer is the fact in the user's
view, "The user said: my name is Anna.", or "The user has not said that."

The module also has what other modules of conversations need: system texts, ordinary turns and invented words.
"""
import random
from dataclasses import dataclass
from importlib import import_module

from .common import Conversation, Turn, draw, is_held_out, weighted
from .words_list import ANIMALS, CITIES, COLOURS, DAYS, FRUITS, MONTHS, NAMES, OBJECTS, WORDS

# ---- shared pieces -----------------------------------------------------------------------------------

DEFAULT_SYSTEM = "You are a helpful assistant"          # of the command line
OTHER_SYSTEMS = (
    "You are a helpful assistant.", "You are a friendly assistant.", "Answer briefly.", "You are ds4.",
    "You are a careful assistant. Keep your answers short.", "Help the user.", "Be polite and precise.",
    "You answer questions and remember what the user says.", "You are an expert who answers in one sentence.",
    "You are a coding assistant.", "Be concise.", "Today is a good day. Be kind to the user.",
)


def system_messages(rng: random.Random) -> list:
    """The system message of a conversation as a list: the default text in 60 %, none in 20 %, another in 20 %."""
    chance = rng.random()
    if chance < 0.2:
        return []
    text = DEFAULT_SYSTEM if chance < 0.8 else rng.choice(OTHER_SYSTEMS)
    return [{"role": "system", "content": text}]


_ordinary_tasks = []


def ordinary_turn(rng: random.Random) -> Turn:
    """A turn of the modules of single turns, from the training side of their own split."""
    if not _ordinary_tasks:             # imported late, so that this module can be used by those
        for name in ("arithmetic", "words", "units", "talk", "facts"):
            _ordinary_tasks.append(tuple(import_module("." + name, __package__).TASKS))
    return draw(weighted(rng, rng.choice(_ordinary_tasks)), rng)


def user(content: str) -> dict:
    return {"role": "user", "content": content}


def assistant(content: str, reasoning: str = "") -> dict:
    message = {"role": "assistant", "content": content}
    if reasoning:
        message["reasoning_content"] = reasoning
    return message


_ONSETS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "dr", "fl", "gr", "kl", "pl",
           "st", "tr", "sh", "th", "w", "j", "h")
_VOWELS = ("a", "e", "i", "o", "u", "a", "e", "o", "ai", "oo", "ee")
_CODAS = ("", "", "", "n", "r", "l", "m", "s", "k", "x", "th", "nd", "ck", "rt")


def invented_word(rng: random.Random) -> str:
    """A pronounceable word that no list has, of two or three syllables."""
    parts = []
    for _ in range(2 if rng.random() < 0.7 else 3):
        parts += rng.choice(_ONSETS), rng.choice(_VOWELS)
    return "".join(parts) + rng.choice(_CODAS)


def invented_name(rng: random.Random) -> str:
    return invented_word(rng).capitalize()


def listed_or(invent, words):
    """A value from a list in 60 %, an invented one in 40 %: the model has to copy, not to know."""
    return lambda rng: rng.choice(words) if rng.random() < 0.6 else invent(rng)


any_name = listed_or(invented_name, NAMES)
any_city = listed_or(invented_name, CITIES)
any_word = listed_or(invented_word, WORDS)


def number_of_digits(rng: random.Random, least: int, most: int) -> str:
    n_digits = rng.randint(least, most)
    return str(rng.randrange(10 ** (n_digits - 1), 10 ** n_digits))


def any_date(rng: random.Random) -> str:
    return f"{rng.randint(1, 28)} {rng.choice(MONTHS)}"


def any_time(rng: random.Random) -> str:
    return f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}"


# ---- facts -------------------------------------------------------------------------------------------


@dataclass
class FactKind:
    name: str
    subjects: tuple             # what {s} stands for; ("",) if there is only one such fact
    value: object               # value(rng) -> str, what {v} stands for
    statements: tuple           # the first is the one that corrections and reasoning use
    questions: tuple
    answer: str


_RELATIVES = ("sister", "brother", "mother", "father", "son", "daughter", "cousin", "uncle", "aunt", "friend",
              "neighbour", "teacher", "boss")
_PETS = tuple(dict.fromkeys(("dog", "cat", "horse", "parrot", "hamster", "rabbit") + tuple(ANIMALS[:14])))
_THINGS = tuple(dict.fromkeys(("bike", "car", "house", "boat", "hat", "sofa") + tuple(OBJECTS[:24])))
_EVENTS = ("meeting", "party", "exam", "concert", "wedding", "interview", "lesson", "match", "dinner", "trip")
_JOBS = ("baker", "teacher", "doctor", "farmer", "pilot", "nurse", "painter", "carpenter", "driver", "cook", "lawyer",
         "gardener", "plumber", "writer", "librarian", "sailor", "judge", "singer", "barber", "builder")
_FOODS = ("pizza", "soup", "rice", "bread", "pasta", "cheese", "salad", "pancakes", "noodles", "beans", "curry")
_LANGUAGES = ("English", "German", "French", "Spanish", "Italian", "Greek", "Polish", "Dutch", "Danish", "Turkish")


def _event_time(rng):
    return f"on {rng.choice(DAYS)} at {rng.randint(1, 12)}"


def _three_words(rng):
    return ", ".join(any_word(rng) for _ in range(3))


FACT_KINDS = (
    FactKind("name", ("",), any_name,
             ("My name is {v}.", "I am {v}.", "I'm {v}.", "Hi, my name is {v}.", "You can call me {v}.",
              "Hello, I am {v}."),
             ("What is my name?", "What's my name?", "Do you remember my name?", "Do you know my name?",
              "Who am I?", "How am I called?", "Tell me my name."),
             "Your name is {v}."),
    FactKind("colour", ("",), listed_or(invented_word, COLOURS),
             ("My favourite colour is {v}.", "The colour I like best is {v}.",
              "I like {v} more than any other colour."),
             ("What is my favourite colour?", "Which colour do I like best?", "What's my favourite colour?",
              "Do you remember my favourite colour?"),
             "Your favourite colour is {v}."),
    FactKind("home", ("",), any_city,
             ("I live in {v}.", "My home is in {v}.", "I'm living in {v}.", "My flat is in {v}."),
             ("Where do I live?", "In which city do I live?", "Do you remember where I live?",
              "What city is my home in?"),
             "You live in {v}."),
    FactKind("origin", ("",), any_city,
             ("I was born in {v}.", "My place of birth is {v}."),
             ("Where was I born?", "In which city was I born?", "What is my place of birth?"),
             "You were born in {v}."),
    FactKind("pet", _PETS, any_name,
             ("My {s} is called {v}.", "I have a {s} called {v}.", "My {s}'s name is {v}.", "My {s} has the name {v}."),
             ("What is my {s} called?", "What is the name of my {s}?", "What's my {s}'s name?",
              "Do you remember the name of my {s}?"),
             "Your {s} is called {v}."),
    FactKind("relative", _RELATIVES, any_name,
             ("My {s}'s name is {v}.", "My {s} is called {v}.", "The name of my {s} is {v}."),
             ("What is my {s}'s name?", "What is the name of my {s}?", "What is my {s} called?",
              "How is my {s} called?"),
             "Your {s}'s name is {v}."),
    FactKind("relative_home", _RELATIVES, any_city,
             ("My {s} lives in {v}.", "My {s} has a house in {v}."),
             ("Where does my {s} live?", "In which city does my {s} live?"),
             "Your {s} lives in {v}."),
    FactKind("number", ("",), lambda rng: number_of_digits(rng, 2, 5),
             ("Remember the number {v}.", "Please remember the number {v}.", "The number to remember is {v}.",
              "Keep the number {v} in mind."),
             ("Which number should you remember?", "What was the number?", "Which number did I tell you?",
              "What number did I ask you to remember?"),
             "The number is {v}."),
    FactKind("word", ("",), any_word,
             ("Remember the word {v}.", "Please remember the word {v}.", "The word to remember is {v}."),
             ("Which word should you remember?", "What was the word?", "Which word did I tell you?",
              "What word did I ask you to remember?"),
             "The word is {v}."),
    FactKind("words", ("",), _three_words,
             ("Remember these words: {v}.", "Remember this list: {v}.", "Keep these three words in mind: {v}."),
             ("What were the three words?", "Which words are on the list?", "Repeat the list of words."),
             "The words are {v}."),
    FactKind("password", ("",), lambda rng: f"{any_word(rng)}-{any_word(rng)}",
             ("My password is {v}.", "The password I use is {v}.", "Remember my password, it is {v}."),
             ("What is my password?", "What's my password?", "Which password do I use?", "I forgot my password."),
             "Your password is {v}."),
    FactKind("code", ("door", "safe", "gate", "locker", "bike lock", "suitcase", "alarm"),
             lambda rng: number_of_digits(rng, 3, 5),
             ("The code of my {s} is {v}.", "The number {v} opens my {s}.", "My {s} has the code {v}."),
             ("What is the code of my {s}?", "Which number opens my {s}?", "Which code does my {s} have?"),
             "The code of your {s} is {v}."),
    FactKind("age", ("",), lambda rng: str(rng.randint(6, 99)),
             ("I am {v} years old.", "My age is {v}.", "I'm {v} years old."),
             ("How old am I?", "What is my age?", "Do you remember how old I am?", "What's my age?"),
             "You are {v} years old."),
    FactKind("thing", _THINGS, listed_or(invented_word, COLOURS),
             ("My {s} is {v}.", "The colour of my {s} is {v}.", "I painted my {s} {v}."),
             ("What colour is my {s}?", "What is the colour of my {s}?", "Which colour does my {s} have?"),
             "Your {s} is {v}."),
    FactKind("event", _EVENTS, _event_time,
             ("The {s} is {v}.", "My {s} is {v}.", "We have the {s} {v}."),
             ("When is the {s}?", "When is my {s}?", "On which day and at what time is the {s}?"),
             "The {s} is {v}."),
    FactKind("job", ("",), listed_or(lambda rng: invented_word(rng) + " maker", _JOBS),
             ("I work as a {v}.", "My job is {v}.", "I earn my money as a {v}."),
             ("What is my job?", "What do I work as?", "What's my job?", "Do you remember my job?"),
             "You work as a {v}."),
    FactKind("fruit", ("",), listed_or(invented_word, FRUITS),
             ("My favourite fruit is {v}.", "The fruit I like best is {v}."),
             ("What is my favourite fruit?", "Which fruit do I like best?", "What's my favourite fruit?"),
             "Your favourite fruit is {v}."),
    FactKind("food", ("",), listed_or(invented_word, _FOODS),
             ("My favourite food is {v}.", "The food I like best is {v}.", "I like to eat {v} most of all."),
             ("What is my favourite food?", "Which food do I like best?", "What do I like to eat most of all?"),
             "Your favourite food is {v}."),
    FactKind("birthday", ("",), any_date,
             ("My birthday is on {v}.", "I was born on {v}.", "I have my birthday on {v}."),
             ("When is my birthday?", "On which day is my birthday?", "Do you remember my birthday?"),
             "Your birthday is on {v}."),
    FactKind("language", ("",), listed_or(invented_name, _LANGUAGES),
             ("I am learning {v}.", "The language I am learning is {v}."),
             ("Which language am I learning?", "What language am I learning?"),
             "You are learning {v}."),
    FactKind("possession", ("books", "coins", "stamps", "chickens", "plants", "shoes", "keys", "cousins", "shells"),
             lambda rng: str(rng.randint(2, 999)),
             ("I have {v} {s}.", "I own {v} {s}.", "At home I have {v} {s}."),
             ("How many {s} do I have?", "How many {s} do I own?", "What is the number of my {s}?"),
             "You have {v} {s}."),
    FactKind("place", ("keys", "glasses", "wallet", "phone", "umbrella", "passport", "ticket", "letter", "ring"),
             lambda rng: f"{rng.choice(('in', 'under', 'behind', 'on', 'next to'))} the {rng.choice(OBJECTS)}",
             ("I put my {s} {v}.", "I left my {s} {v}.", "I hid my {s} {v}."),
             ("Where did I put my {s}?", "Where did I leave my {s}?", "Do you remember where I put my {s}?"),
             "You put your {s} {v}."),
)

REMEMBERED = "OK, I will remember that."
CORRECTED = "OK, I have corrected that."
NOT_SAID = "You have not told me that."
_CORRECTIONS = ("Actually, {}", "No, {}", "Sorry, {}", "Correction: {}", "Actually {}", "No wait, {}")


def lower_start(sentence: str) -> str:
    """The sentence as it stands behind a comma: "My name ..." -> "my name ..."; "I" stays."""
    return sentence if sentence[:2] in ("I ", "I'") else sentence[0].lower() + sentence[1:]


def _as_typed(rng, sentence):
    """People leave out capitals and full stops."""
    if rng.random() < 0.2:
        sentence = lower_start(sentence)
    if sentence[-1] == "." and rng.random() < 0.25:
        sentence = sentence[:-1]
    return sentence


def _say(rng, told):
    """States one or two facts, [(kind, subject, value)]."""
    sentences = [rng.choice(kind.statements).format(s=s, v=v) for kind, s, v in told]
    if len(sentences) == 2 and rng.random() < 0.5:
        text = f"{sentences[0][:-1]} and {lower_start(sentences[1])}"
    else:
        text = " ".join(sentences)
    name = next((v for kind, _, v in told if kind.name == "name"), None)
    return [user(_as_typed(rng, text)), assistant(f"Nice to meet you, {name}." if name else REMEMBERED)]


def _correct(rng, kind, subject, value):
    text = rng.choice(_CORRECTIONS).format(lower_start(kind.statements[0].format(s=subject, v=value)))
    return [user(_as_typed(rng, text)), assistant(CORRECTED)]


def _pick_facts(rng, n):
    """n different (kind, subject) with values. Few kinds with several subjects each are wanted: those differ
    only in the subject."""
    pool = rng.sample(FACT_KINDS, rng.randint(2, min(n + 1, 8)))
    facts, seen = [], set()
    for _ in range(4 * n):
        if len(facts) == n:
            break
        kind = rng.choice(pool)
        subject = rng.choice(kind.subjects)
        if (kind.name, subject) not in seen:
            seen.add((kind.name, subject))
            facts.append((kind, subject, kind.value(rng)))
    return facts


def _ask(rng, values):
    """(question, answer, reasoning, key) about one of the facts or, in 12 %, about something never said."""
    unknown = rng.random() < 0.12
    if unknown:
        while True:
            kind = rng.choice(FACT_KINDS)
            subject = rng.choice(kind.subjects)
            if (kind.name, subject) not in values:
                break
        # What else was said tells such questions apart; without it whole phrasings would be held out.
        value = "?;" + ";".join(f"{name} {s}={v}" for (name, s), (_, _, v) in values.items())
    else:
        kind, subject, value = rng.choice(list(values.values()))
    text = rng.choice(kind.questions).format(s=subject)
    key = f"{kind.name} {subject}={value};{text}"
    if unknown:
        return _as_typed(rng, text), NOT_SAID, "The user has not said that.", key
    fact = lower_start(kind.statements[0].format(s=subject, v=value))
    return _as_typed(rng, text), kind.answer.format(s=subject, v=value), f"The user said: {fact}", key


def conversation(rng: random.Random, fillers=ordinary_turn, think=None) -> Conversation:
    """A conversation of kind "memory" with 1-6 facts and 1-5 questions; the last message answers one of them.
    fillers(rng) -> Turn gives the ordinary turns between; think: 40 % if None."""
    if think is None:
        think = rng.random() < 0.4
    messages = system_messages(rng)
    most_fillers = rng.choice((0, 1, 2, 3, 6))

    def fill():
        for _ in range(rng.randint(0, most_fillers)):
            turn = fillers(rng)
            messages.extend((user(turn.user), assistant(turn.answer)))

    told = _pick_facts(rng, rng.choice((1, 2, 2, 3, 3, 4, 5, 6)))
    values = {}                         # (kind name, subject) -> (kind, subject, value), in the order of telling

    if rng.random() < 0.3:
        fill()
    n_questions = rng.randint(1, 5)
    asked = False
    while told or not asked or n_questions > 0:
        if told:
            together = [told.pop() for _ in range(min(len(told), 2 if rng.random() < 0.25 else 1))]
            messages += _say(rng, together)
            for fact in together:
                values[fact[0].name, fact[1]] = fact
            fill()
            if rng.random() < 0.15:
                kind, subject, old = rng.choice(list(values.values()))
                value = kind.value(rng)
                if value != old:
                    values[kind.name, subject] = (kind, subject, value)
                    messages += _correct(rng, kind, subject, value)
                    fill()
            if told and rng.random() < 0.75:
                continue
        last = not told and n_questions <= 1
        while True:
            text, answer, reasoning, key = _ask(rng, values)
            # What is held out must not be trained in the middle of another conversation either.
            if last or not is_held_out("memory", key):
                break
        n_questions -= 1
        asked = True
        messages.extend((user(text), assistant(answer, reasoning if last and think else "")))
        if not last:
            fill()
    return Conversation("memory", messages, think=think, key=key)
