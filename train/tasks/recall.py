"""Recall: facts planted in a long text that is otherwise generated prose, and questions about them.

Canonical forms
  answer      the bare value as it stands in the text: "4821", "mango-river", "under the green chair", "48 euros"
  reasoning   "The text says: " and the fact in the first phrasing of its kind, "The code of the red door is 4821."
  "OK."       the answer to a message that only gives the text
No two facts of a text share kind and subject; many share one of them, so that both decide.

Distances are counted in words here. With the model's vocabulary a word of this prose is about 1.4 tokens,
punctuation included, so 2,800 words are about 4,000 tokens; an evaluation should measure the tokens between
Conversation.fact and the question.
"""
import random
import re
from dataclasses import dataclass

from .common import Conversation, is_held_out
from .memory import (any_city, any_date, any_name, any_time, any_word, assistant, invented_name, invented_word,
                     number_of_digits, ordinary_turn, system_messages, user)
from .phrasing import right_articles
from .words_list import ANIMALS, COLOURS, DAYS, FRUITS, MONTHS, NAMES, OBJECTS, WORDS

# ---- prose -------------------------------------------------------------------------------------------
#
# A sentence is a template of its genre, filled from the lists below; an entry of a list may have slots itself.
# Between the sentences of one genre nothing is remembered: the prose only has to be varied and harmless, that
# is, never say anything a question asks for.

_SLOTS = {
    "name": NAMES,
    "animal": ANIMALS,
    "fruit": FRUITS,
    "colour": COLOURS,
    "object": OBJECTS,
    "word": WORDS,
    "day": DAYS,
    "month": MONTHS,
    "n": [str(n) for n in range(2, 60)],
    "big": [str(n) for n in range(60, 990, 7)],
    "number": "two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty".split(),
    "adj": "small large old new long short quiet loud heavy light broken clean dusty bright dark plain strange warm "
           "cold narrow wide round simple famous empty full soft rough steep hidden wooden golden rusty modern".split(),
    "mood": "happy tired curious nervous calm proud hungry bored glad surprised thoughtful cheerful angry "
            "patient lonely hopeful".split(),
    "adverb": "slowly quickly carefully quietly gladly badly happily suddenly finally usually often again soon "
              "together alone".split(),
    "who": ["{name}", "{name}", "{name} and {name}", "my {relative}", "the {job}", "the old {job}", "the children",
            "our neighbour", "a {job} from the next village", "everybody", "nobody", "the {adj} {animal}"],
    "relative": "brother sister mother father uncle aunt cousin grandmother grandfather friend".split(),
    "job": "baker teacher doctor farmer pilot nurse painter carpenter driver cook gardener plumber librarian sailor "
           "mayor postman miller tailor hunter engineer clerk shepherd".split(),
    "place": ["in the {adj} {building}", "at the {building}", "near the {building}", "behind the {building}",
              "by the {water}", "on the {adj} road", "in the {room}", "in front of the {building}", "in the forest",
              "on the hill", "between the {building} and the {water}", "under the {adj} bridge", "in the village"],
    "building": "house barn school library station church mill castle market museum theatre hotel bakery factory "
                "hospital tower bank farm workshop office lighthouse garage".split(),
    "room": "kitchen cellar garden hall attic bedroom corridor office yard studio".split(),
    "water": "river lake sea pond canal harbour stream beach".split(),
    "time": ["in the morning", "in the evening", "at noon", "at night", "on {day}", "in {month}", "last week",
             "a year ago", "after lunch", "before breakfast", "for {n} minutes", "the whole day", "after {n} days",
             "every {day}", "at the end of {month}", "during the holidays", "shortly after sunset"],
    "food": ["bread", "soup", "rice", "{fruit} cake", "fish", "cheese", "beans", "a bowl of {fruit} jam", "noodles",
             "potatoes", "pancakes", "{fruit} juice", "salad", "a {fruit} pie", "roast chicken", "porridge"],
    "ingredient": "flour sugar butter salt pepper milk rice honey cream garlic onions carrots cheese vinegar oil "
                  "yeast cinnamon parsley mushrooms tomatoes".split(),
    "weather": "rain snow wind fog sunshine hail frost thunder mist drizzle".split(),
    "thing": ["{object}", "{adj} {object}", "{colour} {object}", "{object}"],
    "did": ["found a {thing}", "lost a {thing}", "bought {number} {fruit} trees", "cleaned the {room}",
            "talked about the {weather}", "walked to the {building}", "painted the {thing}", "wrote a {adj} letter",
            "waited for the bus", "sang a {adj} song", "looked for the {animal}", "ate {food}", "cooked {food}",
            "repaired the {thing}", "slept", "read a book about the {word}", "carried the {thing} to the {building}",
            "told a story about a {animal}", "played with the {animal}", "dreamt of a {thing}", "opened the window",
            "forgot the {object}", "drew a {animal}", "saw a {colour} {animal}", "laughed about the word {word}"],
    "unit": "grams spoons cups slices pieces drops handfuls".split(),
    "direction": "north south east west".split(),
    "topic": ["the budget", "the {adj} {building}", "the plan for {month}", "the new {object}", "the {word} project",
              "safety", "the garden", "the summer party", "the price of {ingredient}", "the {animal} problem"],
    "part": "wheel screw handle spring motor pipe valve lever belt filter cable pump plate".split(),
    "subject": "history music geography physics painting grammar biology cooking sewing chemistry".split(),
}

