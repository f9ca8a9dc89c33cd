"""Word operations. The operands are often invented, so that the letters of every vocabulary piece are learned."""
from .common import Turn
from .phrasing import phrase, vary
from .words_list import ANIMALS, CITIES, COLOURS, FRUITS, NAMES, OBJECTS, ORDINALS, WORDS

ONSETS = ("b bl br c ch cl cr d dr f fl fr g gl gr h j k kl l m n p pl pr qu r s sc sh sk sl sm sn sp st t th tr v w y "
          "z").split()
NUCLEI = "a e i o u ai ea ee oo ou ay".split()
CODAS = " n r s t l m d ck st nd sh x p g".split(" ")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SHORT_ORDINALS = ("1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th")
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

INVENTED = 0.3      # share of operands that are no words
LISTS = [WORDS, WORDS, WORDS, WORDS, ANIMALS, FRUITS, COLOURS, OBJECTS]


def invented(rng):
    """A pseudo-word of syllables, or any letters."""
    if rng.random() < 0.5:
        word = "".join(rng.choice(ONSETS) + rng.choice(NUCLEI) + rng.choice(CODAS) for _ in range(rng.randint(1, 3)))
        return word[:10]
    return "".join(rng.choice(LETTERS) for _ in range(rng.randint(3, 8)))


def operand(rng):
    if rng.random() < INVENTED:
        return invented(rng)
    return rng.choice(rng.choice(LISTS))


def some_words(rng, least, most):
    """Different words, mostly of one list."""
    n = rng.randint(least, most)
    if rng.random() < 0.15:
        words = [operand(rng) for _ in range(n)]
        return words if len(set(words)) == n else some_words(rng, least, most)
    words = rng.sample(rng.choice(LISTS), n)
    if rng.random() < 0.15:
        words[rng.randrange(n)] = invented(rng)
    return words if len(set(words)) == n else some_words(rng, least, most)


def quoted(rng, text):
    return rng.choice(("{}", "{}", "'{}'", '"{}"')).format(text)


def listed(rng, words):
    how = rng.random()
    if how < 0.55:
        return ", ".join(words)
    if how < 0.75:
        return " ".join(words)
    if how < 0.9:
        return ", ".join(words[:-1]) + " and " + words[-1]
    return ",".join(words) if how < 0.95 else ", ".join(f"'{word}'" for word in words)


def spaced(word):
    return " ".join(word)


def lines(text):
    return text.strip().split("\n")


# ---- case -------------------------------------------------------------------------------------------------------

UPPER = lines("""
Write {w} in upper case.
Write {w} in uppercase.
Write {w} in capital letters.
Write {w} in capitals.
Write {w} in all caps.
Write the word {w} in upper case.
Write the word {w} in capital letters.
Put {w} in upper case.
Put {w} in capital letters.
Convert {w} to upper case.
Convert {w} to uppercase.
Convert the word {w} to uppercase.
Convert to uppercase: {w}
Convert to capital letters: {w}
Change {w} to upper case.
Turn {w} into capital letters.
Make {w} uppercase.
Make {w} all caps.
Make it upper case: {w}
Make all letters of {w} big.
Uppercase {w}
Uppercase: {w}
Upper case of {w}?
In capitals: {w}
{w} in upper case
{w} in capital letters, please.
{w} in all caps
{w} in uppercase?
What is {w} in upper case?
What is {w} in capital letters?
What is the uppercase of {w}?
What does {w} look like in upper case?
How do you write {w} in capitals?
Say {w} in capital letters.
Type {w} in upper case.
Print {w} in capital letters.
Spell {w} with capital letters only.
Give me {w} in capital letters.
Give me the upper case form of {w}.
Shout {w} in all caps.
upper({w})
""")
LOWER = lines("""
Write {w} in lower case.
Write {w} in lowercase.
Write {w} in small letters.
Write the word {w} in lower case.
Put {w} in lower case.
Put {w} in small letters.
Convert {w} to lower case.
Convert {w} to lowercase.
Convert to lowercase: {w}
Convert to small letters: {w}
Change {w} to lower case.
Turn {w} into lower case letters.
Make {w} lowercase.
Make it lower case: {w}
Make all letters of {w} small.
Lowercase {w}
Lowercase: {w}
Lower case of {w}?
{w} in lower case
{w} in small letters, please.
{w} in lowercase?
What is {w} in lower case?
What is {w} in small letters?
What does {w} look like in lower case?
How do you write {w} in small letters?
Say {w} in small letters.
Type {w} in lower case.
Print {w} in lower case letters.
Give me {w} in lower case.
Give me the lower case form of {w}.
lower({w})
""")
CAPITALIZE = lines("""
Capitalize {w}.
Capitalise {w}.
Capitalize the word {w}.
Capitalize: {w}
Capitalize the first letter of {w}.
Make the first letter of {w} a capital.
Make the first letter of {w} upper case.
Write {w} with a capital letter at the start.
Write {w} with a capital first letter.
Write {w} so that it begins with a capital letter.
Start {w} with a capital letter.
Put a capital letter at the start of {w}.
Change the first letter of {w} to upper case.
How do you write {w} with a capital first letter?
What is {w} with a capital first letter?
Give me {w} with a capital first letter.
Convert only the first letter to upper case: {w}
""")


