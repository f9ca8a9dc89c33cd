"""Tool use: the right call with the right arguments, and the answer from what the tool returned.

Canonical forms
  a call      content "", arguments in the order of the schema; optional ones only if the user gave them;
              strings copied exactly, without the quotes they may stand in
  an answer   one sentence per call with the field that was asked, "The temperature in Lisbon is 21 degrees.";
              of arbitrary tools "The delivery date is 14 May."; nothing asked: "The result is 17." if there is one
              value, "Here is the result: status shipped, items 3." if there are several, "Done." if it only says ok
  an error    "The tool failed: not found."
  reasoning   "This needs get_weather with city Lisbon." before a call, "This needs get_time." without arguments,
              one such sentence for each call; "The result says: 21 degrees, sunny" (the asked value for JSON)
              before an answer; "No tool is needed." and the turn's own reasoning otherwise

Two sources of tools: FAMILIES are realistic ones with natural questions; arbitrary tools have made-up names,
parameters and results, so that the schema has to be read.
"""
import json
import random
import re
from dataclasses import dataclass, field

from .common import Conversation, is_held_out
from .memory import (any_city, any_date, any_name, any_time, any_word, assistant, invented_word, number_of_digits,
                     lower_start, ordinary_turn, system_messages, user)
from .phrasing import right_articles
from .words_list import ANIMALS, CITIES, COLOURS, DAYS, FRUITS, OBJECTS

# ---- values ------------------------------------------------------------------------------------------


def _choice(*words):
    return lambda rng: rng.choice(words)


def _integer(least, most):
    return lambda rng: rng.randint(least, most)


def _decimal(least, most):
    return lambda rng: round(rng.uniform(least, most), rng.choice((1, 1, 2)))


def _clock(rng):
    return any_time(rng) if rng.random() < 0.6 else f"{rng.randint(1, 12)} {rng.choice(('am', 'pm'))}"


_EXTENSIONS = ("txt", "md", "c", "h", "py", "json", "csv", "log", "html", "sh", "toml")
_FOLDERS = ("src", "docs", "tests", "include", "tools", "data", "lib", "/tmp", "/etc", "/home/user", "build", "assets")


def _folder(rng):
    chance = rng.random()
    if chance < 0.4:
        return rng.choice(_FOLDERS)
    return f"{rng.choice(_FOLDERS)}/{any_word(rng)}" if chance < 0.8 else any_word(rng)


def _path(rng):
    name = any_word(rng) if rng.random() < 0.8 else f"{any_word(rng)}_{any_word(rng)}"
    name += "." + rng.choice(_EXTENSIONS)
    return name if rng.random() < 0.5 else f"{_folder(rng)}/{name}"


_PHRASES = ("call {name}", "buy {fruit}s", "water the {object}", "feed the {animal}", "pay the {word} bill",
            "meeting with {name}", "the {colour} {object} is ready", "see you in {city}", "fix the {word} bug",
            "hello {name}", "the {animal} is hungry", "send the {object} to {name}", "{word} and {word}",
            "visit {city}", "new {colour} {object}", "{name} likes {fruit}s", "read the {word} report",
            "add a test for {word}", "clean the {object}", "I will be late", "lunch at noon", "where is the {object}",
            "update the {word} page", "the {word} is {colour}")


def _phrase(rng):
    return rng.choice(_PHRASES).format(name=any_name(rng), fruit=rng.choice(FRUITS), object=rng.choice(OBJECTS),
                                       animal=rng.choice(ANIMALS), word=any_word(rng), colour=rng.choice(COLOURS),
                                       city=any_city(rng))


def _command(rng):
    return rng.choice(("ls {f}", "make {w}", "git status", "git log", "cat {p}", "python3 {p}", "make test", "rm {p}",
                       "wc -l {p}", "grep {w} {p}", "cp {p} {f}", "mkdir {f}", "echo {w}", "uname -a", "df -h", "date",
                       "./{w} --help", "head -n 5 {p}", "du -sh {f}", "pwd", "whoami",
                       "chmod 755 {p}")).format(f=_folder(rng), w=any_word(rng), p=_path(rng))


def _expression(rng):
    a, b, c = (rng.randint(2, rng.choice((20, 99, 999))) for _ in range(3))
    first, second = rng.choice("+-*/"), rng.choice("+-*")
    return rng.choice((f"{a} {first} {b}", f"{a} {first} {b}", f"{a}{first}{b}", f"({a} {first} {b}) {second} {c}"))


def _url(rng):
    return f"http{rng.choice(('', 's'))}://{any_word(rng)}.{rng.choice(('com', 'org', 'net', 'de'))}" + \
        rng.choice(("", "", f"/{any_word(rng)}", f"/{_path(rng)}"))


def _email(rng):
    return f"{any_name(rng).lower()}@{any_word(rng)}.{rng.choice(('com', 'org', 'net'))}"


def _names(least, most, value=any_word):
    def draw_list(rng):
        return list(dict.fromkeys(value(rng) for _ in range(rng.randint(least, most))))
    return draw_list


def _symbol(rng):
    return "".join(rng.choice("ABCDEFGHIKLMNOPRSTUVXYZ") for _ in range(rng.randint(2, 4)))


def _reference(rng):
    return number_of_digits(rng, 2, 5) if rng.random() < 0.6 else \
        f"{rng.choice('ABCDEFGHKLMNPRST')}{number_of_digits(rng, 2, 4)}"


_ROOMS = ("kitchen", "bedroom", "hall", "office", "cellar", "garage", "bathroom", "attic", "living room", "garden")
_LANGUAGES = ("German", "French", "Spanish", "Italian", "Greek", "Polish", "Dutch", "Danish", "Turkish", "Latin")
_CURRENCIES = ("EUR", "USD", "GBP", "JPY", "CHF", "SEK", "PLN", "NOK")
_SKY = ("sunny", "cloudy", "rainy", "windy", "foggy", "snowy", "clear", "stormy")