_GENRES = {
    "diary": """
Today I {did} and {did}.
I woke up early because of the {weather}.
{time_}, {who} {did} {place}.
{who_} {did} {time}.
I felt {mood} {time}.
Then {who} came and {did}.
We {did} {place}, and then we {did}.
It was a {adj} day with a lot of {weather}.
Nothing much happened {time}.
My {relative} was {mood} and {did}.
I still think about the {thing} that {who} showed me.
For dinner we had {food} and {food}.
I wanted to write about the {word}, but I was too {mood}.
{name} asked me whether I like {food}, and I had to laugh.
On the way home I saw {number} {colour} birds.
Tomorrow I want to see the {building} again.
I am {mood}, and the {animal} is {mood} too.
Why does {who} always talk about the {object}?
In my dream the {animal} {did}.
What a {adj} evening!
I must not forget to thank {name} for the {food}.
The {room} smells of {food}.
""",
    "report": """
The {word} department {did} {time}.
{n} of {big} people said that the {object} is too {adj}.
The number of {fruit} trees has grown by {n} percent since {month}.
Our group examined {number} {adj} samples {place}.
The results are {adj}, but not {adj}.
Most visitors came from the {direction}.
The cost of the {part} was lower than in {month}.
{name} measured the {water} {number} times and found no change.
This section describes the {adj} part of the {word}.
There was no damage to the {building}.
It took {n} hours to bring the {thing} {place}.
The table shows {word} and {word} for each day of {month}.
In {month} the team had {n} members, in {month} only {number}.
The committee thanks {who} for the {thing}.
Further work on the {word} is needed.
A {adj} method was used to count the {animal} tracks.
The {part} of the {adj} machine was replaced {time}.
Readers who know the {word} may skip this part.
The second test was stopped because of {weather}.
""",
    "recipe": """
Mix the {ingredient} with {n} {unit} of {ingredient}.
Add {number} {unit} of {ingredient} and stir {adverb}.
Cut the {fruit} into {adj} pieces.
Let it rest {place} for {n} minutes.
Heat the oven and wash the {fruit}.
Serve it with {food} and a little {ingredient}.
If the dough is too {adj}, add some {ingredient}.
My {relative} always takes {ingredient} instead of {ingredient}.
Boil the {ingredient} until it is {adj}.
Put everything into a {adj} pot.
Then pour the {ingredient} over the {food}.
Taste it, and add {ingredient} if you like.
The {food} should be {adj} and {colour}.
This dish is eaten {time}.
For {number} people you need {big} grams of {ingredient}.
Cover the bowl with a {adj} cloth.
Remove the seeds of the {fruit} with a {adj} knife.
Leftovers can be kept for {number} days.
Peel the {fruit}, but keep the skin.
Never mix {ingredient} and {ingredient} without {ingredient}.
""",
    "meeting": """
{name} opened the discussion {adverb}.
The group talked about {topic} for {n} minutes.
{name} was against it, {name} was in favour.
{topic_} will be discussed again {time}.
There were {number} questions about {topic}.
{name} will write a {adj} summary.
Nobody had anything to say about {topic}.
{name} reported that {who} {did}.
The {job} asked for more {ingredient}.
{n} of {big} members voted for {topic}.
A {adj} proposal by {name} was accepted.
The break was short, and {food} was served.
{name} and {name} will look at {topic} {time}.
The minutes of {month} were read and accepted.
It was agreed to buy a {thing}.
{name} was late because of the {weather}.
The next point was {topic}.
Some members felt {mood}, others felt {mood}.
{name} promised to call the {job}.
In the end everybody was {mood}.
""",
    "weather": """
The {direction} will see {weather} {time}.
{weather_} is expected {place}.
It will be {adj} with some {weather}.
The wind comes from the {direction}.
Temperatures reach {n} degrees {time}.
After the {weather}, the sky will be {colour}.
Farmers hope for {weather} in {month}.
The {weather} {time} was the worst in {number} years.
In the {direction} there may be {weather} and {weather}.
Roads {place} may be closed because of {weather}.
The night stays {adj}.
By {day} the {weather} moves to the {direction}.
The water of the {water} is {adj} and {n} degrees warm.
{weather_} and {weather} took turns {time}.
People {place} should take an umbrella.
Last {month} was {adj} and brought much {weather}.
A {adj} cloud stood over the {building}.
Not even the {job} had expected so much {weather}.
""",
    "story": """
Once there was a {adj} {animal} that {did}.
The {animal} met a {adj} {animal} {place}.
"I have never seen such a {thing}," said the {animal}.
"Why are you so {mood}?" asked the {job}.
Nobody knew why the {animal} was so {mood}.
{time_}, the {animal} {did}.
They {did} until the {weather} stopped.
The {job} gave the {animal} some {food}.
The {adj} {building} stood {place}.
"We must go to the {building} before {day}," said {name}.
So the {animal} and the {animal} became friends.
Far away {place}, a {colour} light was burning.
The {animal} {adverb} followed the {job}.
In the {building} there was nothing but a {thing}.
The {animal} laughed, for it had {did} before.
"{word_}!" cried {name}, and everybody looked up.
A voice said something about {food}.
{number_} days later, {who} {did}.
And the {thing}? It was gone.
The forest was {adj}, and the path was {adj}.
""",
    "travel": """
We drove {direction} for {n} kilometres.
The {building} of the next town is very {adj}.
The hotel had {n} rooms and a {adj} {room}.
We ate {food} {place}.
The road to the {water} is {adj} and {adj}.
{who_} showed us the {building}.
From the hill one can see the {water} and {number} villages.
The bus was {adj}, so we {did}.
In the museum we looked at {number} {adj} paintings.
A ticket for the {building} is cheap in {month}.
The people there {adverb} eat {food}.
The {animal} market opens {time}.
My bag was too {adj} for the {thing}.
We lost our way {place} and asked a {job}.
The boat crossed the {water} in {n} minutes.
I bought a {thing} for my {relative}.
At the border we waited {time}.
The guide talked about the {word} and the {word}.
It is a {adj} journey, but it is worth it.
We sent {number} postcards to {name}.
""",
    "garden": """
The {fruit} trees need water {time}.
Plant the seeds {place}.
The {adj} soil is good for {ingredient}.
{n} plants grew better than last year.
A {animal} has eaten the {colour} flowers.
Cut the branches {adverb} in {month}.
The fence {place} is {adj}.
Too much {weather} is bad for the {fruit}.
{name} has {number} beds of {colour} roses.
The {object} was left {place}.
Bees like {colour} flowers most.
We harvested {big} kilograms of {fruit}s.
The roots were {adj} and {colour}.
Between the stones there grows {adj} grass.
Cover the plants if there is {weather}.
The greenhouse is warm even in {month}.
The leaves turn {colour} {time}.
Old {ingredient} makes good compost.
A hedge protects the {fruit} from the {weather}.
""",
    "manual": """
Turn the {part} {adverb} to the left.
Check the {part} every {n} days.
Do not touch the {part} while the {part} is {adj}.
If the lamp is {colour}, clean the {part}.
The {part} is behind the {adj} {part}.
Use only {adj} oil for the {part}.
Press the {colour} button {number} times.
A {adj} {part} must be replaced.
The {part} may become {adj} {time}.
Connect the {colour} wire with the {part}.
Wait {n} seconds before you open the {part}.
The machine is not made for {weather}.
Loosen {number} screws and lift the {part}.
Keep the {part} away from {ingredient}.
A noise in the {part} is usual {time}.
After {big} hours the {part} should be checked.
The {part} and the {part} form one {word}.
Store the machine {place}.
Never use the {part} without the {part}.
""",
    "school": """
The class learned {subject} {time}.
The teacher drew a {animal} on the board.
{name} was good at {subject}, {name} at {subject}.
The pupils wrote {n} lines about the {word}.
The lesson was {adj}, and {name} was {mood}.
Homework: read about the {word} and the {word}.
{number_} pupils were ill because of the {weather}.
In the break they {did}.
The test had {n} questions about {subject}.
{name} had forgotten the {object} at home.
"What is a {word}?" asked {name}.
The headmaster {did} {time}.
The classroom has {colour} walls and {n} chairs.
Nobody understood the sentence about the {animal}.
The school trip went to the {building}.
The choir sang {adverb}.
{name} and {name} share a {thing}.
A poem about the {animal} was read aloud.
{subject_} is {adj}, but {subject} is {adj}.
""",
    "news": """
{who_} {did} {place}, the police said.
The {building} will be closed {time}.
{n} people took part in the {word} race.
A {adj} {animal} was seen {place}.
The mayor {did} {time}.
The prices of {ingredient} and {fruit}s have risen.
The new {building} opens {time}.
Experts call the {word} {adj}.
The band {did} in front of {big} people.
A {job} saved a {animal} from the {water}.
The strike at the {building} is over.
There is a new film about a {adj} {job}.
The team lost the game {place}.
Nobody was hurt by the {weather}.
More and more people {adverb} eat {food}.
A {thing} was sold for a {adj} sum.
The museum shows {big} pictures of the {water}.
The road {place} is being repaired.
Some say the {animal} brings luck.
""",
    "letter": """
Thank you for the {thing}.
I hope you are not {mood}.
We are all well and {mood}.
Have you heard that {who} {did}?
Please bring the {thing} when you come.
It is {adj} here, and there is {weather} {time}.
The {animal} misses you.
{name} sends greetings from the {water}.
I have been {mood} since {day}.
Do you remember how we {did} {place}?
The children have grown, and {name} plays the piano.
I have put a picture of the {building} into the envelope.
Write soon and tell me about the {word}.
Yesterday {who} {did}.
We would like to see you in {month}.
Your last letter was {adj}.
The {room} has been painted {colour}.
{name} asks whether you need {ingredient}.
""",
    "history": """
In those days people {did} {time}.
The king ordered {number} {adj} ships.
A {job} from the {direction} brought the first {object} to the town.
The old {building} burned down in a {adj} winter.
After the war the {building} was empty.
Nobody knows who made the {thing}.
The {adj} age of {ingredient} began {place}.
The queen loved {food} and {colour} clothes.
For {big} years the {water} was a border.
The people of the {direction} traded {ingredient} for {fruit}s.
A stone with the picture of a {animal} was found {place}.
The town grew because of the {water}.
Books about the {word} were rare.
The {job} was more powerful than the {job}.
Later the {building} became a {building}.
Many songs tell of the {adj} {animal}.
Under the {room} there are {number} older walls.
""",
    "animals": """
The {animal} lives {place} and eats {fruit}s.
A {adj} {animal} can sleep for {n} hours.
In {month} the {animal} looks for a partner.
The {animal} is a little larger than the {animal}.
Its fur is {colour} with {colour} spots.
{weather_} does not bother the {animal}.
When it is {mood}, the {animal} makes a {adj} sound.
Young ones stay with the mother for {n} weeks.
The {animal} {adverb} hunts {time}.
Most of them weigh less than a {thing}.
{n} kinds of {animal} are known {place}.
The {animal} and the {animal} are enemies.
People used to keep the {animal} in the {room}.
It builds its nest from {adj} grass and {colour} leaves.
A {animal} can smell a {fruit} from far away.
The eyes of the {animal} are {adj}.
The tail is {adj} and {colour}.
""",
    "shop": """
The shop sells {object}s, {object}s and {ingredient}.
{who_} wanted a {adj} {object} for the {room}.
We have {number} {colour} ones left.
The {job} paid with a {adj} coin.
{time_}, there was a long queue.
A new delivery of {ingredient} arrives {time}.
The {object}s from the {direction} are better.
It was cheaper in {month}, said {name}.
Somebody had put the {thing} next to the {ingredient}.
The window was decorated with {colour} {fruit}s.
{name} complained that the {object} was too {adj}.
I can order it for you, but it takes {n} days.
The customers were {mood}, and so was {name}.
There is no {ingredient} left {time}.
Every tenth customer gets a {fruit}.
We close early because of the {weather}.
The {thing} was sold {adverb}.
""",
    "music": """
The concert {place} was {adj} but {adj}.
{name} plays the violin, and {name} sings.
The second song is about a {animal}.
The audience was {mood} and clapped {adverb}.
The band practises {time}.
A {adj} drum stood next to the {object}.
The choir has {n} members and a {adj} conductor.
"Play it again," said {name}.
The melody reminded me of the {water}.
All tickets were sold {time}.
The singer forgot a line about the {word}.
{number_} children danced {place}.
The piano was {adj}, as always {time}.
During the break there was {food}.
The last piece was written for {who}.
We could hear the trumpet even {place}.
It ended {adverb} with a {adj} tone.
""",
    "sport": """
The {animal} team played against the {animal} team.
{name} threw the ball {place}.
In the second half the players were {mood}.
The referee {did}.
It was the {adj} game of the season.
Our team trains {time}.
{name} ran {n} laps and then {did}.
The stadium was {adj} because of the {weather}.
{big} fans waved {colour} flags.
The coach was {mood}.
Nobody scored {time}.
The new shoes of {name} are {colour} and {adj}.
After the game they {did}.
{name} jumped {adverb} over the {object}.
The match was stopped for {n} minutes because of a {animal}.
The goalkeeper held the {adj} ball.
They lost, but they were not {mood}.
""",
}