def _case_operand(rng):
    words = [operand(rng) for _ in range(rng.choice((1, 1, 1, 1, 1, 1, 2, 3)))]
    return " ".join(words)


def _letters(text):
    return text if " " in text else spaced(text)


def _mixed_case(rng, text):
    how = rng.random()
    if how < 0.6:
        return text.upper()
    if how < 0.8:
        return text.title()
    return "".join(rng.choice((c, c.upper())) for c in text)


def upper(rng):
    text = _case_operand(rng)
    shown = text if rng.random() < 0.8 else _mixed_case(rng, text) if rng.random() < 0.3 else text.capitalize()
    answer = text.upper()
    return Turn("upper", phrase(rng, UPPER, w=quoted(rng, shown)), answer,
                f"Every letter becomes a capital: {_letters(text)} becomes {_letters(answer)}.", key=text)


def lower(rng):
    text = _case_operand(rng)
    return Turn("lower", phrase(rng, LOWER, w=quoted(rng, _mixed_case(rng, text))), text,
                f"Every letter becomes a small one: {_letters(text.upper())} becomes {_letters(text)}.", key=text)


def capitalize(rng):
    text = operand(rng)
    return Turn("capitalize", phrase(rng, CAPITALIZE, w=quoted(rng, text)), text.capitalize(),
                f"The first letter is {text[0]}, which becomes {text[0].upper()}.", key=text)


# ---- letters of a word ------------------------------------------------------------------------------------------

