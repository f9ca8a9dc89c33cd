"""Small arithmetic. Answers are bare numbers (or "Yes."/"No."); the reasoning works digit by digit.

The key of an example does not depend on the order of its operands where the answer does not: 12 + 47 and 47 + 12 are on
the same side of the split."""
from .common import Turn, is_held_out
from .phrasing import phrase
from .words_list import NAMES, OBJECTS

THINGS = [word + "s" for word in OBJECTS if not word.endswith(("s", "x", "y", "h", "fe"))] + [
    "apples", "pears", "plums", "eggs", "marbles", "stickers", "sheep", "cards", "books", "points", "euros", "dollars"]

ADD = """
What is {a} + {b}?
What is {a}+{b}?
{a}+{b}
{a} + {b}
{a}+{b}=
{a} + {b} =
{a} + {b} = ?
{a}+{b}?
{a} plus {b}
{a} plus {b}?
{a} plus {b} =
What is {a} plus {b}?
How much is {a} + {b}?
How much is {a} plus {b}?
How much are {a} and {b}?
How much do {a} and {b} make?
What do {a} and {b} make together?
What do I get if I add {b} to {a}?
What do you get when you add {a} and {b}?
What does {a} + {b} equal?
What is the sum of {a} and {b}?
What is the total of {a} and {b}?
What's {a} and {b} together?
Which number is {b} more than {a}?
What is {b} more than {a}?
Add {a} and {b}.
Add {b} to {a}.
Add these numbers: {a}, {b}
Add up {a} and {b}.
Add together {a} and {b}.
Compute {a} + {b}.
Compute the sum of {a} and {b}.
Calculate {a} + {b}.
Calculate {a} plus {b}.
Sum of {a} and {b}
Sum {a} and {b}.
Work out {a} + {b}.
Solve {a} + {b}.
Solve: {a} + {b} = x
Evaluate {a} + {b}.
Find the sum of {a} and {b}.
Give me the sum of {a} and {b}.
Tell me what {a} + {b} is.
Total of {a} and {b}?
{a} and {b} make how much?
{a} and {b} is?
Increase {a} by {b}.
If x = {a} and y = {b}, what is x + y?
{a} increased by {b}
I have {a} {things} and get {b} more. How many do I have?
I have {a} {things} and get {b} more. How many?
I had {a} {things}, then I bought {b} more. How many do I have now?
{name} has {a} {things} and finds {b} more. How many {things} does {name} have now?
{name} has {a} {things}, {other} has {b}. How many do they have together?
{name} has {a} {things} and {other} has {b} {things}. How many in total?
There are {a} {things} on the table and {b} on the floor. How many are there in all?
A box holds {a} {things}, another holds {b}. How many {things} are there?
A train carries {a} people. At the next stop {b} get on. How many people are on it?
It costs {a} dollars plus {b} dollars for delivery. What is the total?
""".strip().split("\n")

SUB = """
What is {a} - {b}?
What is {a}-{b}?
{a}-{b}
{a} - {b}
{a}-{b}=
{a} - {b} =
{a} - {b} = ?
{a} minus {b}
{a} minus {b}?
{a} take away {b}
What is {a} minus {b}?
How much is {a} - {b}?
How much is {a} minus {b}?
What do I get if I subtract {b} from {a}?
What does {a} - {b} equal?
What is {a} less {b}?
What is left if I take {b} from {a}?
Subtract {b} from {a}.
Take {b} away from {a}.
Take {b} from {a}.
Compute {a} - {b}.
Calculate {a} - {b}.
Calculate {a} minus {b}.
Work out {a} - {b}.
Evaluate {a} - {b}.
Solve {a} - {b}.
Tell me what {a} - {b} is.
Give me the result of {a} - {b}.
Decrease {a} by {b}.
{a} decreased by {b}
{a} reduced by {b} is?
If x = {a} and y = {b}, what is x - y?
""".strip().split("\n")
SUB_STORIES = """
I have {a} {things} and give away {b}. How many are left?
I have {a} {things} and lose {b}. How many do I have?
{name} has {a} {things} and gives {b} to {other}. How many {things} does {name} have left?
{name} had {a} {things} and lost {b}. How many are left?
There are {a} {things} in a box. {name} takes {b} out. How many remain?
A bus carries {a} people, then {b} get off. How many are still on it?
I had {a} dollars and spent {b}. How much is left?
How much more is {a} than {b}?
What is the difference between {a} and {b}?
""".strip().split("\n")