_LINKS = ("After that, ", "Then ", "Later, ", "As far as I know, ", "In addition, ", "However, ", "Once more, ",
          "In the end, ", "Meanwhile, ", "By the way, ", "For example, ", "Of course, ")
_LINKABLE = ("The ", "There ", "We ", "It ", "They ", "A ", "In ", "My ", "Nobody ")


def _compile(text):
    """ "Cut the {fruit}." -> ("Cut the ", ("fruit", entries), "."); a slot "who_" starts with a capital."""
    parts = re.split(r"\{(\w+)\}", text)
    return tuple(p if i % 2 == 0 else (_COMPILED[p.rstrip("_")], p[-1] == "_") for i, p in enumerate(parts))


# Slots refer to other slots: first the empty lists, then their entries.
_COMPILED = {name: [] for name in _SLOTS}
for _name, _entries in _SLOTS.items():
    _COMPILED[_name].extend(_compile(entry) if "{" in entry else entry for entry in _entries)
_TEMPLATES = {genre: [_compile(line) for line in text.strip().split("\n")] for genre, text in _GENRES.items()}
_GENRE_NAMES = tuple(_TEMPLATES)
_ALL_TEMPLATES = [template for templates in _TEMPLATES.values() for template in templates]


def _fill(rng, template):
    uniform = rng.random
    out = []
    for part in template:
        if isinstance(part, str):
            out.append(part)
            continue
        entries, capital = part
        text = entries[int(uniform() * len(entries))]
        if not isinstance(text, str):
            text = _fill(rng, text)
        out.append(text[0].upper() + text[1:] if capital else text)
    return "".join(out)