def _say(value) -> str:
    """A value as it is written in sentences."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(value)
    return str(value)


def _say_list(values):
    return values[0] if len(values) == 1 else ", ".join(values[:-1]) + " and " + values[-1]


# ---- an exchange: what is asked, the call, its result, the answer ------------------------------------


@dataclass
class Exchange:
    request: str                # what the user says
    name: str
    arguments: dict
    result: str                 # content of the tool message
    answer: str
    seen: str                   # what the reasoning quotes of the result
    follow_ups: list = field(default_factory=list)      # [(question, answer, seen)] about the same result

    def call_key(self):
        return f"{self.name} {json.dumps(self.arguments)}"

    def plan(self):
        given = ", ".join(f"{name} {_say(value)}" for name, value in self.arguments.items())
        return f"This needs {self.name} with {given}." if given else f"This needs {self.name}."


_ERRORS = ("not found", "permission denied", "timeout", "no connection", "unknown {p}", "access denied",
           "out of memory",
           "invalid {p}", "service not available", "too many requests", "internal error", "the server is down",
           "disk full", "wrong password")


def _fail(rng, exchange):
    """Lets the tool fail instead."""
    parameter = rng.choice(list(exchange.arguments) or ["request"])
    text = rng.choice(_ERRORS).format(p=parameter)
    exchange.result = rng.choice((f"Error: {text}", json.dumps({"error": text}), f"error: {text}"))
    exchange.answer = f"The tool failed: {text}."
    exchange.seen = f"error: {text}"
    exchange.follow_ups = []


# ---- realistic tools ---------------------------------------------------------------------------------


@dataclass
class Family:
    """A sort of tool. `slots` gives the values of parameters, of results and of anything else that the texts name.
    An ask is (what the user says, what is answered, the result slot quoted by the reasoning, arguments that the words
    imply); the other arguments of a call are those which the user's text names, so both must cover the required ones.
    """
    names: tuple
    descriptions: tuple
    parameters: tuple           # (name, type, description, required)
    slots: dict
    asks: tuple
    result: tuple = ()          # the slots of a JSON result; () if texts has the whole result
    texts: tuple = ()           # plain results
    open: bool = False          # an ordinary question could be meant for it: not offered where no call is right
    topic: str = ""             # of several families with one topic, a conversation has one


def _config(rng):
    return rng.choice(("port", "width", "height", "timeout", "level", "speed", "limit", "version", "size", "depth"))


FAMILIES = (
    Family(("get_weather", "weather", "getWeather", "current_weather", "fetch_weather"),
           ("Get the weather of a city", "Current weather for a city", "Weather report"),
           (("city", "string", "name of the city", True), ("unit", "string", "celsius or fahrenheit", False)),
           {"city": any_city, "unit": _choice("celsius", "fahrenheit"), "temperature": _integer(-20, 40),
            "sky": _choice(*_SKY), "humidity": _integer(10, 99), "wind": _integer(0, 90)},
           (("What's the weather in {city}?", "The weather in {city} is {sky}.", "sky"),
            ("What is the weather like in {city}?", "The weather in {city} is {sky}.", "sky"),
            ("How warm is it in {city}?", "The temperature in {city} is {temperature} degrees.", "temperature"),
            ("What is the temperature in {city}?", "The temperature in {city} is {temperature} degrees.",
             "temperature"),
            ("Tell me the temperature in {city} in {unit}.",
             "The temperature in {city} is {temperature} degrees.", "temperature"),
            ("How humid is it in {city}?", "The humidity in {city} is {humidity} percent.", "humidity"),
            ("How strong is the wind in {city}?", "The wind in {city} has {wind} km/h.", "wind")),
           ("temperature", "sky", "humidity", "wind"),
           ("{temperature} degrees, {sky}, humidity {humidity}, wind {wind}",),
           open=True),
    Family(("get_time", "current_time", "getTime", "world_clock"),
           ("Get the time in a city", "Current local time of a city"),
           (("city", "string", "name of the city", True),),
           {"city": any_city, "time": lambda rng: f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}",
            "zone": _choice("UTC", "CET", "EST", "JST", "PST")},
           (("What time is it in {city}?", "It is {time} in {city}.", "time"),
            ("Tell me the time in {city}.", "It is {time} in {city}.", "time"),
            ("How late is it in {city} now?", "It is {time} in {city}.", "time")),
           ("time", "zone"), ("{time}", "{time} {zone}"), open=True),
    Family(("calculate", "calculator", "evaluate", "calc"),
           ("Evaluate an arithmetic expression", "Calculator", "Compute the value of an expression"),
           (("expression", "string", "e.g. 2 + 3", True),),
           {"expression": _expression, "value": _integer(-999, 99999)},
           (("Calculate {expression}", "{expression} = {value}", "value"),
            ("What is {expression}?", "{expression} = {value}", "value"),
            ("Use the calculator for {expression}.", "{expression} = {value}", "value"),
            ("Please compute {expression}", "{expression} = {value}", "value")),
           ("value",), ("{value}",), open=True),
    Family(("read_file", "readFile", "open_file", "cat_file", "view"),
           ("Read a file", "Read a text file and return its lines", "Returns the content of a file"),
           (("path", "string", "path of the file", True),),
           {"path": _path, "key": _config, "number": _integer(1, 9999), "phrase": _phrase, "word": any_word},
           (("Read {path}", "{path} says: {lines}", "lines"),
            ("What does {path} say?", "{path} says: {lines}", "lines"),
            ("Show me the file {path}.", "{path} says: {lines}", "lines"),
            ("What is in {path}?", "{path} says: {lines}", "lines"),
            ("Which {key} does {path} set?", "The {key} in {path} is {number}.", "entry"),
            ("What is the {key} in {path}?", "The {key} in {path} is {number}.", "entry")),
           topic="read"),
    Family(("write_file", "writeFile", "create_file", "save_file"),
           ("Write a text to a file", "Create a file with the given content", "Save text"),
           (("path", "string", "path of the file", True), ("content", "string", "the text", True)),
           {"path": _path, "content": _phrase},
           (('Write "{content}" to {path}', "I have written {path}.", "ok"),
            ('Create the file {path} with the text "{content}".', "I have written {path}.", "ok"),
            ('Save "{content}" as {path}.', "I have written {path}.", "ok"),
            ("Please write {path}: {content}", "I have written {path}.", "ok")),
           ("ok",), ("ok", "File written.", "done")),
    Family(("list_files", "listFiles", "list_directory", "ls"),
           ("List the files of a folder", "List a directory", "Returns the names of the files in a directory"),
           (("directory", "string", "path of the folder", True),),
           {"directory": _folder, "a": _path, "b": _path, "c": _path},
           (("Which files are in {directory}?", "{directory} has {a}, {b}, {c}.", "all"),
            ("List the files in {directory}", "{directory} has {a}, {b}, {c}.", "all"),
            ("Show the content of the folder {directory}.", "{directory} has {a}, {b}, {c}.", "all")),
           (), ("{a}\n{b}\n{c}",)),
    Family(("run_command", "bash", "shell", "runCommand", "execute"),
           ("Run a shell command", "Execute a command and return its output", "Runs a command in the shell"),
           (("command", "string", "the command", True), ("timeout", "integer", "limit in seconds", False)),
           {"command": _command, "timeout": _integer(1, 600), "output": _phrase},
           (("Run {command}", "The output is: {output}", "output"),
            ("Run `{command}`", "The output is: {output}", "output"),
            ("Please execute the command `{command}`.", "The output is: {output}", "output"),
            ("Run `{command}` with a timeout of {timeout} seconds.", "The output is: {output}", "output")),
           (), ("{output}",), open=True),
    Family(("search_code", "grep", "searchFiles", "find_text"),
           ("Search for a text in files", "Find a pattern in the code"),
           (("pattern", "string", "text to look for", True), ("path", "string", "where to search", False)),
           {"pattern": any_word, "path": _folder, "file": _path, "line": _integer(1, 999)},
           (("Where does {pattern} occur?", "{pattern} is in {file}, line {line}.", "all"),
            ("Search for {pattern} in {path}.", "{pattern} is in {file}, line {line}.", "all"),
            ('Search the code for "{pattern}".', "{pattern} is in {file}, line {line}.", "all"),
            ("grep {pattern} in {path}", "{pattern} is in {file}, line {line}.", "all")),
           ("file", "line"), ("{file}:{line}",), open=True, topic="search"),
    Family(("edit_file", "replace", "edit", "replace_text"),
           ("Replace a text in a file", "Edit a file"),
           (("path", "string", "", True), ("old", "string", "text to replace", True),
            ("new", "string", "new text", True)),
           {"path": _path, "old": any_word, "new": any_word, "count": _integer(2, 20)},
           (("Replace {old} by {new} in {path}", "I have edited {path}.", "ok"),
            ('In {path}, change "{old}" to "{new}".', "I have edited {path}.", "ok"),
            ("Edit {path}: {new} instead of {old}.", "I have edited {path}.", "ok")),
           ("ok",), ("ok", "done")),
    Family(("delete_file", "remove_file", "deleteFile"),
           ("Delete a file", "Remove a file for ever"),
           (("path", "string", "the file", True),),
           {"path": _path},
           (("Delete {path}", "I have deleted {path}.", "ok"),
            ("Remove the file {path}.", "I have deleted {path}.", "ok"),
            ("I don't need {path} any more, delete it.", "I have deleted {path}.", "ok")),
           ("ok",), ("ok", "deleted", "done")),
    Family(("git_commit", "commit", "gitCommit"),
           ("Commit all changes", "Make a git commit"),
           (("message", "string", "the commit message", True),),
           {"message": _phrase, "hash": lambda rng: f"{rng.randrange(16 ** 7):07x}"},
           (('Commit with the message "{message}"', "The commit is {hash}.", "hash"),
            ("Commit this as: {message}", "The commit is {hash}.", "hash"),
            ('Make a commit "{message}".', "The commit is {hash}.", "hash")),
           ("hash",), ("{hash}",)),
    Family(("set_reminder", "remind", "add_reminder", "createReminder"),
           ("Set a reminder", "Remind the user at a time"),
           (("text", "string", "what to remember", True), ("time", "string", "when", True)),
           {"text": _phrase, "time": _clock},
           (('Remind me at {time}: "{text}"', "I will remind you at {time}.", "ok"),
            ('Set a reminder "{text}" for {time}.', "I will remind you at {time}.", "ok"),
            ("At {time}, remind me: {text}", "I will remind you at {time}.", "ok")),
           ("ok",), ("ok", "reminder set"), open=True, topic="remind"),
    Family(("send_email", "email", "sendMail", "mail"),
           ("Send an email", "Writes an email to somebody"),
           (("to", "string", "address", True), ("subject", "string", "", True), ("body", "string", "the text", False)),
           {"to": _email, "subject": _phrase, "body": _phrase},
           (('Send an email to {to} with the subject "{subject}".', "The email to {to} is sent.", "ok"),
            ('Mail {to}, subject "{subject}", text "{body}".', "The email to {to} is sent.", "ok"),
            ('Write an email to {to}: the subject is "{subject}" and the body "{body}".', "The email to {to} is sent.",
             "ok")),
           ("ok",), ("ok", "sent"), open=True, topic="send"),
    Family(("send_message", "sendMessage", "text_person", "message"),
           ("Send a message to a person", "Sends a short message"),
           (("person", "string", "name of the receiver", True), ("text", "string", "", True)),
           {"person": any_name, "text": _phrase},
           (('Tell {person}: "{text}"', "The message to {person} is sent.", "ok"),
            ('Send {person} the message "{text}".', "The message to {person} is sent.", "ok"),
            ("Send a message to {person}: {text}", "The message to {person} is sent.", "ok")),
           ("ok",), ("ok", "sent"), open=True, topic="send"),
    Family(("translate", "translate_text", "translator"),
           ("Translate a text into a language", "Translation into another language"),
           (("text", "string", "", True), ("language", "string", "target language", True)),
           {"text": _phrase, "language": _choice(*_LANGUAGES),
            "translation": lambda rng: " ".join(invented_word(rng) for _ in range(rng.randint(1, 4)))},
           (('Translate "{text}" into {language}', '"{text}" in {language} is "{translation}".', "translation"),
            ('What is "{text}" in {language}?', '"{text}" in {language} is "{translation}".', "translation"),
            ('How do you say "{text}" in {language}?', '"{text}" in {language} is "{translation}".', "translation")),
           ("translation",), ("{translation}",), open=True),
    Family(("set_timer", "timer", "startTimer", "start_timer"),
           ("Start a timer", "Set a timer in minutes"),
           (("minutes", "integer", "how long", True), ("label", "string", "name of the timer", False)),
           {"minutes": _integer(1, 180), "label": any_word},
           (("Set a timer for {minutes} minutes", "The timer runs for {minutes} minutes.", "ok"),
            ("Start a timer of {minutes} minutes called {label}.", "The timer runs for {minutes} minutes.", "ok"),
            ("Wake me in {minutes} minutes.", "The timer runs for {minutes} minutes.", "ok")),
           ("ok",), ("ok", "started"), open=True, topic="remind"),
    Family(("play_music", "play", "playSong", "start_music"),
           ("Play music", "Play a song or an artist"),
           (("title", "string", "", True), ("artist", "string", "", False), ("volume", "integer", "0 to 100", False)),
           {"title": _phrase, "artist": any_name, "volume": _integer(1, 100)},
           (('Play "{title}"', 'Now playing "{title}".', "ok"),
            ('Play "{title}" by {artist}', 'Now playing "{title}".', "ok"),
            ('I want to hear "{title}" by {artist} at volume {volume}.', 'Now playing "{title}".', "ok")),
           ("ok",), ("ok", "playing"), open=True),
    Family(("create_event", "add_event", "createEvent", "calendar_add"),
           ("Add an event to the calendar", "Create a calendar entry"),
           (("title", "string", "", True), ("day", "string", "", True), ("time", "string", "", False)),
           {"title": _phrase, "day": lambda rng: rng.choice(DAYS) if rng.random() < 0.5 else any_date(rng),
            "time": _clock},
           (('Put "{title}" into my calendar on {day}.', '"{title}" is in your calendar.', "ok"),
            ('Add "{title}" to the calendar on {day} at {time}', '"{title}" is in your calendar.', "ok"),
            ('Create an event "{title}" on {day} at {time}.', '"{title}" is in your calendar.', "ok")),
           ("ok",), ("ok", "created"), open=True, topic="calendar"),
    Family(("list_events", "getCalendar", "events_of_day"),
           ("List the events of a day", "Show the calendar of a day"),
           (("day", "string", "", True),),
           {"day": lambda rng: rng.choice(DAYS) if rng.random() < 0.5 else any_date(rng), "event": _phrase,
            "time": _clock},
           (("What is in my calendar on {day}?", "On {day} you have: {event} at {time}.", "all"),
            ("Do I have anything to do on {day}?", "On {day} you have: {event} at {time}.", "all"),
            ("Show the events of {day}.", "On {day} you have: {event} at {time}.", "all")),
           ("event", "time"), ("{event}, {time}",), open=True, topic="calendar"),
    Family(("find_customer", "query_customers", "lookupCustomer", "get_customer"),
           ("Look up a customer in the database", "Find a customer by name"),
           (("name", "string", "name of the customer", True),),
           {"name": any_name, "city": any_city, "orders": _integer(0, 99), "id": _integer(10, 99999), "email": _email},
           (("In which city does the customer {name} live?", "{name} lives in {city}.", "city"),
            ("How many orders does the customer {name} have?", "{name} has {orders} orders.", "orders"),
            ("What is the id of the customer {name}?", "The id of {name} is {id}.", "id"),
            ("Find the email of the customer {name}.", "The email of {name} is {email}.", "email")),
           ("id", "city", "orders", "email"), ("id {id}, city {city}, orders {orders}, email {email}",)),
    Family(("query_database", "sql", "count_rows", "runQuery"),
           ("Count the rows of a table", "Number of rows in a table of the database"),
           (("table", "string", "", True), ("limit", "integer", "", False)),
           {"table": lambda rng: any_word(rng) + "s", "limit": _integer(1, 500), "rows": _integer(0, 9999)},
           (("How many rows does the table {table} have?", "The table {table} has {rows} rows.", "rows"),
            ("Count the rows of {table}", "The table {table} has {rows} rows.", "rows"),
            ("Count the rows of {table} with limit {limit}.", "The table {table} has {rows} rows.", "rows")),
           ("rows",), ("{rows}", "{rows} rows")),
    Family(("http_get", "fetch_url", "httpGet", "download"),
           ("Fetch a web page", "HTTP GET of a URL", "Download a page"),
           (("url", "string", "", True),),
           {"url": _url, "status": _choice(200, 201, 301, 404, 500), "body": _phrase},
           (("Fetch {url}", "The page says: {body}", "body"), ("What does {url} say?", "The page says: {body}", "body"),
            ("Which status does {url} return?", "The status of {url} is {status}.", "status")),
           ("status", "body"), ("{status} {body}",), open=True),
    Family(("web_search", "search_web", "searchWeb", "search"),
           ("Search the web", "Find pages about something"),
           (("query", "string", "what to look for", True), ("count", "integer", "number of results", False)),
           {"query": lambda rng: f"{any_word(rng)} {any_word(rng)}", "count": _integer(1, 20), "title": _phrase,
            "url": _url},
           (('Search the web for "{query}"', 'I found "{title}" at {url}.', "all"),
            ("Search for {query} on the web.", 'I found "{title}" at {url}.', "all"),
            ('Find {count} pages about "{query}".', 'I found "{title}" at {url}.', "all")),
           ("title", "url"), ("{title} {url}",), open=True, topic="search"),
    Family(("convert_currency", "currency", "convertMoney", "exchange"),
           ("Convert money", "Convert an amount into another currency"),
           (("amount", "number", "", True), ("source", "string", "currency code", True),
            ("target", "string", "currency code", True)),
           {"amount": lambda rng: rng.randint(1, 5000) if rng.random() < 0.5 else _decimal(1, 500)(rng),
            "source": _choice(*_CURRENCIES[:4]), "target": _choice(*_CURRENCIES[4:]), "value": _decimal(1, 9000)},
           (("How much is {amount} {source} in {target}?", "{amount} {source} is {value} {target}.", "value"),
            ("Convert {amount} {source} to {target}", "{amount} {source} is {value} {target}.", "value")),
           ("value",), ("{value}", "{value} {target}"), open=True),
    Family(("stock_price", "get_stock", "getQuote"),
           ("Price of a stock", "Get the price of a share"),
           (("symbol", "string", "e.g. ABC", True),),
           {"symbol": _symbol, "price": _decimal(1, 900), "change": _decimal(-9, 9)},
           (("What is the price of {symbol}?", "The price of {symbol} is {price}.", "price"),
            ("How much is a share of {symbol}?", "The price of {symbol} is {price}.", "price"),
            ("How did {symbol} change today?", "{symbol} changed by {change} percent.", "change")),
           ("price", "change"), ("price {price}, change {change}",), open=True),
    Family(("order_status", "lookup_order", "getOrder", "track_order"),
           ("Look up an order", "Status of an order"),
           (("order_id", "string", "number of the order", True),),
           {"order_id": _reference, "status": _choice("shipped", "open", "paid", "cancelled", "delivered", "waiting"),
            "date": any_date, "items": _integer(1, 40)},
           (("What is the status of order {order_id}?", "The status of order {order_id} is {status}.", "status"),
            ("Where is my order {order_id}?", "The status of order {order_id} is {status}.", "status"),
            ("When does order {order_id} arrive?", "Order {order_id} arrives on {date}.", "date"),
            ("How many items are in order {order_id}?", "Order {order_id} has {items} items.", "items")),
           ("status", "date", "items"), ("{status}, arrives {date}, {items} items",)),
    Family(("set_light", "setLamp", "light", "control_light"),
           ("Set the colour of the light in a room", "Control a light"),
           (("room", "string", "", True), ("colour", "string", "", False),
            ("brightness", "integer", "0 to 100", False)),
           {"room": _choice(*_ROOMS), "colour": _choice(*COLOURS), "brightness": _integer(0, 100)},
           (("Make the light in the {room} {colour}", "The light in the {room} is set.", "ok"),
            ("Set the {room} light to {brightness} percent.", "The light in the {room} is set.", "ok"),
            ("Light in the {room}: {colour}, {brightness} percent", "The light in the {room} is set.", "ok")),
           ("ok",), ("ok", "done")),
    Family(("set_thermostat", "heating", "setTemperature"),
           ("Set the temperature of a room", "Control the heating"),
           (("room", "string", "", True), ("degrees", "number", "", True)),
           {"room": _choice(*_ROOMS), "degrees": lambda rng: rng.randint(12, 28) + rng.choice((0, 0.5))},
           (("Heat the {room} to {degrees} degrees", "The {room} is set to {degrees} degrees.", "ok"),
            ("Set the {room} to {degrees} degrees.", "The {room} is set to {degrees} degrees.", "ok")),
           ("ok",), ("ok", "done")),
    Family(("lock_door", "door", "setLock"),
           ("Lock or unlock a door", "Control a door lock"),
           (("door", "string", "", True), ("locked", "boolean", "", True)),
           {"door": _choice("front door", "back door", "garage door", "cellar door", "gate", "office door"),
            "locked": _choice(True, False)},
           (("Lock the {door}", "The {door} is set.", "ok", {"locked": True}),
            ("Please unlock the {door}.", "The {door} is set.", "ok", {"locked": False}),
            ("Set locked to {locked} for the {door}", "The {door} is set.", "ok"),
            ("{door}: locked {locked}, please", "The {door} is set.", "ok")),
           ("ok",), ("ok", "done")),
    Family(("book_table", "reserve_table", "bookTable"),
           ("Book a table in a restaurant", "Reserve a table"),
           (("restaurant", "string", "", True), ("people", "integer", "", True), ("time", "string", "", True)),
           {"restaurant": lambda rng: f"{rng.choice(COLOURS).capitalize()} {rng.choice(ANIMALS).capitalize()}",
            "people": _integer(1, 20), "time": _clock, "table": _integer(1, 60)},
           (("Book a table for {people} people at the {restaurant} for {time}.", "You have table {table}.", "table"),
            ("Reserve a table at the {restaurant}: {people} people, {time}", "You have table {table}.", "table")),
           ("table",), ("table {table}",), open=True),
    Family(("get_distance", "route", "distanceBetween"),
           ("Distance between two cities", "Plan a route"),
           (("origin", "string", "", True), ("destination", "string", "", True)),
           {"origin": any_city, "destination": any_city, "distance": _integer(5, 4000), "hours": _integer(1, 60)},
           (("How far is it from {origin} to {destination}?", "It is {distance} km from {origin} to {destination}.",
             "distance"),
            ("How long does it take from {origin} to {destination}?",
             "It takes {hours} hours from {origin} to {destination}.", "hours")),
           ("distance", "hours"), ("{distance} km, {hours} hours",), open=True),
    Family(("define_word", "dictionary", "defineWord"),
           ("Look up a word in the dictionary", "Definition of a word"),
           (("word", "string", "", True),),
           {"word": any_word, "definition": lambda rng: f"a kind of {rng.choice(COLOURS)} {rng.choice(OBJECTS)}"},
           (("Look up the word {word}", "{word} means {definition}.", "definition"),
            ('Define "{word}".', "{word} means {definition}.", "definition"),
            ("What does the dictionary say about {word}?", "{word} means {definition}.", "definition")),
           ("definition",), ("{definition}",), open=True),
    Family(("add_to_list", "shopping_list", "addItems"),
           ("Add items to the shopping list", "Put things on the shopping list"),
           (("items", "array", "", True),),
           {"items": _names(1, 4, lambda rng: rng.choice(FRUITS) if rng.random() < 0.6 else any_word(rng)),
            "total": _integer(4, 40)},
           (("Put {items} on the shopping list", "The shopping list has {total} items.", "total"),
            ("Add {items} to my shopping list.", "The shopping list has {total} items.", "total")),
           ("total",), ("{total} items",)),
    Family(("get_contact", "phone_book", "findContact"),
           ("Look up a contact", "Phone number of a person"),
           (("person", "string", "", True),),
           {"person": any_name, "phone": lambda rng: number_of_digits(rng, 5, 7), "street": any_word},
           (("What is the phone number of {person}?", "The phone number of {person} is {phone}.", "phone"),
            ("Find {person}'s number in the contacts.", "The phone number of {person} is {phone}.", "phone")),
           ("phone", "street"), ("{phone}",), open=True),
    Family(("random_number", "roll", "randomInt"),
           ("Draw a random number", "Random integer between two limits"),
           (("min", "integer", "", True), ("max", "integer", "", True)),
           {"min": _integer(0, 50), "max": _integer(51, 1000), "number": _integer(0, 1000)},
           (("Draw a random number between {min} and {max}", "The number is {number}.", "number"),
            ("Give me a random number from {min} to {max}.", "The number is {number}.", "number")),
           ("number",), ("{number}",), open=True),
    Family(("get_news", "news", "headlines"),
           ("Headlines about a topic", "Get the news"),
           (("topic", "string", "", True),),
           {"topic": any_word, "headline": _phrase},
           (("What is the news about {topic}?", "The news: {headline}.", "headline"),
            ("Show headlines about {topic}", "The news: {headline}.", "headline")),
           ("headline",), ("{headline}",), open=True),
)


def _slots_of(template):
    """Names of the slots in a template, by a plain scan: "a {b} {c}" -> ["b", "c"]."""
    return [part.split("}", 1)[0] for part in template.split("{")[1:]]


def _read_file_result(rng, values):
    """What read_file returns: lines of prose, or settings of which one is asked."""
    if "key" in values:
        keys = [values["key"]] + [k for k in _names(1, 3, _config)(rng) if k != values["key"]]
        rng.shuffle(keys)
        form = rng.choice(("{} = {}", "{}: {}", "{}={}"))
        numbers = {k: rng.randint(1, 9999) for k in keys}
        numbers[values["key"]] = values["number"]
        values["entry"] = form.format(values["key"], values["number"])
        return "\n".join(form.format(k, numbers[k]) for k in keys)
    values["lines"] = "\n".join(_phrase(rng) for _ in range(rng.randint(1, 3)))
    return values["lines"]


def _family_exchange(rng, family, tool, ask=None) -> Exchange:
    """Something asked of a tool of the family, one of its asks if none is given. tool: its schema, for the name."""
    request, answer, quoted, *implied = ask or rng.choice(family.asks)
    values = dict(*implied)

    def value(slot):
        if slot not in values:
            values[slot] = family.slots[slot](rng)
        return values[slot]

    named = _slots_of(request)
    said = {}
    for slot in named:
        said[slot] = _say_list(value(slot)) if isinstance(value(slot), list) else _say(value(slot))
    arguments = {name: values[name] for name, _, _, _ in family.parameters if name in values}
    follow_ups = []
    if family.names[0] == "read_file":
        if "key" in named:
            value("number")
        result = _read_file_result(rng, values)
    elif family.result == ("ok",) and rng.random() < 0.5:
        result = rng.choice(('{"ok": true}', '{"status": "ok"}', '{"success": true}'))
    elif family.result and family.result != ("ok",) and rng.random() < 0.7:
        fields = list(family.result)
        if rng.random() < 0.5:
            rng.shuffle(fields)
        result = json.dumps({slot: value(slot) for slot in fields})
    else:
        template = rng.choice(family.texts)
        for slot in _slots_of(template):
            value(slot)
        result = template.format(**{slot: _say(v) for slot, v in values.items()})
        quoted = "all" if quoted != "ok" else quoted
    texts = {slot: _say(v) for slot, v in values.items()}
    answer = answer.format(**texts)
    if quoted in ("all", "ok"):
        seen = result
    else:
        seen = f"{quoted} {texts[quoted]}" if quoted in family.result else texts[quoted]
    if len(family.result) > 1:          # another ask about the same arguments, if the result has its field
        for other, other_answer, other_quoted, *_ in family.asks:
            if other_quoted not in texts or other_quoted == quoted or set(_slots_of(other)) != set(named):
                continue
            if quoted == "all" and other_answer.format(**texts) == answer:
                continue
            other_seen = seen if quoted == "all" else f"{other_quoted} {texts[other_quoted]}"
            follow_ups.append(("And " + lower_start(other.format(**said)), other_answer.format(**texts), other_seen))
    return Exchange(request.format(**said), tool["name"], arguments, result, answer, seen, follow_ups)


def _schema(name, description, parameters):
    """The function of a tool in OpenAI form. parameters: (name, type, description, required)."""
    properties = {}
    for parameter, kind, about, _ in parameters:
        properties[parameter] = {"type": kind}
        if kind == "array":
            properties[parameter]["items"] = {"type": "string"}
        if about:
            properties[parameter]["description"] = about
    function = {"name": name}
    if description:
        function["description"] = description
    function["parameters"] = {"type": "object", "properties": properties,
                              "required": [p[0] for p in parameters if p[3]]}
    return function


def _family_tool(rng, family):
    """One of the tools of a family. Either a speaking name or a description is always there."""
    name = rng.choice(family.names)
    description = rng.choice(family.descriptions)
    if rng.random() < 0.1:
        name = invented_word(rng)
    elif rng.random() < 0.15:
        description = ""
    with_descriptions = rng.random() < 0.6
    parameters = [(p, kind, about if with_descriptions else "", required)
                  for p, kind, about, required in family.parameters]
    return _schema(name, description, parameters)


# ---- arbitrary tools ---------------------------------------------------------------------------------

_VERBS = tuple("get set find list add remove update check start stop open close move count show rotate paint send "
               "load save copy merge split scan print sort lookup create delete measure compare build clear reset "
               "lock unlock mix heat cool fill empty track book cancel plan order pay fold wash cut draw clean".split())
_NOUNS = tuple("lamp door order customer invoice robot engine garden window ticket train parcel camera sensor page "
               "user account report table chart image sound song room heater pump valve tank boat ship drone truck "
               "car bike route map city country note task project team member course lesson test score game player "
               "level book library record field row column key token session message channel device printer server "
               "backup folder archive shelf box crate machine belt recipe oven plant tree animal herd".split())
_EXTRAS = ("colour", "status", "price", "name", "size", "list", "state", "speed", "position", "history", "date",
           "value")
_PARAMETERS = {
    "string": ("name", "colour", "room", "city", "title", "label", "mode", "target", "owner", "path", "text", "tag",
               "category", "material", "animal", "fruit", "format", "reason", "key", "zone", "shape", "code", "source",
               "flavour", "user_name", "file_name", "room_name", "item", "kind", "note"),
    "integer": ("count", "id", "number", "level", "size", "limit", "page", "year", "minutes", "width", "height",
                "amount", "order_id", "max_count", "row", "port", "age", "steps", "index", "floor"),
    "number": ("angle", "speed", "weight", "price", "temperature", "ratio", "length", "scale", "volume", "pressure",
               "distance", "factor"),
    "boolean": ("force", "loud", "urgent", "visible", "dry_run", "recursive", "open", "active", "fast", "locked",
                "public", "silent"),
    "array": ("tags", "names", "items", "colours", "files", "words", "users", "rooms", "labels", "cities"),
}
_BY_NAME = {"colour": _choice(*COLOURS), "city": any_city, "owner": any_name, "user_name": any_name, "path": _path,
            "file_name": _path, "animal": _choice(*ANIMALS), "fruit": _choice(*FRUITS), "text": _phrase,
            "note": _phrase, "title": _phrase, "reason": _phrase, "name": any_name, "room": _choice(*_ROOMS),
            "code": _reference,
            "year": _integer(1900, 2040), "files": _names(1, 3, _path), "names": _names(1, 4, any_name),
            "users": _names(1, 3, any_name), "colours": _names(1, 3, lambda rng: rng.choice(COLOURS)),
            "cities": _names(1, 3, lambda rng: rng.choice(CITIES))}


def _number(rng):
    return _decimal(0, rng.choice((2, 40, 900)))(rng) if rng.random() < 0.7 else rng.randint(0, 500)


_BY_TYPE = {"string": any_word, "integer": lambda rng: int(number_of_digits(rng, 1, 4)),
            "number": _number,
            "boolean": _choice(True, False), "array": _names(1, 4)}
_TYPES = ("string",) * 9 + ("integer",) * 6 + ("number",) * 2 + ("boolean",) * 2 + ("array",)
_FIELDS = ("status", "price", "weight", "owner", "colour", "count", "level", "speed", "city", "date", "size", "total",
           "name", "state", "delivery_date", "last_user", "serial_number", "room", "score", "duration", "code",
           "version", "temperature", "next_step", "length", "position")
_FIELD_VALUES = {"owner": any_name, "last_user": any_name, "name": any_name, "colour": _choice(*COLOURS),
                 "city": any_city,
                 "date": any_date, "delivery_date": any_date, "room": _choice(*_ROOMS), "code": _reference,
                 "status": _choice("open", "closed", "shipped", "ready", "broken", "active", "waiting", "new", "lost"),
                 "state": _choice("on", "off", "idle", "busy", "empty", "full"), "next_step": any_word,
                 "serial_number": _reference, "position": any_word, "price": _decimal(1, 900),
                 "weight": _decimal(1, 90)}


def _camel(words):
    return words[0] + "".join(word.capitalize() for word in words[1:])


@dataclass
class ArbitraryTool:
    schema: dict
    parameters: tuple           # (name, type, description, required)
    verb: str
    noun: str                   # both empty if the name is a pseudo-word


def _arbitrary_tool(rng):
    pseudo = rng.random() < 0.2
    verb = noun = ""
    if pseudo:
        words = [invented_word(rng) for _ in range(rng.randint(1, 2))]
        description = rng.choice(("", "", "Does its work", "A special tool", "Internal function"))
    else:
        verb, noun = rng.choice(_VERBS), rng.choice(_NOUNS)
        extra = rng.choice(_EXTRAS) if rng.random() < 0.25 else ""
        words = [verb, noun] + ([extra] if extra else [])
        noun = " ".join(words[1:])
        description = rng.choice(("", "{v} the {n}", "{v} a {n}", "Use this to {l} the {n}", "{v} one {n}"))
        description = right_articles(description.format(v=verb.capitalize(), n=noun, l=verb))
    name = "_".join(words) if rng.random() < 0.65 else _camel(words)
    parameters, seen = [], set()
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 2, 3, 3, 4))):
        kind = rng.choice(_TYPES)
        parameter = rng.choice(_PARAMETERS[kind]) if rng.random() < 0.85 else invented_word(rng)
        if parameter in seen:
            continue
        seen.add(parameter)
        about = rng.choice(("", "", "", f"the {parameter.replace('_', ' ')}", f"{parameter.replace('_', ' ')} to use"))
        parameters.append((parameter, kind, about, rng.random() < 0.7))
    return ArbitraryTool(_schema(name, description, parameters), tuple(parameters), verb, noun)


def _quoted(rng, value):
    """A value in a sentence; texts of several words always have quotes."""
    if isinstance(value, list):
        return _say_list(value)
    if isinstance(value, str) and (" " in value or rng.random() < 0.12):
        return f'"{value}"'
    return _say(value)


def _pairs(rng, arguments, form):
    return [form.format(p, _quoted(rng, v)) for p, v in arguments.items()]


def _arbitrary_request(rng, tool, arguments):
    """How the user asks for the call: by name as a sentence or as code, or by the words of verb and noun."""
    name = tool.schema["name"]
    order = list(arguments)
    if rng.random() < 0.2:
        rng.shuffle(order)              # the call has the order of the schema nevertheless
    said = {p: arguments[p] for p in order}
    natural = tool.verb and rng.random() < 0.5
    if natural:
        act = rng.choice(("{v} the {n}", "Please {l} the {n}", "I want to {l} the {n}", "Can you {l} the {n}",
                          "{v} a {n}")).format(v=tool.verb.capitalize(), l=tool.verb, n=tool.noun)
        act = right_articles(act)
    else:
        if rng.random() < 0.25:         # as code
            if rng.random() < 0.7:
                inside = ", ".join(f"{p}={json.dumps(v)}" if rng.random() < 0.5 or not isinstance(v, str) or " " in v
                                   else f"{p}={v}" for p, v in said.items())
                return rng.choice(("Call {}({})", "{}({})", "Run {}({})", "please call {}({})")).format(name, inside)
            return f"Call {name} with {json.dumps(said)}"
        act = rng.choice(("Use {}", "Call {}", "Run {}", "please run {}", "Please use the tool {}", "Use the {} tool",
                          "Execute {}", "I need {}")).format(name)
    if not said:
        return act + rng.choice((".", "", "."))
    if len(said) == 1 and rng.random() < 0.3:
        parameter = order[0].replace("_id", "").replace("_", " ")
        return f"{act} for {parameter} {_quoted(rng, said[order[0]])}"
    form = rng.choice(("{} {}", "{} {}", "{} {}", "{} = {}", "{}: {}", "{} set to {}"))
    if any(isinstance(v, list) for v in said.values()) and len(said) > 1:
        pieces = "; ".join(_pairs(rng, said, form))     # the commas belong to the list
    elif rng.random() < 0.7:
        pieces = _say_list(_pairs(rng, said, form))
    else:
        pieces = ", ".join(_pairs(rng, said, form))
    return act + rng.choice((" with ", " with ", ", ", ": ", " using ")) + pieces + rng.choice((".", ""))


def _field_value(rng, name):
    return _FIELD_VALUES[name](rng) if name in _FIELD_VALUES else rng.randint(0, rng.choice((20, 999)))


def _arbitrary_exchange(rng, tool) -> Exchange:
    arguments = {}
    for parameter, kind, _, required in tool.parameters:
        if required or rng.random() < 0.5:
            by_name = _BY_NAME.get(parameter)
            arguments[parameter] = (by_name if by_name and rng.random() < 0.7 else _BY_TYPE[kind])(rng)
    request = _arbitrary_request(rng, tool, arguments)
    name = tool.schema["name"]
    chance = rng.random()
    if chance < 0.2:
        result = rng.choice(("ok", "done", '{"ok": true}', '{"status": "ok"}', '{"success": true}', "OK"))
        return Exchange(request, name, arguments, result, "Done.", result)
    if chance < 0.35:
        value = rng.choice((_phrase, any_word, _reference, any_name))(rng)
        return Exchange(request, name, arguments, value, f"The result is {value}.", value)
    fields = rng.sample([f for f in _FIELDS if f not in arguments], rng.randint(1, 6))
    values = {f: _field_value(rng, f) for f in fields}
    said = {f: f.replace("_", " ") for f in fields}
    text = {f: _say(values[f]) for f in fields}
    form = rng.choice(("json", "json", "lines", "row"))
    result = json.dumps(values) if form == "json" else ("\n" if form == "lines" else ", ").join(
        f"{f}: {text[f]}" for f in fields)
    answers = {f: f"The {said[f]} is {text[f]}." for f in fields}
    if rng.random() < 0.75:
        asked = rng.choice(fields)
        request = request.rstrip(".") + rng.choice((
            " and tell me the {}.", ". What is the {}?", ". I want to know the {}.", " and give me the {}",
            ". Which {} does it say?")).format(said[asked])
        answer, seen = answers[asked], f"{said[asked]} {text[asked]}"
    elif len(fields) == 1:
        asked = fields[0]
        answer, seen = f"The result is {text[asked]}.", f"{said[asked]} {text[asked]}"
    else:
        asked = ""
        listed = ", ".join(f"{said[f]} {text[f]}" for f in fields)
        answer, seen = f"Here is the result: {listed}.", listed
    follow_ups = [(rng.choice(("And the {}?", "What is the {}?", "And what is the {}?", "Tell me the {} too.")).format(
        said[f]), answers[f], f"{said[f]} {text[f]}") for f in fields if f != asked]
    return Exchange(request, name, arguments, result, answer, seen, follow_ups)


# ---- conversations -----------------------------------------------------------------------------------


def _words_of(texts):
    """The words of names and descriptions, in lower case: "getWeather" -> get, weather."""
    return {word.lower() for text in texts for word in re.findall(r"[A-Z]?[a-z]+", text)}


_FAMILY_WORDS = {family.names[0]: _words_of(family.names + family.descriptions) for family in FAMILIES}


class _Toolbox:
    """The tools of a conversation, no two of which could be meant by the same words, and exchanges with them."""

    def __init__(self, rng, n_tools, closed):
        """closed: only tools that no ordinary question could be meant for."""
        self.rng = rng
        self.functions, self.sources = [], []
        realistic = rng.choice((0, 0.5, 1))
        names = set()
        while len(self.functions) < n_tools:
            if rng.random() < realistic:
                source = rng.choice(FAMILIES)
                fits = not (closed and source.open)
                function = _family_tool(rng, source)
            else:
                source = _arbitrary_tool(rng)
                fits = True
                function = source.schema
            if fits and function["name"] not in names and not any(self._confusable(source, s) for s in self.sources):
                names.add(function["name"])
                self.sources.append(source)
                self.functions.append(function)

    @staticmethod
    def _confusable(a, b):
        if isinstance(a, Family) and isinstance(b, Family):
            return (a.topic or a.names[0]) == (b.topic or b.names[0])
        if isinstance(a, Family):
            a, b = b, a
        if not a.verb:
            return False
        if isinstance(b, Family):
            return not _FAMILY_WORDS[b.names[0]].isdisjoint(a.noun.split())
        # Verb or noun may be the same, as in get_order and cancel_order, but not both, nor get_order and
        # get_order_status.
        return a.verb == b.verb and a.noun.split()[0] == b.noun.split()[0] if b.verb else False

    def exchange(self, index=None) -> Exchange:
        rng = self.rng
        if index is None:
            index = rng.randrange(len(self.sources))
        source = self.sources[index]
        if isinstance(source, Family):
            return _family_exchange(rng, source, self.functions[index])
        return _arbitrary_exchange(rng, source)

    def trained_exchange(self) -> Exchange:
        """One whose call is on the training side, for the middle of a conversation."""
        for _ in range(50):
            exchange = self.exchange()
            if not is_held_out("tool_call", exchange.call_key()):
                return exchange
        return None                     # a single tool without parameters has only one call

    def trained_pair(self):
        """Two exchanges asked for at once, and how: ([first, second], request). None if there are no two."""
        rng = self.rng
        index = rng.randrange(len(self.sources))
        source = self.sources[index]
        if isinstance(source, Family):  # "What's the weather in Lisbon and Oslo?"
            asks = [ask for ask in source.asks if len(set(_slots_of(ask[0]))) == 1 and
                    _slots_of(ask[0])[0] in _JOINABLE]
            if asks and rng.random() < 0.7:
                ask = rng.choice(asks)
                pair = [_family_exchange(rng, source, self.functions[index], ask) for _ in range(2)]
                slot = _slots_of(ask[0])[0]
                both = " and ".join(e.arguments[slot] for e in pair)
                return self._checked_pair(pair, ask[0].format(**{slot: both}))
        pair = [self.trained_exchange(), self.trained_exchange()]
        if None in pair:
            return None
        first, second = (e.request.rstrip(".") for e in pair)
        if first[-1] == "?":
            return self._checked_pair(pair, f"{first} {second}" if second[-1] == "?" else
                                      f"{first} And {lower_start(second)}.")
        # A new sentence, as the first may end with a text that would swallow "and then".
        joint = rng.choice((". Then {}", ". Then {}", ". After that, {}", ". {}"))
        return self._checked_pair(pair, first + joint.format(second if joint == ". {}" else lower_start(second)))

    @staticmethod
    def _checked_pair(pair, request):
        keys = [e.call_key() for e in pair]
        if keys[0] == keys[1] or any(is_held_out("tool_call", key) for key in keys):
            return None
        return pair, request


# Parameters of which a question can name two.
_JOINABLE = ("city", "path", "directory", "symbol", "order_id", "person", "name", "url", "table", "topic")


def _calls(exchanges, numbers, think):
    message = assistant("", " ".join(e.plan() for e in exchanges) if think else "")
    message["tool_calls"] = [
        {"id": f"call_{number}", "type": "function",
         "function": {"name": e.name, "arguments": json.dumps(e.arguments)}}
        for number, e in zip(numbers, exchanges)]
    return message


def conversation(rng: random.Random, kind=None, think=None) -> Conversation:
    """A conversation of kind "tool_call" (40 %), "tool_result" (35 %), "tool_none" (13 %) or "tool_two" (12 %) unless
    given; think: 40 % if None. Earlier exchanges may come before what the kind names."""
    while True:
        made = _conversation(rng, kind, think)
        if made:
            return made


def _conversation(rng, kind, think):
    chance = rng.random()
    if kind is None:
        kind = "tool_call" if chance < 0.4 else "tool_result" if chance < 0.75 else \
            "tool_none" if chance < 0.88 else "tool_two"
    if think is None:
        think = rng.random() < 0.4
    ordinary = kind == "tool_none" or rng.random() < 0.15
    box = _Toolbox(rng, rng.choice((1, 2, 2, 3, 3, 4)), closed=ordinary)
    messages = system_messages(rng)
    tools = [{"type": "function", "function": f} for f in box.functions]
    n_calls = 0

    def ask(exchanges, request):
        nonlocal n_calls
        numbers = range(n_calls + 1, n_calls + 1 + len(exchanges))
        n_calls += len(exchanges)
        messages.extend((user(request), _calls(exchanges, numbers, think)))
        return numbers

    def results(exchanges, numbers):
        for number, e in zip(numbers, exchanges):
            messages.append({"role": "tool", "tool_call_id": f"call_{number}", "content": e.result})
        messages.append(assistant(" ".join(e.answer for e in exchanges),
                                  "The result says: " + "; ".join(e.seen for e in exchanges) if think else ""))

    def say_turn():
        turn = ordinary_turn(rng)
        reasoning = ("No tool is needed. " + turn.reasoning).rstrip() if think else ""
        messages.extend((user(turn.user), assistant(turn.answer, reasoning)))
        return turn

    for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
        if ordinary and rng.random() < 0.5:
            say_turn()
            continue
        earlier = box.trained_exchange()
        if not earlier:
            return None
        if rng.random() < 0.1:
            _fail(rng, earlier)
        results([earlier], ask([earlier], earlier.request))

    if kind == "tool_none":
        turn = say_turn()
        return Conversation(kind, messages, tools, think, f"{turn.kind}|{turn.key or turn.user}", turn.accept)

    if kind == "tool_two":
        pair = box.trained_pair()
        if not pair:
            return None
        exchanges, request = pair
        ask(exchanges, request)
        return Conversation(kind, messages, tools, think, ";".join(e.call_key() for e in exchanges))

    if kind == "tool_call":
        exchange = box.exchange()
        ask([exchange], exchange.request)
        return Conversation(kind, messages, tools, think, exchange.call_key())

    if rng.random() < 0.12:
        pair = box.trained_pair()
        if not pair:
            return None
        exchanges, request = pair
    else:
        exchanges = [box.trained_exchange()]
        if None in exchanges:
            return None
        if rng.random() < 0.12:
            _fail(rng, exchanges[0])
        request = exchanges[0].request
    results(exchanges, ask(exchanges, request))
    follow_ups = exchanges[0].follow_ups if len(exchanges) == 1 else ()
    if follow_ups and rng.random() < 0.3:
        question, answer, seen = rng.choice(follow_ups)
        messages.extend((user(question), assistant(answer, f"The result says: {seen}" if think else "")))
    last = messages[-1]["content"]
    return Conversation(kind, messages, tools, think, ";".join(e.call_key() for e in exchanges) + ";" + last)
