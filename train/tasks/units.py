"""Unit conversion with short, exact results: "5 km" to "5000 m"."""
from fractions import Fraction

from .common import Turn
from .phrasing import phrase, vary

# unit: the answer's word for one and for more, then what people type (singular, plural)
UNITS = {
    "km": ("km", "km", (("km", "km"), ("kilometre", "kilometres"), ("kilometer", "kilometers"))),
    "m": ("m", "m", (("m", "m"), ("metre", "metres"), ("meter", "meters"))),
    "cm": ("cm", "cm", (("cm", "cm"), ("centimetre", "centimetres"), ("centimeter", "centimeters"))),
    "mm": ("mm", "mm", (("mm", "mm"), ("millimetre", "millimetres"), ("millimeter", "millimeters"))),
    "inch": ("inch", "inches", (("inch", "inches"),)),
    "foot": ("foot", "feet", (("foot", "feet"),)),
    "yard": ("yard", "yards", (("yard", "yards"),)),
    "kg": ("kg", "kg", (("kg", "kg"), ("kilogram", "kilograms"), ("kilo", "kilos"))),
    "g": ("g", "g", (("g", "g"), ("gram", "grams"))),
    "mg": ("mg", "mg", (("mg", "mg"), ("milligram", "milligrams"))),
    "tonne": ("tonne", "tonnes", (("tonne", "tonnes"), ("ton", "tons"))),
    "second": ("second", "seconds", (("second", "seconds"), ("sec", "secs"))),
    "ms": ("ms", "ms", (("ms", "ms"), ("millisecond", "milliseconds"))),
    "minute": ("minute", "minutes", (("minute", "minutes"), ("min", "min"))),
    "hour": ("hour", "hours", (("hour", "hours"),)),
    "day": ("day", "days", (("day", "days"),)),
    "week": ("week", "weeks", (("week", "weeks"),)),
    "month": ("month", "months", (("month", "months"),)),
    "year": ("year", "years", (("year", "years"),)),
    "century": ("century", "centuries", (("century", "centuries"),)),
    "dozen": ("dozen", "dozen", (("dozen", "dozens"),)),
    "piece": ("piece", "pieces", (("piece", "pieces"),)),
    "litre": ("litre", "litres", (("litre", "litres"), ("liter", "liters"), ("l", "l"))),
    "ml": ("ml", "ml", (("ml", "ml"), ("millilitre", "millilitres"), ("milliliter", "milliliters"))),
    "GB": ("GB", "GB", (("GB", "GB"), ("gigabyte", "gigabytes"), ("gb", "gb"))),
    "MB": ("MB", "MB", (("MB", "MB"), ("megabyte", "megabytes"), ("mb", "mb"))),
    "kB": ("kB", "kB", (("kB", "kB"), ("kilobyte", "kilobytes"))),
    "TB": ("TB", "TB", (("TB", "TB"), ("terabyte", "terabytes"))),
    "byte": ("byte", "bytes", (("byte", "bytes"),)),
    "bit": ("bit", "bits", (("bit", "bits"),)),
    "euro": ("euro", "euros", (("euro", "euros"),)),
    "dollar": ("dollar", "dollars", (("dollar", "dollars"),)),
    "cent": ("cent", "cents", (("cent", "cents"),)),
}

# (large, small, how many small ones make a large one, weight)
FACTORS = [
    ("km", "m", 1000, 3), ("m", "cm", 100, 3), ("cm", "mm", 10, 2), ("m", "mm", 1000, 1), ("kg", "g", 1000, 3),
    ("g", "mg", 1000, 1), ("tonne", "kg", 1000, 1), ("hour", "minute", 60, 3), ("minute", "second", 60, 3),
    ("hour", "second", 3600, 0.5), ("second", "ms", 1000, 1), ("day", "hour", 24, 2), ("week", "day", 7, 2),
    ("year", "month", 12, 1), ("century", "year", 100, 0.5), ("litre", "ml", 1000, 2), ("GB", "MB", 1000, 2),
    ("MB", "kB", 1000, 1), ("TB", "GB", 1000, 1), ("kB", "byte", 1000, 1), ("byte", "bit", 8, 1),
    ("inch", "cm", Fraction("2.54"), 1), ("foot", "inch", 12, 1), ("yard", "foot", 3, 0.5), ("dozen", "piece", 12, 0.5),
    ("euro", "cent", 100, 0.5), ("dollar", "cent", 100, 0.5),
]

CONVERT = """
How many {t} are {n} {f}?
How many {t} are in {n} {f}?
How many {t} are there in {n} {f}?
How many {t} is {n} {f}?
How many {t} make {n} {f}?
How many {t} in {n} {f}?
How many {t} do {n} {f} have?
How much is {n} {f} in {t}?
How much are {n} {f} in {t}?
What is {n} {f} in {t}?
What are {n} {f} in {t}?
What is {n} {f} expressed in {t}?
What do {n} {f} equal in {t}?
Convert {n} {f} to {t}.
Convert {n} {f} into {t}.
Convert to {t}: {n} {f}
Change {n} {f} to {t}.
Turn {n} {f} into {t}.
Express {n} {f} in {t}.
Give me {n} {f} in {t}.
Tell me {n} {f} in {t}.
Tell me how many {t} {n} {f} are.
Write {n} {f} in {t}.
Calculate {n} {f} in {t}.
{n} {f} in {t}
{n} {f} to {t}
{n} {f} in {t}?
{n} {f} to {t}?
{n} {f} = ? {t}
{n} {f} are how many {t}?
{n} {f} is how many {t}?
{n} {f} equals how many {t}?
I have {n} {f}. How many {t} is that?
I need {n} {f} in {t}.
If I have {n} {f}, how many {t} is that?
""".strip().split("\n")