MUL = """
What is {a} x {b}?
What is {a} * {b}?
{a}*{b}
{a} * {b}
{a}x{b}
{a} x {b}
{a} x {b} =
{a}*{b}=
{a} * {b} = ?
{a} times {b}
{a} times {b}?
What is {a} times {b}?
How much is {a} times {b}?
How much is {a} x {b}?
What is {a} multiplied by {b}?
What is the product of {a} and {b}?
What do I get if I multiply {a} by {b}?
Multiply {a} by {b}.
Multiply {a} and {b}.
Compute {a} * {b}.
Compute the product of {a} and {b}.
Calculate {a} x {b}.
Calculate {a} times {b}.
Work out {a} x {b}.
Product of {a} and {b}?
Find {a} times {b}.
Solve {a} * {b}.
{a} multiplied by {b} is?
There are {a} boxes with {b} {things} each. How many {things} are there?
{name} buys {a} bags of {b} {things}. How many {things} is that?
{a} rows of {b} chairs: how many chairs?
""".strip().split("\n")

DIV = """
What is {a} / {b}?
{a}/{b}
{a} / {b}
{a} / {b} =
{a} divided by {b}
{a} divided by {b}?
{a} : {b} = ?
What is {a} divided by {b}?
How much is {a} divided by {b}?
How much is {a} / {b}?
Divide {a} by {b}.
Compute {a} / {b}.
Calculate {a} / {b}.
Calculate {a} divided by {b}.
Work out {a} divided by {b}.
How many times does {b} go into {a}?
How often does {b} fit into {a}?
{a} {things} are shared by {b} children. How many does each get?
{name} puts {a} {things} into {b} boxes, the same number in each. How many are in a box?
Split {a} into {b} equal parts. How big is each part?
""".strip().split("\n")

LARGER = """
Which is larger, {a} or {b}?
Which is larger: {a} or {b}?
Which is bigger, {a} or {b}?
Which number is bigger, {a} or {b}?
Which number is greater: {a} or {b}?
Which one is larger, {a} or {b}?
What is larger, {a} or {b}?
What is more, {a} or {b}?
Which is more: {a} or {b}?
{a} or {b}, which is larger?
{a} or {b}: which is bigger?
Larger number: {a} or {b}?
Tell me the larger number: {a} or {b}
Tell me the larger of {a} and {b}.
Give me the bigger of {a} and {b}.
Pick the larger of {a} and {b}.
What is the larger of {a} and {b}?
What is the maximum of {a} and {b}?
max({a}, {b})
Compare {a} and {b}. Which is larger?
Which of {a} and {b} is the greater number?
""".strip().split("\n")
SMALLER = """
Which is smaller, {a} or {b}?
Which is smaller: {a} or {b}?
Which is less, {a} or {b}?
Which number is smaller, {a} or {b}?
Which number is lower: {a} or {b}?
What is smaller, {a} or {b}?
{a} or {b}, which is smaller?
{a} or {b}: which is less?
Smaller number: {a} or {b}?
Tell me the smaller of {a} and {b}.
Give me the smaller of {a} and {b}.
Pick the smaller of {a} and {b}.
What is the smaller of {a} and {b}?
What is the minimum of {a} and {b}?
min({a}, {b})
Compare {a} and {b}. Which is smaller?
""".strip().split("\n")
GREATER = """
Is {a} greater than {b}?
Is {a} larger than {b}?
Is {a} bigger than {b}?
Is {a} more than {b}?
Is {a} > {b}?
{a} > {b}?
Is it true that {a} is greater than {b}?
True or not: {a} is bigger than {b}?
Is the number {a} larger than {b}?
""".strip().split("\n")
LESS = """
Is {a} less than {b}?
Is {a} smaller than {b}?
Is {a} lower than {b}?
Is {a} < {b}?
{a} < {b}?
Is it true that {a} is less than {b}?
Is the number {a} smaller than {b}?
""".strip().split("\n")
EQUAL = """
Is {a} equal to {b}?
Are {a} and {b} equal?
Is {a} = {b}?
Are {a} and {b} the same number?
""".strip().split("\n")

