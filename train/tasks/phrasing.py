"""Variation of wording: what people really type around a question, so that the model does not learn one surface form.

Templates are strings for str.format; what stands in braces is never changed, so an operand keeps its letters and case.
"""
import re

QUESTION_OPENERS = (
    "Please tell me: ", "Hey, ", "Quick question: ", "Can you tell me: ", "Tell me, ", "Question: ", "Tell me: ",
    "I have a question. ", "I have a question: ", "Hello! ", "Hi, ", "Hi! ", "Hello, ", "One question: ", "So, ",
    "Ok, ", "And ", "Do you know: ", "I want to know: ", "Sorry, ", "I'd like to know: ", "Next question: ", "Now: ",
    "Okay. ", "Just wondering, ", "Please: ", "Well, ", "Another question: ", "I wonder: ", "Can you help me? ",
    "Help me please: ", "Hm, ", "Say, ", "Also, ")
REQUEST_OPENERS = (
    "Please ", "Can you ", "Could you ", "Would you ", "Can you please ", "Could you please ", "Hey, ",
    "I want you to ", "I need you to ", "Now ", "Next: ", "Task: ", "Your task: ", "Just ", "Hello, please ",
    "Hi, ", "Hi, can you ",
    "Okay, ", "Ok, now ", "Will you ", "I'd like you to ", "Would you please ", "Pls ", "Then ", "Let's try this: ",
    "Kindly ", "Try this: ", "And now ", "Hey, could you ")
OTHER_OPENERS = ("Please: ", "Hey, ", "Quick: ", "Now ", "And ", "Next: ", "So ", "Ok, ", "Hi, ", "Then ")
CLOSERS = (
    " Please.", " Thanks!", " Thanks.", " Thank you!", " Thank you.", " Please!", " thanks", " please", " Be brief.",
    " I need it now.", " Just the answer.", " Thanks in advance.", " Answer briefly.", " Short answer.", " Thx",
    " Only the answer please.", " I am new here.", " I want to learn.")

QUESTION_WORDS = frozenset("""
what what's whats which who who's whose where where's when why how how's is are am was does do did can could will would
should may has have had in on at for from under with to by if of
""".split())
# First words of templates such as "Sum of {a} and {b}" and "I need {text}", which no "Could you" can stand before.
NOT_IMPERATIVE = frozenset("""
sum product twice half even odd larger smaller largest smallest max min next sequence first last length upper lower
number letters vowels opposite antonym plural past position word shortest longest unique i my you that this the it one
there no not nothing only still nobody everything something a an two enter answers somebody
""".split())
CONTRACTIONS = (
    (r"^What is ", ("What's ", "Whats ", "What is ")),
    (r"^What does ", ("What exactly does ",)),
    (r"^Which ", ("What ",)),
    (r"^Where is ", ("Where's ",)),
    (r"^Who is ", ("Who's ",)),
    (r"^How do I ", ("How can I ", "How do you ", "How to ")),
    (r"^How can I ", ("How do I ", "How to ")),
)

_FIRST_WORD = re.compile(r"[A-Za-z']+")
_TYPO_WORD = re.compile(r"\{[^}]*\}|(?<![-/_\w])[A-Za-z]{5,}(?![-_\w])")


def _kind_of(template):
    first = _FIRST_WORD.match(template)
    if not first:
        return "other"
    if first.group().lower() in QUESTION_WORDS or template.endswith("?"):
        return "question"
    word = first.group()
    imperative = word[0].isupper() and word[1:].islower() and word.lower() not in NOT_IMPERATIVE    # not "DS4_MODEL"
    return "request" if imperative else "other"


def _lower_first(template):
    """Lower-case after an opener, but not 'I' or a name in capitals such as DS4_MODEL."""
    first = _FIRST_WORD.match(template)
    if first and (first.group() == "I" or first.group()[1:] != first.group()[1:].lower()):
        return template
    return template[:1].lower() + template[1:]


def typo(rng, template):
    """One slip of the finger in a longer word: two letters swapped, one lost or one doubled."""
    words = [m for m in _TYPO_WORD.finditer(template) if not m.group().startswith("{") and not m.group().isupper()]
    if not words:
        return template
    word = rng.choice(words)
    i = rng.randrange(word.start() + 1, word.end() - 2)
    slip = rng.randrange(3)
    if slip == 0:
        return template[:i] + template[i + 1] + template[i] + template[i + 2:]
    if slip == 1:
        return template[:i] + template[i + 1:]
    return template[:i] + template[i] + template[i:]


def vary(rng, template, opener=0.3, closer=0.08, lower=0.25, unpunctuated=0.25, typos=0.05):
    """A template in other clothes; the arguments are the probabilities of each change."""
    kind = _kind_of(template)
    for pattern, others in CONTRACTIONS:
        if rng.random() < 0.25:
            template = re.sub(pattern, rng.choice(others), template)
    if rng.random() < opener:
        openers = {"question": QUESTION_OPENERS, "request": REQUEST_OPENERS, "other": OTHER_OPENERS}[kind]
        start = rng.choice(openers)
        template = start + (template if start.endswith(("! ", ". ", "? ")) else _lower_first(template))
        if kind == "request" and template.endswith(".") and " you " in f" {start.lower()}" and rng.random() < 0.8:
            template = template[:-1] + "?"
    if rng.random() < typos:
        template = typo(rng, template)
    # A text that ends with an operand takes nothing behind it: it would belong to the operand.
    if template.endswith((".", "?", "!")) and not template.endswith("..."):
        if rng.random() < closer:
            template += rng.choice(CLOSERS)
        elif rng.random() < unpunctuated and len(template) > 4:
            template = template[:-1].rstrip()
    if rng.random() < lower:
        template = template.lower()
    elif rng.random() < 0.08:
        template = _lower_first(template)
    return template


def phrase(rng, templates, **fields):
    """One of the templates, varied and filled in."""
    return vary(rng, rng.choice(templates)).format(**fields)


def right_articles(sentence: str) -> str:
    """ "a apple" -> "an apple" """
    return re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", sentence)