TEMPERATURE = """
What is {n} {f} in {t}?
What is {n} degrees {f} in {t}?
What is {n} degrees {f} in degrees {t}?
How much is {n} {f} in {t}?
How much is {n} degrees {f} in {t}?
Convert {n} {f} to {t}.
Convert {n} degrees {f} to {t}.
Convert {n} degrees {f} to degrees {t}.
Turn {n} degrees {f} into {t}.
Give me {n} degrees {f} in {t}.
{n} {f} in {t}
{n} {f} to {t}
{n} degrees {f} in {t}?
{n} degrees {f} to {t}
How many degrees {t} are {n} degrees {f}?
It is {n} degrees {f} outside. What is that in {t}?
The oven is at {n} degrees {f}. How much is that in {t}?
""".strip().split("\n")


def decimal(value):
    """The shortest exact decimal form, or None if there is none of up to three places."""
    value = Fraction(value)
    if (value * 1000).denominator != 1:
        return None
    text = f"{float(value):.3f}".rstrip("0").rstrip(".")
    return text or "0"


def named(value, unit):
    one, more, _ = UNITS[unit]
    return f"{decimal(value)} {one if value == 1 else more}"


def _amount(rng, factor, to_small):
    """A number that people would convert, given the factor and the direction."""
    how = rng.random()
    if to_small:
        if how < 0.8:
            return Fraction(rng.randint(1, 20 if factor in (1000, 100, 10) else 12))
        if how < 0.9:
            return Fraction(rng.randint(1, 20) * 10)
        return Fraction(rng.randint(1, 60), 10) if factor in (1000, 100, 10) else Fraction(rng.randint(1, 9), 2)
    if how < 0.8:
        return factor * rng.randint(1, 20 if factor in (1000, 100, 10) else 12)
    if how < 0.9 and factor in (1000, 100):
        return factor * rng.randint(1, 60) / 10
    if factor in (1000, 100, 10):
        return Fraction(factor) * rng.randint(1, 60) / rng.choice((10, 10, 100)) if factor > 10 else Fraction(
            rng.randint(1, 99))
    return Fraction(factor) * rng.randint(1, 9) / 2


def convert(rng):
    large, small, factor, _ = rng.choices(FACTORS, [entry[3] for entry in FACTORS])[0]
    factor = Fraction(factor)
    to_small = rng.random() < 0.6
    amount = _amount(rng, factor, to_small)
    result = amount * factor if to_small else amount / factor
    source, target = (large, small) if to_small else (small, large)
    if decimal(amount) is None or decimal(result) is None or amount > 99999 or result > 999999:
        return convert(rng)
    if (result * 10).denominator != 1 and rng.random() < 0.5:
        return convert(rng)             # two or three decimal places are rare
    source_names, target_names = rng.choice(UNITS[source][2]), rng.choice(UNITS[target][2])
    shown = decimal(amount)
    if amount == 1 and rng.random() < 0.3:
        shown = "an" if source in ("hour", "inch") else "a"
        if source_names[0] == source_names[1]:
            shown = "1"             # "a km" is rare
    elif amount == 1 and rng.random() < 0.2:
        shown = "one"
    name = source_names[0] if amount == 1 else source_names[1]
    template = vary(rng, rng.choice(CONVERT))
    if len(name) < 3 and shown.isdigit() and rng.random() < 0.25:
        template = template.replace("{n} {f}", "{n}{f}")        # 5km
    user = template.format(n=shown, f=name, t=target_names[1])
    answer = named(result, target)
    sign = "x" if to_small else "/"
    reasoning = (f"1 {UNITS[large][0]} = {named(factor, small)}, so {decimal(amount)} {sign} {decimal(factor)} = "
                 f"{decimal(result)}.")
    return Turn("units", user, answer, reasoning, key=f"{decimal(amount)} {source} {target}", accept=(decimal(result),))


def temperature(rng):
    celsius = 5 * rng.randint(-4, 50 if rng.random() < 0.4 else 20)
    to_fahrenheit = rng.random() < 0.55
    if to_fahrenheit and rng.random() < 0.3:
        celsius = rng.randint(-20, 45)
    product = Fraction(celsius * 9, 5)
    fahrenheit, product = decimal(product + 32), decimal(product)
    names = rng.choice((("C", "F"), ("Celsius", "Fahrenheit")))
    if to_fahrenheit:
        user = phrase(rng, TEMPERATURE, n=celsius, f=names[0], t=names[1])
        answer = f"{fahrenheit} F"
        steps = f"{celsius} x 1.8 = {product}. {product} + 32 = {fahrenheit}."
    else:
        user = phrase(rng, TEMPERATURE, n=fahrenheit, f=names[1], t=names[0])
        answer, steps = f"{celsius} C", f"{fahrenheit} - 32 = {product}. {product} / 1.8 = {celsius}."
    number = answer[:-2]
    name = "Fahrenheit" if answer[-1] == "F" else "Celsius"
    return Turn("units", user, answer, steps, key=answer,
                accept=(number, f"{number} degrees", f"{number} degrees {name}"))


TASKS = [(5, convert), (1, temperature)]