PARITY = """
Is {n} even or odd?
Is {n} odd or even?
Is the number {n} even or odd?
Even or odd: {n}?
Even or odd: {n}
Odd or even: {n}
{n}: even or odd?
Tell me if {n} is even or odd.
Tell me whether {n} is odd or even.
Say if {n} is even or odd.
What is {n}, even or odd?
Would you call {n} even or odd?
""".strip().split("\n")
IS_EVEN = """
Is {n} even?
Is {n} an even number?
Is the number {n} even?
Is {n} divisible by 2?
Can {n} be divided by 2 without remainder?
""".strip().split("\n")
IS_ODD = """
Is {n} odd?
Is {n} an odd number?
Is the number {n} odd?
""".strip().split("\n")

DOUBLE = """
What is double {n}?
What is twice {n}?
Double {n}.
Double the number {n}.
Double of {n}?
Twice {n}
How much is twice {n}?
What is the double of {n}?
What do I get if I double {n}?
Two times {n}?
Tell me the double of {n}.
""".strip().split("\n")
HALVE = """
What is half of {n}?
What is a half of {n}?
Half of {n}
Half of {n}?
Halve {n}.
How much is half of {n}?
What do I get if I halve {n}?
What is one half of {n}?
Tell me the half of {n}.
Divide {n} into two equal parts. How big is one?
""".strip().split("\n")

SUM3 = """
What is {a} + {b} + {c}?
{a}+{b}+{c}
{a} + {b} + {c}
{a} + {b} + {c} =
{a}+{b}+{c}=?
{a} plus {b} plus {c}
What is {a} plus {b} plus {c}?
How much is {a} + {b} + {c}?
What is the sum of {a}, {b} and {c}?
Add {a}, {b} and {c}.
Add up {a}, {b} and {c}.
Add these numbers: {a}, {b}, {c}
Sum of {a}, {b}, {c}
Sum up {a}, {b} and {c}.
Compute {a} + {b} + {c}.
Calculate {a} + {b} + {c}.
Total of {a}, {b} and {c}?
What do {a}, {b} and {c} make together?
I have {a} red, {b} blue and {c} green {things}. How many in all?
""".strip().split("\n")

SEQUENCE = """
What comes next: {list}?
What comes next: {list}, ...?
What is the next number: {list}?
What is the next number in {list}?
What is the next number in the sequence {list}?
What number comes next? {list}
Which number comes next: {list}?
Which number follows: {list}?
Which number continues the series {list}?
Next number: {list}
Next number after {list}?
Continue the sequence: {list}
Continue the series: {list}
Continue: {list}, ...
Give me the next number: {list}
{list}, ?
{list}, what is next?
Find the next number: {list}
How does it go on: {list}, ...?
Complete the sequence: {list}, ...
""".strip().split("\n")