def prose(rng: random.Random, n_words: int):
    """Sentences of about n_words words in all, as lists of one paragraph each. Long texts change the genre."""
    paragraphs, words = [], 0
    genre_until = 0
    while words < n_words:
        if words >= genre_until:
            templates = _TEMPLATES[rng.choice(_GENRE_NAMES)]
            genre_until = words + rng.randint(80, 500)
        paragraph = []
        for _ in range(rng.randint(2, 9)):
            row = templates if rng.random() < 0.75 else _ALL_TEMPLATES
            sentence = _fill(rng, row[int(rng.random() * len(row))])
            if rng.random() < 0.1 and sentence.startswith(_LINKABLE):
                sentence = rng.choice(_LINKS) + sentence[0].lower() + sentence[1:]
            sentence = right_articles(sentence)
            paragraph.append(sentence)
            words += sentence.count(" ") + 1
            if words >= n_words:
                break
        paragraphs.append(paragraph)
    return paragraphs


# ---- facts -------------------------------------------------------------------------------------------


@dataclass
class FactKind:
    name: str
    subject: object             # subject(rng) -> str, {s}
    value: object               # value(rng) -> str, {v}
    statements: tuple           # the first is canonical
    questions: tuple


@dataclass
class Fact:
    kind: FactKind
    subject: str
    value: str

    def key(self):
        return f"{self.kind.name} {self.subject}={self.value}"

    def statement(self, rng):
        return _sentence(rng.choice(self.kind.statements), self)

    def canonical(self):
        return _sentence(self.kind.statements[0], self)

    def question(self, rng):
        return _sentence(rng.choice(self.kind.questions), self)