REVERSE = lines("""
Reverse {w}.
Reverse {w}
Reverse: {w}
Reverse the word {w}.
Reverse the letters of {w}.
Reverse the letters in {w}.
Reverse the string {w}.
Reverse this word: {w}
Write {w} backwards.
Write {w} backward.
Write {w} in reverse.
Write the word {w} backwards.
Write the letters of {w} in reverse order.
Spell {w} from back to front in one word.
Say {w} backwards.
Turn {w} around.
Turn the word {w} around.
Flip the word {w}.
Flip the letters of {w}.
What is {w} backwards?
What is {w} reversed?
What is {w} spelled backwards?
What is the reverse of {w}?
What do you get if you reverse {w}?
What does {w} read backwards?
How do you write {w} backwards?
{w} backwards
{w} reversed
{w} in reverse?
{w} spelled backwards?
Give me {w} backwards.
Give me the reverse of {w}.
Read {w} from right to left.
reverse({w})
""")
SPELL = lines("""
Spell {w}.
Spell {w}
Spell: {w}
Spell the word {w}.
Spell out {w}.
Spell out the word {w}.
Spell {w} for me.
Spell {w} letter by letter.
How do you spell {w}?
How is {w} spelled?
How do I spell the word {w}?
How would you spell {w}?
What is the spelling of {w}?
What are the letters of {w}?
What letters are in {w}?
Which letters make up the word {w}?
List the letters of {w}.
Give me the letters of {w}.
Give me the spelling of {w}.
Write {w} letter by letter.
Write {w} with hyphens between the letters.
Say {w} letter by letter.
Break {w} into letters.
Split {w} into letters.
Split the word {w} into its letters.
Separate the letters of {w} with hyphens.
Put a hyphen between the letters of {w}.
Show me the spelling of {w}.
""")
COUNT_LETTERS = lines("""
How many letters are in {w}?
How many letters are in the word {w}?
How many letters are there in {w}?
How many letters does {w} have?
How many letters does the word {w} have?
How many letters has {w}?
How many letters in {w}?
How many characters are in {w}?
How many characters does {w} have?
How long is the word {w}?
How long is {w} in letters?
Count the letters in {w}.
Count the letters of {w}.
Count the letters: {w}
Count the characters in {w}.
Number of letters in {w}?
Letters in {w}?
What is the length of {w}?
What is the length of the word {w}?
What is the number of letters in {w}?
Tell me how many letters {w} has.
Tell me the length of the word {w}.
Length of {w}?
length({w})
""")
COUNT_WORDS = lines("""
How many words are in this sentence: {w}
How many words are in the sentence {w}?
How many words are there in {w}?
How many words does this have: {w}
How many words do you see: {w}
How many words: {w}
Count the words in {w}.
Count the words: {w}
Count the words in this sentence: {w}
Number of words in {w}?
What is the number of words in {w}?
Tell me how many words this sentence has: {w}
Word count: {w}
""")
COUNT_ONE = lines("""
How many {l}s are in {w}?
How many {l}'s are in {w}?
How many {l}'s are there in {w}?
How many {l}'s does {w} have?
How many {l} are in {w}?
How many {l} in {w}?
How many times does {l} occur in {w}?
How many times does the letter {l} appear in {w}?
How many times is {l} in {w}?
How often does {l} occur in {w}?
How often is the letter {l} in the word {w}?
How often does the letter {l} appear in {w}?
How many letters {l} are in {w}?
Count the letter {l} in {w}.
Count the {l}s in {w}.
Count how often {l} occurs in {w}.
Number of {l} in {w}?
In {w}, how many times do you see the letter {l}?
In the word {w}, how many {l}s are there?
Tell me how many times {l} is in {w}.
""")
COUNT_VOWELS = lines("""
How many vowels are in {w}?
How many vowels does {w} have?
How many vowels are in the word {w}?
How many vowels does the word {w} contain?
Count the vowels in {w}.
Count the vowels of the word {w}.
Number of vowels in {w}?
What is the number of vowels in {w}?
Tell me how many vowels {w} has.
Vowels in {w}, how many?
""")
FIRST = lines("""
What is the first letter of {w}?
What is the first letter of the word {w}?
What is the first letter in {w}?
Which letter does {w} start with?
What letter does {w} begin with?
What letter does the word {w} start with?
With which letter does {w} begin?
Which letter is at the start of {w}?
Which letter comes first in {w}?
First letter of {w}?
First letter of {w}
First letter: {w}
Give me the first letter of {w}.
Tell me the first letter of {w}.
Tell me which letter {w} starts with.
Name the first letter of {w}.
{w} starts with which letter?
Say the first letter of {w}.
The word {w} begins with what letter?
""")
LAST = lines("""
What is the last letter of {w}?
What is the last letter of the word {w}?
What is the last letter in {w}?
What is the final letter of {w}?
Which letter does {w} end with?
What letter does {w} end in?
What letter does the word {w} end with?
With which letter does {w} end?
Which letter is at the end of {w}?
Which letter comes last in {w}?
Last letter of {w}?
Last letter of {w}
Last letter: {w}
Give me the last letter of {w}.
Tell me the last letter of {w}.
Tell me which letter {w} ends with.
Name the last letter of {w}.
{w} ends with which letter?
Say the last letter of {w}.
The word {w} ends with what letter?
""")
NTH = lines("""
What is the {n} letter of {w}?
What is the {n} letter in {w}?
What is the {n} letter of the word {w}?
Which letter is the {n} in {w}?
Which letter comes {n} in {w}?
{n} letter of {w}?
Give me the {n} letter of {w}.
Tell me the {n} letter of {w}.
Name the {n} letter of {w}.
The {n} letter of {w} is?
""")
FIRST_AND_LAST = lines("""
What are the first and last letters of {w}?
What are the first and the last letter of {w}?
Give me the first and last letter of {w}.
Tell me the first and the last letter of {w}.
First and last letter of {w}?
Which letters does {w} start and end with?
With which letters does {w} start and end?
""")
CONTAINS = lines("""
Does {w} contain the letter {l}?
Does the word {w} contain {l}?
Does {w} have the letter {l}?
Does {w} have an {l} in it?
Is there the letter {l} in {w}?
Is the letter {l} in {w}?
Is the letter {l} in the word {w}?
Is {l} a letter of {w}?
Is {l} in {w}?
Can you find the letter {l} in {w}?
Do you see the letter {l} in {w}?
""")
REPLACE = lines("""
Replace {l} with {m} in {w}.
Replace {l} by {m} in {w}.
Replace every {l} in {w} with {m}.
Replace the letter {l} with {m} in {w}.
Replace all {l} by {m} in the word {w}.
In {w}, replace {l} with {m}.
Change every {l} in {w} to {m}.
Change {l} to {m} in {w}.
Swap each {l} in {w} for {m}.
Write {w} with {m} instead of {l}.
What is {w} if every {l} becomes {m}?
What do you get if you replace {l} with {m} in {w}?
""")
REMOVE = lines("""
Remove {l} from {w}.
Remove the letter {l} from {w}.
Remove every {l} from {w}.
Delete all {l} from {w}.
Delete the letter {l} in {w}.
Take the letter {l} out of {w}.
Write {w} without the letter {l}.
What is {w} without {l}?
What is left of {w} without the letter {l}?
Drop every {l} in {w}.
""")