COUNT_TO = """
Count to {n}.
Count up to {n}.
Count from 1 to {n}.
Count from one to {n}.
Can you count to {n}?
Count to {n} please
List the numbers from 1 to {n}.
Write the numbers from 1 to {n}.
Give me the numbers 1 to {n}.
Tell me all numbers from 1 to {n}.
Write all numbers up to {n}, starting at 1.
Say the numbers from 1 up to {n}.
Count for me up to {n}.
Start at 1 and count to {n}.
""".strip().split("\n")
COUNT_FROM = """
Count from {m} to {n}.
List the numbers from {m} to {n}.
Write the numbers from {m} to {n}.
Give me the numbers {m} to {n}.
Start at {m} and count to {n}.
What are the numbers from {m} to {n}?
""".strip().split("\n")
COUNT_DOWN = """
Count down from {n}.
Count down from {n} to 1.
Count backwards from {n}.
Count backwards from {n} to 1.
Give me a countdown from {n}.
List the numbers from {n} down to 1.
Can you count down from {n}?
""".strip().split("\n")

LARGEST = """
What is the largest of {list}?
What is the largest number: {list}?
What is the biggest of these numbers: {list}
What is the maximum of {list}?
Which is the largest: {list}?
Which number is the largest: {list}?
Which of these numbers is the biggest: {list}?
Largest of {list}
Largest number: {list}
Max of {list}?
Find the largest number: {list}
Find the maximum: {list}
Tell me the largest of these: {list}
Pick the biggest number: {list}
Give me the highest number in this list: {list}
Here is a list: {list}. Which number is the largest?
""".strip().split("\n")
SMALLEST = """
What is the smallest of {list}?
What is the smallest number: {list}?
What is the lowest of these numbers: {list}
What is the minimum of {list}?
Which is the smallest: {list}?
Which number is the smallest: {list}?
Which of these numbers is the lowest: {list}?
Smallest of {list}
Smallest number: {list}
Min of {list}?
Find the smallest number: {list}
Find the minimum: {list}
Tell me the smallest of these: {list}
Pick the smallest number: {list}
Give me the lowest number in this list: {list}
Here is a list: {list}. Which number is the smallest?
""".strip().split("\n")

SORT = """
Sort these numbers: {list}
Sort: {list}
Sort {list}
Sort the numbers {list}.
Sort in ascending order: {list}
Sort from small to large: {list}
Sort these numbers from smallest to largest: {list}
Put these numbers in order: {list}
Put {list} in order.
Order these numbers: {list}
Arrange from smallest to largest: {list}
""".strip().split("\n")
SORT_DOWN = """
Sort in descending order: {list}
Sort from large to small: {list}
Sort these numbers from largest to smallest: {list}
Sort the numbers {list} in descending order.
Put these numbers in descending order: {list}
Arrange from largest to smallest: {list}
""".strip().split("\n")


def _story(rng):
    name, other = rng.sample(NAMES, 2)
    return {"name": name, "other": other, "things": rng.choice(THINGS)}


def _digits(number):
    """Digits from the last to the first."""
    return [int(digit) for digit in reversed(str(number))]


def add_steps(a, b):
    """School addition in words, from the last digit; without a closing sentence."""
    x, y, carry, steps = _digits(a), _digits(b), 0, []
    for i in range(max(len(x), len(y))):
        parts = [d[i] for d in (x, y) if i < len(d)] + ([carry] if carry else [])
        total = sum(parts)
        carry, last = total // 10, i + 1 == max(len(x), len(y))
        step = f"{' + '.join(map(str, parts))} = {total}" if len(parts) > 1 else str(total)
        steps.append(step if last or not carry else f"{step}, write {total % 10}, carry 1")
    return ". ".join(steps) + "."


def sub_steps(a, b):
    """School subtraction of b <= a in words."""
    x, y, borrow, steps = _digits(a), _digits(b), 0, []
    for i in range(len(x)):
        top, low = x[i], (y[i] if i < len(y) else 0) + borrow
        less = f" - {y[i]}" if i < len(y) else ""
        less += " - 1" if borrow else ""
        borrow = 1 if top < low else 0
        value = top + 10 * borrow - low
        step = f"{top + 10 * borrow}{less} = {value}" if less else str(value)
        steps.append(step + (", borrow 1" if borrow else ""))
    return ". ".join(steps) + "."