def _sentence(template, fact):
    text = template.format(s=fact.subject, v=fact.value)
    return text[0].upper() + text[1:]


_ATTRIBUTES = tuple(COLOURS[:16]) + ("old", "new", "small", "large", "wooden", "round", "iron", "broken", "first",
                                     "second", "third", "upper", "lower", "left", "right", "hidden", "heavy")
_LOCKABLE = ("door", "safe", "gate", "box", "cabinet", "suitcase", "drawer", "chest", "locker", "vault",
             "garage", "bike")
_PLACES = ("library", "cabin", "museum", "station", "cellar", "school", "office", "hotel", "theatre", "workshop",
           "lighthouse", "harbour", "castle", "mill", "farm", "tower", "bakery", "archive", "garden house", "hospital")
_TRADES = ("baker", "teacher", "doctor", "farmer", "pilot", "nurse", "painter", "carpenter", "driver", "cook", "lawyer",
           "gardener", "plumber", "librarian", "sailor", "tailor", "barber", "miller", "singer", "judge")
_WHERE = ("under", "behind", "in", "next to", "on top of", "below", "inside", "near", "on")
_BEASTS = tuple(ANIMALS[:40])


def _attributed(nouns):
    return lambda rng: f"{rng.choice(_ATTRIBUTES)} {rng.choice(nouns)}"


def _one_of(words):
    return lambda rng: rng.choice(words)


def _digits(least, most):
    return lambda rng: number_of_digits(rng, least, most)


def _amount(least, most, unit):
    return lambda rng: f"{rng.randint(least, most)} {unit}"


def _where(rng):
    return f"{rng.choice(_WHERE)} the {_attributed(OBJECTS)(rng)}"


def _two_words(rng):
    return f"{any_word(rng)}-{any_word(rng)}"


def _serial(rng):
    return f"{rng.choice('ABCDEFGHKLMNPRSTWXYZ')}-{number_of_digits(rng, 2, 5)}"