def _letter_operand(rng):
    """Mostly small letters; now and then a name or a city."""
    how = rng.random()
    return rng.choice(NAMES) if how < 0.05 else rng.choice(CITIES) if how < 0.1 else operand(rng)


def reverse(rng):
    word = _letter_operand(rng)
    if rng.random() < 0.3:
        word = invented(rng)
    back = word[::-1]
    return Turn("reverse", phrase(rng, REVERSE, w=quoted(rng, word)), back,
                f"{spaced(word)} backwards is {spaced(back)}.", key=word)


def spell(rng):
    word = _letter_operand(rng)
    return Turn("spell", phrase(rng, SPELL, w=quoted(rng, word)), "-".join(word),
                f"The letters of {word} are {spaced(word)}.", key=word, accept=(spaced(word), ", ".join(word)))


def _numbered(word):
    return ", ".join(f"{letter} {i}" for i, letter in enumerate(word, 1))


def _with_repeated_letter(rng):
    """A word, and a letter that it has at least twice."""
    while True:
        word = operand(rng)
        repeated = sorted(c for c in set(word) if word.count(c) > 1)
        if repeated:
            return word, rng.choice(repeated)


def count(rng):
    how = rng.random()
    if how < 0.45:
        word = _letter_operand(rng)
        return Turn("count", phrase(rng, COUNT_LETTERS, w=quoted(rng, word)), str(len(word)),
                    f"{_numbered(word)}. So {len(word)}.", key=word, accept=(f"{len(word)} letters",))
    if how < 0.65:
        words = sentence(rng).split()
        text = " ".join(words)
        steps = ", ".join(f"{word} {i}" for i, word in enumerate(words, 1))
        return Turn("count", phrase(rng, COUNT_WORDS, w=f'"{text}"' if rng.random() < 0.4 else text), str(len(words)),
                    f"{steps}. So {len(words)}.", key=text, accept=(f"{len(words)} words",))
    word = operand(rng)
    if how < 0.85:
        letter = rng.choice(word) if rng.random() < 0.8 else rng.choice(LETTERS)
        if rng.random() < 0.4:
            word, letter = _with_repeated_letter(rng)
        user = phrase(rng, COUNT_ONE, w=quoted(rng, word), l=rng.choice(("{}", "{}", "'{}'")).format(letter))
        wanted = letter
    else:
        user, wanted = phrase(rng, COUNT_VOWELS, w=quoted(rng, word)), "aeiou"
    found = [c for c in word if c in wanted]
    steps = ", ".join(f"{letter} {i}" for i, letter in enumerate(found, 1)) or "none"
    return Turn("count", user, str(len(found)), f"{spaced(word)}: {steps}. So {len(found)}.", key=f"{wanted} {word}")


def first_last(rng):
    word = _letter_operand(rng)
    how = rng.random()
    if how < 0.3:
        templates, answer, which, extra = FIRST, word[0], "1", {}
    elif how < 0.6:
        templates, answer, which, extra = LAST, word[-1], "last", {}
    elif how < 0.9:
        i = rng.randrange(min(len(word), 6))
        templates, answer, which = NTH, word[i], str(i + 1)
        extra = {"n": (ORDINALS if rng.random() < 0.8 else SHORT_ORDINALS)[i]}
    else:
        templates, answer, which, extra = FIRST_AND_LAST, f"{word[0]} and {word[-1]}", "both", {}
    return Turn("first_last", phrase(rng, templates, w=quoted(rng, word), **extra), answer,
                f"The letters are {_numbered(word)}. So {answer}.", key=f"{which} {word}",
                accept=(answer.lower(), answer.upper()))


def contains(rng):
    word = operand(rng)
    letter = rng.choice(word) if rng.random() < 0.5 else rng.choice(LETTERS)
    answer = "Yes." if letter in word else "No."
    return Turn("contains", phrase(rng, CONTAINS, w=quoted(rng, word), l=letter), answer,
                f"The letters are {spaced(word)}. {letter} is {'among' if letter in word else 'not among'} them.",
                key=f"{letter} {word}", accept=(answer[:-1],))