def _unordered(*numbers, sign="+"):
    """A key that does not depend on the order of the operands."""
    return sign.join(map(str, sorted(numbers)))


def _two_digits(*numbers):
    return all(10 <= number <= 99 for number in numbers)


def _add(rng, a, b):
    kind = "add2" if _two_digits(a, b) else "add"       # a pair has one kind, and so one side, whoever draws it
    return Turn(kind, phrase(rng, ADD, a=a, b=b, **_story(rng)), str(a + b), f"{add_steps(a, b)} So {a + b}.",
                key=_unordered(a, b))


def add2(rng):
    return _add(rng, rng.randint(10, 99), rng.randint(10, 99))


def _any_size(rng):
    """0 to 999, often of three digits, some of which are round or have a zero in the middle."""
    how = rng.random()
    if how < 0.08:
        return 100 * rng.randint(1, 9)
    if how < 0.16:
        return 100 * rng.randint(1, 9) + rng.randint(1, 9)
    return rng.randint(0, 10 ** rng.choice((1, 2, 3, 3)) - 1)


def add(rng):
    """Other sizes: 0 to 999."""
    return _add(rng, _any_size(rng), _any_size(rng))


def _subtract(rng, a, b):
    if a >= b and rng.random() < 0.25:
        user = phrase(rng, SUB_STORIES, a=a, b=b, **_story(rng))
    else:
        user = phrase(rng, SUB, a=a, b=b)
    if a >= b:
        reasoning = f"{sub_steps(a, b)} So {a - b}."
    else:
        reasoning = f"{a} is less than {b}, so it is negative. {b} - {a}: {sub_steps(b, a)} So {a - b}."
    # The reasoning of 12 - 47 has that of 47 - 12 in it.
    return Turn("sub2" if _two_digits(a, b) else "sub", user, str(a - b), reasoning,
                key=f"{max(a, b)}-{min(a, b)}")


def sub2(rng):
    a, b = rng.randint(10, 99), rng.randint(10, 99)
    if a < b and rng.random() < 0.4:        # people rarely ask for negative results
        a, b = b, a
    return _subtract(rng, a, b)


def sub(rng):
    """Other sizes: 0 to 1000, the larger number first."""
    a, b = _any_size(rng), _any_size(rng)
    if rng.random() < 0.3:          # borrows go through zeros
        a = 100 * rng.randint(1, 10)
        b = rng.randint(1, min(a, rng.choice((9, 99, 99, 999))))
    return _subtract(rng, max(a, b), min(a, b))


def mul(rng):
    b = rng.randint(2, 99 if rng.random() < 0.7 else 12)
    a = rng.randint(0 if rng.random() < 0.1 else 2, 10 if b > 12 else 12)
    if b > 9 and a:
        tens, ones = b // 10 * 10, b % 10
        reasoning = f"{a} x {tens} = {a * tens}, {a} x {ones} = {a * ones}, {a * tens} + {a * ones} = {a * b}."
    else:
        reasoning = f"{a} x {b} = {a * b}."
    key = _unordered(a, b, sign="x")
    if rng.random() < 0.4:
        a, b = b, a
    return Turn("mul", phrase(rng, MUL, a=a, b=b, **_story(rng)), str(a * b), reasoning, key=key)


def div(rng):
    """Without remainder."""
    b, how = rng.randint(2, 10), rng.random()
    result = rng.randint(1, 10 if how < 0.7 else 20) if how < 0.9 else rng.choice((25, 30, 40, 50, 100))
    a = b * result
    if 10 < result <= 20:
        reasoning = f"{b} x 10 = {b * 10}. {a} - {b * 10} = {a - b * 10}, which is {b} x {result - 10}. So {result}."
    else:
        reasoning = f"{b} x {result} = {a}, so {a} / {b} = {result}."
    return Turn("div", phrase(rng, DIV, a=a, b=b, **_story(rng)), str(result), reasoning, key=f"{a}/{b}")