FACT_KINDS = (
    FactKind("code", _attributed(_LOCKABLE), _digits(3, 5),
             ("the code of the {s} is {v}.", "the {s} has the code {v}.", "{v} is the code of the {s}.",
              "to open the {s}, enter {v}.", "the {s} opens with the code {v}."),
             ("What is the code of the {s}?", "Which code opens the {s}?", "Which code does the {s} have?")),
    FactKind("locker", any_name, _digits(2, 3),
             ("{s}'s locker number is {v}.", "{s} has locker number {v}.", "the number of {s}'s locker is {v}."),
             ("What is {s}'s locker number?", "Which locker does {s} have?", "What is the number of {s}'s locker?")),
    FactKind("password", _one_of(_PLACES), _two_words,
             ("the password for the {s} is {v}.", "to enter the {s}, say {v}.",
              "they say that {v} is the password for the {s}."),
             ("What is the password for the {s}?", "Which password does one need for the {s}?",
              "What must one say to enter the {s}?")),
    FactKind("meeting", any_name, any_city,
             ("the meeting with {s} takes place in {v}.", "we meet {s} in {v}.",
              "{v} is where the meeting with {s} is."),
             ("Where does the meeting with {s} take place?", "Where do we meet {s}?",
              "In which city is the meeting with {s}?")),
    FactKind("key", _one_of(_PLACES), _where,
             ("the key of the {s} is {v}.", "you find the key of the {s} {v}.", "the key for the {s} is kept {v}."),
             ("Where is the key of the {s}?", "Where does one find the key of the {s}?",
              "Where is the key for the {s} kept?")),
    FactKind("extension", any_name, _digits(3, 4),
             ("the phone number of {s} is {v}.", "call {s} at {v}.", "{s} has the phone number {v}."),
             ("What is the phone number of {s}?", "At which number can one call {s}?",
              "Which phone number does {s} have?")),
    FactKind("birthday", any_name, any_date,
             ("{s}'s birthday is on {v}.", "{s} was born on {v}.", "the birthday of {s} is {v}."),
             ("When is {s}'s birthday?", "On which day was {s} born?", "What is the birthday of {s}?")),
    FactKind("price", _attributed(OBJECTS), _amount(2, 9999, "euros"),
             ("the {s} costs {v}.", "the price of the {s} is {v}.", "you can buy the {s} for {v}."),
             ("How much does the {s} cost?", "What is the price of the {s}?", "For how much can one buy the {s}?")),
    FactKind("platform", any_city, _digits(1, 2),
             ("the train to {s} leaves from platform {v}.", "platform {v} is the one for the train to {s}.",
              "for {s}, take the train on platform {v}."),
             ("From which platform does the train to {s} leave?", "Which platform is the one for {s}?",
              "On which platform is the train to {s}?")),
    FactKind("bus", any_city, any_time,
             ("the bus to {s} leaves at {v}.", "at {v} the bus to {s} leaves.",
              "the departure of the bus to {s} is at {v}."),
             ("When does the bus to {s} leave?", "At what time is the bus to {s}?",
              "When is the departure of the bus to {s}?")),
    FactKind("pet", lambda rng: f"{any_name(rng)}'s {rng.choice(_BEASTS)}", any_name,
             ("{s} is called {v}.", "the name of {s} is {v}.", "{v} is the name of {s}."),
             ("What is {s} called?", "What is the name of {s}?", "Which name does {s} have?")),
    FactKind("fruit", any_name, _one_of(FRUITS),
             ("{s}'s favourite fruit is {v}.", "the fruit that {s} likes best is {v}.",
              "of all fruits {s} likes {v} best."),
             ("What is {s}'s favourite fruit?", "Which fruit does {s} like best?")),
    FactKind("captain", invented_name, any_name,
             ("the captain of the ship {s} is {v}.", "the ship {s} is led by captain {v}.",
              "{v} is the captain of the ship {s}."),
             ("Who is the captain of the ship {s}?", "Who leads the ship {s}?",
              "What is the captain of the {s} called?")),
    FactKind("colour", lambda rng: f"{any_name(rng)}'s {rng.choice(OBJECTS)}", _one_of(COLOURS),
             ("the colour of {s} is {v}.", "{s} is painted {v}.", "{s} has the colour {v}."),
             ("What is the colour of {s}?", "What colour is {s}?", "Which colour does {s} have?")),
    FactKind("page", lambda rng: f"{rng.choice(_BEASTS)} and the {any_word(rng)}", _digits(2, 3),
             ("the story of the {s} begins on page {v}.", "on page {v} there is the story of the {s}.",
              "you can read the story of the {s} on page {v}."),
             ("On which page does the story of the {s} begin?", "On which page is the story of the {s}?",
              "Which page has the story of the {s}?")),
    FactKind("room", any_word, _digits(2, 3),
             ("the lecture about {s} is in room {v}.", "room {v} is where the lecture about {s} is.",
              "the lecture about {s} takes place in room {v}."),
             ("In which room is the lecture about {s}?", "What is the room of the lecture about {s}?",
              "Which room has the lecture about {s}?")),
    FactKind("weight", _attributed(_BEASTS), _amount(2, 990, "kilograms"),
             ("the {s} weighs {v}.", "the weight of the {s} is {v}.", "with {v} the {s} is quite heavy."),
             ("How much does the {s} weigh?", "What is the weight of the {s}?", "How heavy is the {s}?")),
    FactKind("height", any_city, _amount(12, 399, "metres"),
             ("the tower of {s} has a height of {v}.", "the height of the tower of {s} is {v}.",
              "the tower of {s} rises {v} high."),
             ("How high is the tower of {s}?", "What is the height of the tower of {s}?")),
    FactKind("secret", any_name, any_word,
             ("the secret word of {s} is {v}.", "{s}'s secret word is {v}.", "{s} has chosen {v} as the secret word."),
             ("What is the secret word of {s}?", "What is {s}'s secret word?", "Which secret word has {s} chosen?")),
    FactKind("magic", any_word, _digits(2, 5),
             ("the magic number of {s} is {v}.", "{v} is the magic number of {s}.",
              "the magic number that belongs to {s} is {v}."),
             ("What is the magic number of {s}?", "Which magic number belongs to {s}?",
              "Which number is the magic number of {s}?")),
    FactKind("translation", lambda rng: f"{rng.choice(WORDS)} in {invented_name(rng)}ish", invented_word,
             ("the word for {s} is {v}.", "I learned that {v} is the word for {s}."),
             ("What is the word for {s}?", "Which word means {s}?")),
    FactKind("home", any_name, any_city,
             ("{s} lives in {v}.", "the home of {s} is in {v}.", "{s} has a flat in {v}."),
             ("Where does {s} live?", "In which city does {s} live?", "Where is the home of {s}?")),
    FactKind("job", any_name, _one_of(_TRADES),
             ("{s} works as a {v}.", "the job of {s} is {v}.", "{s} became a {v}."),
             ("What does {s} work as?", "What is the job of {s}?", "Which job does {s} have?")),
    FactKind("owner", _attributed(OBJECTS), any_name,
             ("the {s} belongs to {v}.", "the owner of the {s} is {v}.", "{v} owns the {s}."),
             ("Who owns the {s}?", "To whom does the {s} belong?", "Who is the owner of the {s}?")),
    FactKind("hidden", lambda rng: f"{any_name(rng)}'s {rng.choice(OBJECTS)}", _where,
             ("{s} is hidden {v}.", "the thief hid {s} {v}.", "the hiding place of {s} is {v}."),
             ("Where is {s} hidden?", "Where did the thief hide {s}?", "What is the hiding place of {s}?")),
    FactKind("year", _attributed(("bridge", "church", "school", "mill", "castle", "tower", "harbour", "wall",
                                   "theatre")),
             lambda rng: str(rng.randint(1100, 2020)),
             ("the {s} was built in {v}.", "in {v} the {s} was built.", "the {s} dates from {v}."),
             ("When was the {s} built?", "In which year was the {s} built?", "From which year does the {s} date?")),
    FactKind("serial", _attributed(OBJECTS), _serial,
             ("the serial number of the {s} is {v}.", "{v} is the serial number of the {s}.",
              "the {s} has the serial number {v}."),
             ("What is the serial number of the {s}?", "Which serial number does the {s} have?")),
    FactKind("winner", lambda rng: f"{any_word(rng)} race", any_name,
             ("the winner of the {s} is {v}.", "the {s} was won by {v}.", "{v} won the {s}."),
             ("Who won the {s}?", "Who is the winner of the {s}?")),
)