def replace(rng):
    word = operand(rng)
    letter = rng.choice(word)
    other = rng.choice([c for c in LETTERS if c != letter])
    if rng.random() < 0.6:
        answer = word.replace(letter, other)
        return Turn("replace", phrase(rng, REPLACE, w=quoted(rng, word), l=letter, m=other), answer,
                    f"{spaced(word)} becomes {spaced(answer)}.", key=word)
    answer = word.replace(letter, "")
    if not answer:
        return replace(rng)
    return Turn("replace", phrase(rng, REMOVE, w=quoted(rng, word), l=letter), answer,
                f"{spaced(word)} without {letter} is {spaced(answer)}.", key=word)


# ---- several words ----------------------------------------------------------------------------------------------

SORT = lines("""
Sort: {list}
Sort these words: {list}
Sort the words {list}.
Sort these words alphabetically: {list}
Sort alphabetically: {list}
Sort in alphabetical order: {list}
Sort from A to Z: {list}
Sort the list {list}.
Sort this list: {list}
Sort {list}
Sort {list} alphabetically.
Sort the following words: {list}
Put these words in alphabetical order: {list}
Put in alphabetical order: {list}
Put {list} in alphabetical order.
Put these in order from A to Z: {list}
Order these words alphabetically: {list}
Order alphabetically: {list}
Arrange these words alphabetically: {list}
Arrange in alphabetical order: {list}
Alphabetize: {list}
Alphabetical order of {list}?
{list}: sort them
{list}, in alphabetical order
Bring these words into alphabetical order: {list}
Write these words in alphabetical order: {list}
List these alphabetically: {list}
What is the alphabetical order of {list}?
In alphabetical order, please: {list}
""")
SORT_DOWN = lines("""
Sort in reverse alphabetical order: {list}
Sort these words from Z to A: {list}
Sort from Z to A: {list}
Sort {list} in descending order.
Sort descending: {list}
Sort these words in descending order: {list}
Sort backwards from Z to A: {list}
Put these words in reverse alphabetical order: {list}
Arrange from Z to A: {list}
Order from Z to A: {list}
""")
FIRST_IN_ORDER = lines("""
Which comes first in the alphabet: {list}?
Which word comes first alphabetically: {list}?
Which of these words is first in alphabetical order: {list}?
Which word would stand first in a dictionary: {list}?
""")
JOIN = lines("""
Join {list}.
Join the words {list}.
Join these words: {list}
Join into one word: {list}
Join {list} into one word.
Join {list} without spaces.
Combine {list} into one word.
Combine the words {list}.
Concatenate {list}.
Concatenate: {list}
Put {list} together into one word.
Glue the words {list} together.
Make one word of {list}.
Make one word from {list}.
Merge {list} into one word.
Write {list} as one word.
Write {list} together without a space.
What do you get if you join {list}?
What is {list} as one word?
""")
JOIN_WITH = lines("""
Join {list} with {glue}.
Join the words {list} with {glue}.
Join with {glue}: {list}
Join these words with {glue} between them: {list}
Combine {list} with {glue}.
Connect {list} with {glue}.
Put {glue} between these words: {list}
Write {list} with {glue} between the words.
Concatenate with {glue}: {list}
""")
GLUES = (("a hyphen", "-"), ("hyphens", "-"), ("a dash", "-"), ("an underscore", "_"), ("underscores", "_"),
         ("a dot", "."), ("dots", "."), ("a slash", "/"), ("a plus sign", "+"), ("a colon", ":"))