def _pair(rng):
    """Two numbers of up to four digits, often of the same length or with a common beginning."""
    a = rng.randint(0, 10 ** rng.randint(1, 4) - 1)
    how = rng.random()
    if how < 0.2:
        b = rng.randint(0, 10 ** rng.randint(1, 4) - 1)
    elif how < 0.5:
        length = len(str(a))
        b = rng.randint(10 ** (length - 1) if length > 1 else 0, 10 ** length - 1)
    elif how < 0.85:
        b = max(0, a + rng.choice((-1, 1)) * rng.randint(1, rng.choice((2, 10, 30))))
    else:
        b = int("".join(rng.sample(str(a), len(str(a)))))
    return a, b


def compare(rng):
    a, b = _pair(rng)
    relation = "greater than" if a > b else "less than" if a < b else "equal to"
    reasoning = f"{a} is {relation} {b}."
    if len(str(a)) != len(str(b)):
        reasoning = f"Digits: {a} has {len(str(a))}, {b} has {len(str(b))}. {reasoning}"
    how = rng.random()
    if how < 0.6 and a != b:
        templates, answer = (LARGER, max(a, b)) if how < 0.35 else (SMALLER, min(a, b))
        accept = (f"{answer}.", f"{answer} is {'larger' if how < 0.35 else 'smaller'}.")
    else:
        asked = rng.choice(("greater", "greater", "less", "equal"))
        templates = {"greater": GREATER, "less": LESS, "equal": EQUAL}[asked]
        if rng.random() < (0.5 if asked == "equal" else 0.2):
            b = a
        if a == b:
            reasoning = f"{a} is equal to {a}" + (f", so it is not {asked}." if asked != "equal" else ".")
        right = {"greater": a > b, "less": a < b, "equal": a == b}[asked]
        answer, accept = ("Yes.", ("Yes", "yes")) if right else ("No.", ("No", "no"))
    return Turn("compare", phrase(rng, templates, a=a, b=b), str(answer), reasoning, key=_unordered(a, b, sign=","),
                accept=accept)


def parity(rng):
    n = rng.randint(0, 10 ** rng.randint(1, 4) - 1)
    word = "odd" if n % 2 else "even"
    reasoning = f"The last digit of {n} is {n % 10}, so {n} is {word}."
    how = rng.random()
    if how < 0.6:
        return Turn("parity", phrase(rng, PARITY, n=n), word, reasoning, key=str(n),
                    accept=(word.capitalize(), f"{n} is {word}."))
    templates, right = (IS_EVEN, n % 2 == 0) if how < 0.8 else (IS_ODD, n % 2 == 1)
    answer = "Yes" if right else "No"
    return Turn("parity", phrase(rng, templates, n=n), answer + ".", reasoning, key=str(n),
                accept=(answer, answer.lower()))


def double(rng):
    n = rng.randint(1, 10 ** rng.choice((1, 2, 2, 3)) - 1)
    return Turn("double", phrase(rng, DOUBLE, n=n), str(2 * n), f"{n} + {n}: {add_steps(n, n)} So {2 * n}.", key=str(n))