def _new_fact(rng, kind, seen, trained):
    """A fact whose (kind, subject) is not in seen yet, of the training side if `trained`."""
    while True:
        fact = Fact(kind, kind.subject(rng), kind.value(rng))
        if (kind.name, fact.subject) in seen or (trained and is_held_out("recall", fact.key())):
            continue
        seen.add((kind.name, fact.subject))
        return fact


def _facts(rng, n, last):
    """n facts of few kinds, so that several differ in the subject only; some share the subject instead. All but
    number last, whose question decides the side of the conversation, are on the training side."""
    kinds = rng.sample(FACT_KINDS, min(len(FACT_KINDS), rng.randint(1 + n // 8, 2 + n // 2)))
    facts, seen = [], set()
    for i in range(n):
        fact = None
        if facts and rng.random() < 0.25:   # the subject of another fact, if a kind takes the same
            other = rng.choice(facts)
            alike = [kind for kind in _ALIKE[other.kind.name] if (kind.name, other.subject) not in seen]
            if alike:
                kind = rng.choice(alike)
                fact = Fact(kind, other.subject, kind.value(rng))
                if i != last and is_held_out("recall", fact.key()):
                    fact = None
                else:
                    seen.add((kind.name, fact.subject))
        facts.append(fact or _new_fact(rng, rng.choice(kinds), seen, trained=i != last))
    return facts


# Kinds whose subjects are of the same sort.
_ALIKE = {}
for _group in (("locker", "meeting", "extension", "birthday", "fruit", "secret", "home", "job"),
               ("platform", "bus", "height"),
               ("password", "key"), ("price", "owner", "serial"), ("colour", "hidden"), ("room", "magic")):
    for _name in _group:
        _ALIKE[_name] = [kind for kind in FACT_KINDS if kind.name in _group and kind.name != _name]
for _kind in FACT_KINDS:
    _ALIKE.setdefault(_kind.name, [])

# ---- conversations -----------------------------------------------------------------------------------

_HEADS = ("", "", "", "", "Read this text.", "Here is a text.", "Text:", "Read the text and answer the question.",
          "Please read this carefully.", "This is what I wrote down.")
_OPENERS = ("", "", "", "", "Question: ", "Now a question: ", "According to the text: ", "My question: ")


def _plant(paragraphs, placed):
    """Puts sentences into the paragraphs; placed: [(number of sentences before, sentence)], sorted."""
    out, at, i = [], 0, 0
    for paragraph in paragraphs:
        row = []
        for sentence in paragraph:
            while i < len(placed) and placed[i][0] <= at:
                row.append(placed[i][1])
                i += 1
            row.append(sentence)
            at += 1
        out.append(row)
    rest = [sentence for _, sentence in placed[i:]]
    return out[:-1] + [out[-1] + rest] if out else [rest]


def _join(rng, paragraphs):
    between = rng.choice(("\n\n", "\n", "\n\n", " "))
    return between.join(" ".join(paragraph) for paragraph in paragraphs)


def _with_text(rng, text, question, apart):
    """The messages up to the first question. apart: the text has a message of its own, answered "OK."."""
    messages = system_messages(rng)
    head = rng.choice(_HEADS)
    if apart:
        head = head or "Remember this text."
        head = head.replace(" and answer the question", "")
        messages += [user(f"{head}\n\n{text}"), assistant("OK.")]
        for _ in range(rng.choice((0, 0, 1, 2))):
            turn = ordinary_turn(rng)
            messages += [user(turn.user), assistant(turn.answer)]
        messages.append(user(question))
    else:
        messages.append(user(f"{head}\n\n{text}\n\n{rng.choice(_OPENERS)}{question}".lstrip()))
    return messages


def _answer(fact, think):
    return assistant(fact.value, f"The text says: {fact.canonical()}" if think else "")


def _other_answers(fact):
    return fact.value + ".", fact.canonical()


def _chance(rng, think):
    return rng.random() < 0.4 if think is None else think


def conversation(rng: random.Random, n_words: int, n_facts: int, n_questions: int, think=None) -> Conversation:
    """A text of about n_words words with n_facts facts in it, and n_questions questions, all different as far as
    there are facts. think: 40 % if None; only the last answer has the reasoning."""
    think = _chance(rng, think)
    order = rng.sample(range(n_facts), min(n_questions, n_facts))
    last = order[-1]
    facts = _facts(rng, n_facts, last)
    planted = [fact.statement(rng) for fact in facts]
    n_planted = sum(sentence.count(" ") + 1 for sentence in planted)
    paragraphs = prose(rng, n_words - n_planted) if n_words > n_planted + 10 else []
    n_sentences = sum(map(len, paragraphs))
    placed = sorted((rng.randint(0, n_sentences), sentence) for sentence in planted)
    text = _join(rng, _plant(paragraphs, placed))

    apart = rng.random() < 0.25
    fill = 0.15 if rng.random() < 0.2 else 0
    messages = _with_text(rng, text, facts[order[0]].question(rng), apart)
    for i, number in enumerate(order):
        if i:
            if rng.random() < fill:
                turn = ordinary_turn(rng)
                messages += [user(turn.user), assistant(turn.answer)]
            messages.append(user(facts[number].question(rng)))
        messages.append(_answer(facts[number], think and i + 1 == len(order)))
    return Conversation("recall", messages, think=think, key=facts[last].key(),
                        accept=_other_answers(facts[last]), fact=planted[last])


def single(rng: random.Random, distance_words: int, think=None) -> Conversation:
    """One question, asked distance_words words behind its fact, for the evaluation; 2-6 other facts, mostly of
    the same kind, stand anywhere. Words before the fact: 10-200."""
    think = _chance(rng, think)
    seen = set()
    kind = rng.choice(FACT_KINDS)
    fact = _new_fact(rng, kind, seen, trained=False)
    others = [_new_fact(rng, kind if rng.random() < 0.7 else rng.choice(FACT_KINDS), seen, trained=False)
              for _ in range(rng.randint(2, 6))]
    before = prose(rng, rng.randint(10, 200))
    n_before = sum(map(len, before))
    needle = fact.statement(rng)
    distractors = [other.statement(rng) for other in others]
    n_words = distance_words - sum(s.count(" ") + 1 for s in distractors) * distance_words // (distance_words + 100)
    after = prose(rng, n_words) if n_words > 0 else []
    n_after = sum(map(len, after))
    placed = [(n_before, needle)]
    placed += [(rng.randint(0, n_before + n_after), sentence) for sentence in distractors]
    text = _join(rng, _plant(before + after, sorted(placed)))
    messages = _with_text(rng, text, fact.question(rng), False)
    messages.append(_answer(fact, think))
    return Conversation("recall", messages, think=think, key=fact.key(),
                        accept=_other_answers(fact), fact=needle)


def _n_questions(rng, least, most):
    """About each fact at most one question is asked. One question in every seventh text: then nothing but the text
    stands before the answer."""
    return 1 if rng.random() < 0.15 else rng.randint(least, most)


def dense(rng: random.Random) -> Conversation:
    """10-30 facts in 100-400 words, 10-20 questions or one: teaches the mechanism quickly."""
    n_facts = rng.randint(10, 30)
    return conversation(rng, rng.randint(max(100, 9 * n_facts), 400), n_facts, _n_questions(rng, 10, 20))


def medium(rng: random.Random) -> Conversation:
    """3-40 facts in 200-1,200 words, at least 25 words a fact; up to 20 questions."""
    n_words = rng.randint(200, 1200)
    return conversation(rng, n_words, rng.randint(3, min(40, n_words // 25)), _n_questions(rng, 10, 20))


def long(rng: random.Random) -> Conversation:
    """5-60 facts, spread over 1,200-2,800 words, at least 25 words a fact; up to 40 questions."""
    n_words = rng.randint(1200, 2800)
    return conversation(rng, n_words, rng.randint(5, min(60, n_words // 25)), _n_questions(rng, 30, 40))