UNSPELL = lines("""
What word is {letters}?
Which word is {letters}?
What does {letters} spell?
Which word do these letters spell: {letters}
Put these letters together: {letters}
Join these letters: {letters}
Join the letters {letters} into a word.
Make a word of the letters {letters}
Write as one word: {letters}
Remove the separators: {letters}
{letters} spells what?
Read these letters as a word: {letters}
""")
REPEAT = lines("""
Say {w} {n} times.
Say {n} times {w}
Say the word {w} {n} times.
Repeat {w} {n} times.
Repeat the word {w} {n} times.
Write {w} {n} times.
Write {n} times {w}
Write the word {w} {n} times.
Type {w} {n} times.
Print {w} {n} times.
Give me {w} {n} times.
{w}, {n} times
{n} times {w}, please.
Tell me {w} {n} times.
Let me see {w} {n} times.
""")
LONGER = lines("""
Which word is longer, {a} or {b}?
Which word is longer: {a} or {b}?
Which is longer, {a} or {b}?
Which is the longer word, {a} or {b}?
What is longer, the word {a} or the word {b}?
Which word has more letters, {a} or {b}?
Which has more letters: {a} or {b}?
{a} or {b}, which is longer?
{a} or {b}: which word has more letters?
Tell me the longer word: {a} or {b}
Pick the longer word: {a}, {b}
Give me the longer of {a} and {b}.
The longer word of {a} and {b}?
""")
SHORTER = lines("""
Which word is shorter, {a} or {b}?
Which word is shorter: {a} or {b}?
Which is shorter, {a} or {b}?
Which is the shorter word, {a} or {b}?
Which word has fewer letters, {a} or {b}?
Which has fewer letters: {a} or {b}?
{a} or {b}, which is shorter?
Tell me the shorter word: {a} or {b}
Pick the shorter word: {a}, {b}
Give me the shorter of {a} and {b}.
""")
LONGEST = lines("""
Which of these words is the longest: {list}?
Which word is the longest: {list}?
What is the longest word: {list}?
Find the longest word: {list}
Pick the longest word: {list}
Longest word of {list}
Longest word: {list}
""")
SHORTEST = lines("""
Which of these words is the shortest: {list}?
Which word is the shortest: {list}?
What is the shortest word: {list}?
Find the shortest word: {list}
Pick the shortest word: {list}
Shortest word: {list}
""")
ECHO = lines("""
Repeat after me: {text}
Repeat: {text}
Repeat this: {text}
Repeat this sentence: {text}
Repeat exactly: {text}
Repeat the following: {text}
Repeat the text: {text}
Repeat what I say: {text}
Say: {text}
Say this: {text}
Say exactly this: {text}
Say "{text}"
Say the following: {text}
Please say: {text}
Echo: {text}
Echo this: {text}
echo {text}
echo "{text}"
Copy this: {text}
Copy this text: {text}
Copy: {text}
Write: {text}
Write this down: {text}
Write exactly this: {text}
Write the following: {text}
Print this: {text}
print("{text}")
Type this: {text}
Give this back to me: {text}
Answer with exactly this: {text}
Answer only with this text: {text}
Reply with: {text}
Reply with exactly: {text}
Output this: {text}
""")
DEDUPE = lines("""
Remove duplicates: {list}
Remove the duplicates: {list}
Remove the duplicates from {list}.
Remove repeated words: {list}
Remove the repeated words from this list: {list}
Remove doubles: {list}
Delete the duplicates: {list}
Drop duplicates: {list}
Dedupe: {list}
Keep each word once: {list}
Make this list unique: {list}
Write each word only once: {list}
Which different words are in this list: {list}
List the different words: {list}
List each word only once: {list}
Unique words: {list}
""")
PICK = lines("""
What is the {n} word: {list}
What is the {n} word in this list: {list}
What is the {n} word of {list}?
What is the {n} word in {list}?
Which word is the {n}: {list}?
Which word is {n} in this list: {list}
Which word comes {n}: {list}?
Tell me the {n} word: {list}
Give me the {n} word of {list}.
Give me the {n} word: {list}
Pick the {n} word: {list}
Pick the {n} word of this list: {list}
Take the {n} word from {list}.
The {n} word of {list}?
{n} word: {list}
Here is a list: {list}. What is the {n} word?
""")
STARTS = lines("""
Which of these words starts with {l}: {list}?
Which of these words begins with {l}: {list}?
Which word starts with {l}: {list}?
Which word begins with the letter {l}: {list}?
Find the word that starts with {l}: {list}
Pick the word that begins with {l}: {list}
Give me the word that starts with {l}: {list}
{list}: which one starts with {l}?
""")
AFTER = lines("""
Which word comes after {a}: {list}?
Which word follows {a} in this list: {list}
What comes after {a} in {list}?
What is the word after {a}: {list}
Tell me the word after {a}: {list}
In the list {list}, what comes after {a}?
""")
TURN_ROUND = lines("""
Reverse the order of these words: {list}
Reverse the list: {list}
Reverse this list: {list}
Reverse the order: {list}
Reverse the order of the words {list}.
Write these words in reverse order: {list}
Write the list from last to first: {list}
Turn this list around: {list}
Put the words in the opposite order: {list}
List these words from last to first: {list}
""")
COUNT_LIST = lines("""
How many words are in this list: {list}
How many items are in this list: {list}
How many things are in the list {list}?
How many entries has this list: {list}
Count the items: {list}
Count the items in {list}.
Count the entries of this list: {list}
What is the number of items in {list}?
""")