def halve(rng):
    n = 2 * rng.randint(1, 10 ** rng.choice((1, 2, 2)) - 1)
    return Turn("halve", phrase(rng, HALVE, n=n), str(n // 2), f"{n} = 2 x {n // 2}, so half is {n // 2}.", key=str(n))


def sum3(rng):
    while True:
        a, b, c = (rng.randint(1, 9 if rng.random() < 0.4 else 50) for _ in range(3))
        # The reasoning has two sums of two numbers: no held-out ones of add2.
        if not any(_two_digits(*pair) and is_held_out("add2", _unordered(*pair)) for pair in ((a, b), (a + b, c))):
            break
    return Turn("sum3", phrase(rng, SUM3, a=a, b=b, c=c, **_story(rng)), str(a + b + c),
                f"{a} + {b} = {a + b}. {a + b} + {c} = {a + b + c}.", key=_unordered(a, b, c))


def _numbers(rng, numbers):
    return rng.choice((", ", ", ", ", ", " ", ",")).join(map(str, numbers))


def sequence(rng):
    length = rng.randint(3, 5)
    if rng.random() < 0.85:
        step = rng.choice((1, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 10, 20, 25, 50, 100))
        start = rng.randint(0, 50)
        if rng.random() < 0.25:
            start, step = start + step * (length + 1), -step
        values = [start + step * i for i in range(length + 1)]
        rule = f"Each number is {abs(step)} {'more' if step > 0 else 'less'} than the one before."
        sign = "+" if step > 0 else "-"
        reasoning = f"{rule} {values[-2]} {sign} {abs(step)} = {values[-1]}."
    else:
        start = rng.randint(1, 9)
        values = [start * 2 ** i for i in range(length + 1)]
        reasoning = f"Each number is twice the one before. 2 x {values[-2]} = {values[-1]}."
        if length == 3 and start == 1:      # 1, 2, 4: too short to tell
            return sequence(rng)
    shown = _numbers(rng, values[:-1])
    return Turn("sequence", phrase(rng, SEQUENCE, list=shown), str(values[-1]), reasoning,
                key=" ".join(map(str, values[:-1])))


def count_to(rng):
    how = rng.random()
    if how < 0.55:
        m, n = 1, rng.randint(2, 25)
        user = phrase(rng, COUNT_TO, n=n)
    elif how < 0.8:
        m = rng.randint(2, 90)
        n = m + rng.randint(2, 12)
        user = phrase(rng, COUNT_FROM, m=m, n=n)
    else:
        m, n = rng.randint(3, 15), 1
        user = phrase(rng, COUNT_DOWN, n=m)
    numbers = range(m, n + 1) if m < n else range(m, n - 1, -1)
    return Turn("count_to", user, ", ".join(map(str, numbers)), f"I count from {m} to {n} in steps of 1.",
                accept=(" ".join(map(str, numbers)),))


def extreme(rng):
    top = 10 ** rng.choice((1, 2, 2, 3, 4))
    numbers = rng.sample(range(top), rng.randint(3, 6))
    largest = rng.random() < 0.55
    answer = max(numbers) if largest else min(numbers)
    user = phrase(rng, LARGEST if largest else SMALLEST, list=_numbers(rng, numbers))
    best, steps = numbers[0], []
    for number in numbers[1:]:
        steps.append(f"{best} {'>' if best > number else '<'} {number}")
        best = max(best, number) if largest else min(best, number)
    return Turn("extreme", user, str(answer), f"{', '.join(steps)}. So {answer}.", key=f"{largest} {sorted(numbers)}")


def sort_numbers(rng):
    numbers = rng.sample(range(10 ** rng.choice((1, 2, 2, 3))), rng.randint(3, 6))
    down = rng.random() < 0.3
    ordered = ", ".join(map(str, sorted(numbers, reverse=down)))
    user = phrase(rng, SORT_DOWN if down else SORT, list=_numbers(rng, numbers))
    direction = "largest to smallest" if down else "smallest to largest"
    return Turn("sort_numbers", user, ordered, f"From {direction}: {ordered}.",
                key=str(sorted(numbers)), accept=(ordered.replace(",", ""), ordered.replace(" ", "")))


TASKS = [(5, add2), (2.5, add), (3, sub2), (2.5, sub), (3, mul), (3, div), (4, compare), (1, parity), (1, double),
         (1, halve), (3, sum3), (1.5, sequence), (1, count_to), (2, extreme), (1, sort_numbers)]