SUBJECTS = "I You We They".split()
PLACES = "house garden kitchen forest city school market river mountain station office library park street".split()
SENTENCES = lines("""
The {thing} is {colour}
The {other} sleeps in the {place}
{who} {action} the {colour} {thing}
{name} has a {colour} {thing}
{who} {action} the {thing} in the {place}
My {other} likes the {fruit}
A {other} and a {animal} sit in the {place}
{name} lives in {city}
{name} and {friend} like the {colour} {thing}
We meet at {n} in the {place}
{who} {action} {n} {other}s
Give me the {thing}
The {place} is old and quiet
Today {name} will {action} a {thing}
It rains in {city}
{word} {second} {third}
{word} {second} {third} {fourth}
Do not {action} the {thing}
The answer is {n}
All {other}s are {colour}
{name} is here
I am happy
""")
ACTIONS = "see like want need know keep find take bring draw lose sell buy wash hide carry hold paint".split()


def sentence(rng):
    """A short sentence of simple words, 3 to 8 of them."""
    thing, other = rng.choice(OBJECTS), rng.choice(ANIMALS)
    words = rng.sample(WORDS, 4)
    name, friend = rng.sample(NAMES, 2)
    return rng.choice(SENTENCES).format(
        thing=thing, other=other, colour=rng.choice(COLOURS), place=rng.choice(PLACES), name=name, friend=friend,
        who=rng.choice(SUBJECTS), action=rng.choice(ACTIONS), fruit=rng.choice(FRUITS), animal=rng.choice(ANIMALS),
        city=rng.choice(CITIES), n=rng.randint(2, 12), word=words[0], second=words[1], third=words[2], fourth=words[3])


def _list_turn(rng, kind, templates, words, answer, reasoning, ordered=True, **fields):
    """ordered: whether the order of the words matters for the answer, and so for the key."""
    user = phrase(rng, templates, list=listed(rng, words), **fields)
    return Turn(kind, user, answer, reasoning, key=" ".join(words if ordered else sorted(words)))


def _joined(words):
    return ", ".join(words)


def sort(rng):
    words = some_words(rng, 3, 6)
    if rng.random() < 0.12:
        words = rng.sample(rng.choice((NAMES, CITIES)), rng.randint(3, 6))
    down, how = False, rng.random()
    if how < 0.08:
        first = min(words)
        return _list_turn(rng, "sort", FIRST_IN_ORDER, words, first,
                          f"In order: {_joined(sorted(words))}. First is {first}.", ordered=False)
    if how < 0.23:
        down = True
    ordered = sorted(words, reverse=down)
    letters = ", ".join(word[0] for word in ordered)
    turn = _list_turn(rng, "sort", SORT_DOWN if down else SORT, words, _joined(ordered),
                      f"By first letter{' from Z to A' if down else ''}: {letters}. So {_joined(ordered)}.",
                      ordered=False)
    turn.accept = (" ".join(ordered), ",".join(ordered))
    return turn


def join(rng):
    how = rng.random()
    if how < 0.25:
        word = operand(rng)
        letters = rng.choice(("-", "-", " ", ", ", ".")).join(word)
        return Turn("join", phrase(rng, UNSPELL, letters=letters), word, f"The letters {spaced(word)} make {word}.",
                    key=word)
    words = some_words(rng, 2, 3 if how > 0.6 else 2)
    shown = f"{quoted(rng, words[0])} and {quoted(rng, words[1])}" if len(words) == 2 else listed(rng, words)
    if len(words) == 2 and rng.random() < 0.4:
        shown = rng.choice(("{} + {}", "{}, {}", "{} {}")).format(*words)
    if how < 0.7:
        answer = "".join(words)
        return Turn("join", phrase(rng, JOIN, list=shown), answer,
                    f"{' + '.join(words)} = {answer}.", key=f"{' '.join(words)}")
    name, glue = rng.choice(GLUES)
    answer = glue.join(words)
    return Turn("join", phrase(rng, JOIN_WITH, list=shown, glue=name), answer,
                f"The words are {_joined(words)}, with {glue} between them.", key=answer)


def repeat(rng):
    n, word = rng.randint(2, 7), operand(rng)
    if rng.random() < 0.1:
        word = rng.choice(("hello", "yes", "no", "ha", "la", "hi", "ok", "ds4", "please", "good morning", "thank you"))
    shown = NUMBER_WORDS[n] if rng.random() < 0.6 else str(n)
    numbered = ", ".join(f"{word} {i}" for i in range(1, n + 1))
    return Turn("repeat", phrase(rng, REPEAT, w=quoted(rng, word), n=shown), " ".join([word] * n), f"{numbered}.",
                key=f"{n} {word}", accept=(", ".join([word] * n),))


def length_compare(rng):
    if rng.random() < 0.3:
        words = some_words(rng, 3, 5)
        longest = rng.random() < 0.6
        lengths = sorted((len(word) for word in words), reverse=longest)
        if lengths[0] == lengths[1]:
            return length_compare(rng)
        answer = (max if longest else min)(words, key=len)
        counted = ", ".join(f"{word} {len(word)}" for word in words)
        return _list_turn(rng, "length_compare", LONGEST if longest else SHORTEST, words, answer,
                          f"Letters: {counted}. So {answer}.", ordered=False)
    a, b = some_words(rng, 2, 2)
    longer = rng.random() < 0.6
    if len(a) == len(b):
        if rng.random() < 0.6:
            return length_compare(rng)
        answer = "They are equally long."
    else:
        answer = (max if longer else min)((a, b), key=len)
    user = phrase(rng, LONGER if longer else SHORTER, a=quoted(rng, a), b=quoted(rng, b))
    end = answer if len(a) == len(b) else f"So {answer}."
    return Turn("length_compare", user, answer, f"{a} has {len(a)} letters, {b} has {len(b)}. {end}",
                key=" ".join(sorted((a, b))))


def echo(rng):
    how = rng.random()
    if how < 0.45:
        text = sentence(rng)
        text = text + rng.choice((".", ".", "", "!")) if rng.random() < 0.6 else text.lower()
    elif how < 0.65:
        text = " ".join(operand(rng) for _ in range(rng.randint(1, 6)))
    elif how < 0.8:
        text = " ".join(str(rng.randint(0, 10 ** rng.randint(1, 5))) for _ in range(rng.randint(1, 4)))
    elif how < 0.9:
        text = "".join(rng.choice(LETTERS + LETTERS.upper() + "0123456789-_.#") for _ in range(rng.randint(4, 12)))
        text = "x" + text + rng.choice(LETTERS)     # begins and ends with a letter: nothing to strip
    else:
        text = f"{rng.choice(NAMES)}: {rng.randint(1, 999)} {rng.choice(OBJECTS)}s, {rng.choice(COLOURS)}"
    return Turn("echo", vary(rng, rng.choice(ECHO), lower=0.15, typos=0.03).format(text=text), text,
                f'The text to repeat is "{text}".', key=text)


def dedupe(rng):
    words = some_words(rng, 2, 4)
    doubled = words + [rng.choice(words) for _ in range(rng.randint(1, 3))]
    rng.shuffle(doubled)
    unique = list(dict.fromkeys(doubled))
    return _list_turn(rng, "dedupe", DEDUPE, doubled, _joined(unique),
                      f"In order of first appearance: {_joined(unique)}.")


def pick(rng):
    words = some_words(rng, 3, 7)
    numbered = ", ".join(f"{i} {word}" for i, word in enumerate(words, 1))
    how = rng.random()
    if how < 0.55:
        i = rng.randrange(len(words))
        name = (ORDINALS if rng.random() < 0.8 else SHORT_ORDINALS)[i]
        if rng.random() < 0.25:
            i, name = len(words) - 1, "last"
        return _list_turn(rng, "pick", PICK, words, words[i], f"{numbered}. So {words[i]}.", n=name)
    if how < 0.75:
        word = rng.choice(words)
        if sum(other[0] == word[0] for other in words) > 1:
            return pick(rng)
        return _list_turn(rng, "pick", STARTS, words, word, f"{word} starts with {word[0]}.", l=word[0])
    if how < 0.88:
        i = rng.randrange(len(words) - 1)
        return _list_turn(rng, "pick", AFTER, words, words[i + 1], f"{words[i]}, then {words[i + 1]}.", a=words[i])
    return _list_turn(rng, "count", COUNT_LIST, words, str(len(words)), f"{numbered}. So {len(words)}.")


def reverse_list(rng):
    words = some_words(rng, 3, 6)
    back = words[::-1]
    return _list_turn(rng, "reverse_list", TURN_ROUND, words, _joined(back),
                      f"The last is {back[0]}, the first is {back[-1]}.")


TASKS = [(2, upper), (1.5, lower), (1, capitalize), (4, reverse), (3, sort), (4, count), (3, spell), (3, first_last),
         (1.5, join), (1, repeat), (1.5, length_compare), (2.5, echo), (1, dedupe), (2, pick), (1, contains),
         (1, replace), (1, reverse_list)]
