"""Questions of many shapes about the world, none of which the small model can answer: so that it says so.

Left out is what other families ask: colours, sounds, legs, opposites, the calendar (common knowledge), "Where does Anna
live?" and prices, heights and dates of single things (memory and recall), the weather and the news, advice, texts,
translations and programs (other refusals), and all words of ds4.
"""
from .phrasing import phrase, right_articles
from .words_list import ANIMALS, CITIES, FRUITS, NAMES


def _list(text):
    return [entry.strip() for entry in text.replace("\n", " ").split("|")]


THINGS = _list("""
refrigerator|washing machine|dishwasher|microwave|vacuum cleaner|steam engine|jet engine|diesel engine|wind turbine|
solar panel|battery|transistor|laser|microphone|loudspeaker|telegraph|typewriter|fax machine|photocopier|satellite|
rocket|submarine|helicopter|hot air balloon|airship|glider|parachute|tractor|combine harvester|excavator|crane|elevator|
escalator|traffic light|lighthouse|windmill|water wheel|dam|canal lock|suspension bridge|tunnel|skyscraper|cathedral|
pyramid|igloo|yurt|castle moat|crossbow|catapult|sword|suit of armour|cannon|sundial|hourglass|pendulum clock|
quartz watch|barometer|thermometer|seismograph|sextant|abacus|slide rule|gyroscope|electron microscope|
particle accelerator|pacemaker|hearing aid|stethoscope|syringe|wheelchair|contact lens|saxophone|
trombone|harp|accordion|bagpipe|cello|harpsichord|synthesizer|pipe organ|banjo|xylophone|kaleidoscope|yo-yo|frisbee|
boomerang|trampoline|surfboard|snowboard|sailing boat|canoe|kayak|sled|unicycle|roller coaster|carousel|ferris wheel|
sewing machine|loom|spinning wheel|zipper|corkscrew|can opener|toaster|coffee machine|pressure cooker|
thermos flask|lawn mower|chainsaw|welding torch|lathe|3D printer|barcode|credit card|coin press|parking meter|
vending machine|smoke detector|fire extinguisher|air conditioner|heat pump|nuclear reactor|fuel cell|electric motor|
bicycle brake|gearbox|carburettor|spark plug|radar|sonar|drone|hologram|neon sign|candle
""")
SUBJECTS = _list("""
astronomy|astrology|botany|zoology|geology|geography|archaeology|anthropology|sociology|psychology|psychoanalysis|
linguistics|ethics|logic in philosophy|stoicism|utilitarianism|nihilism|capitalism|socialism|feudalism|anarchism|
monarchy|federalism|the electoral college|international law|Roman law|copyright law|contract law|human rights|
the United Nations|the European Union|NATO|the World Bank|the gold standard|supply and demand|compound interest|
the Great Depression|globalisation|colonialism|the slave trade|the Black Death|the Crusades|the Reformation|
the Enlightenment|Romanticism|surrealism|cubism|Gothic architecture|Bauhaus|Art Nouveau|ballet|flamenco|tango|hip hop|
reggae|punk rock|classical music|Gregorian chant|opera buffa|haiku poetry|science fiction|Norse mythology|
Egyptian mythology|Hinduism|Islam|Christianity|Judaism|Taoism|Confucianism|Zen|meditation|acupuncture|homeopathy|
nutrition|genetics|natural selection|symbiosis|fermentation|digestion|blood circulation|the nervous system|hormones|
antibiotics|stem cells|cloning|gene editing|photosynthesis in algae|the water cycle|the carbon cycle|ocean currents|
monsoons|hurricanes|tornadoes|earthquakes|tsunamis|glaciers|coral reefs|rainforests|deserts|soil erosion|
the greenhouse effect|renewable energy|nuclear fusion|radioactivity|superconductivity|semiconductors|optics|acoustics|
entropy|special relativity|antimatter|dark matter|neutron stars|comets|the Milky Way|the Kuiper belt|lunar eclipses|
the tides|number theory|topology|group theory|Euclidean geometry|trigonometry|probability theory|game shows|chess|
backgammon|poker|cricket|baseball|rugby|ice hockey|judo|karate|fencing|archery|rowing|sailing|
mountaineering|beekeeping|gardening|pottery|weaving|calligraphy|origami|photography|film editing|animation|
journalism|advertising|accounting|insurance|banking|logistics|aviation|shipbuilding|mining|forestry|fishing|winemaking|
brewing|cheese making|baking|butchery|fashion|perfume|jewellery|heraldry|genealogy|folklore|superstition|magic tricks|
juggling|circus history|stamp collecting|birdwatching|cybersecurity|cryptography|search engines|social media|
self-driving cars|virtual reality|video game design|robotics|quantum computing|cloud storage|spreadsheets|Bluetooth|
GPS|fibre optics|the telegraph age|railway history|space travel|terraforming|cryonics
""")
REGIONS = _list("""
Siberia|Patagonia|Bavaria|Tuscany|Provence|Catalonia|Andalusia|Brittany|Normandy|Transylvania|Lapland|Greenland|
the Sahara|the Gobi desert|the Amazon|the Nile|the Danube|the Rhine|the Mississippi|the Volga|the Ganges|the Mekong|
the Alps|the Andes|the Himalayas|the Rocky Mountains|the Urals|the Pyrenees|Mount Fuji|Kilimanjaro|the Matterhorn|
Mont Blanc|Lake Baikal|Lake Victoria|Lake Geneva|the Dead Sea|the Black Sea|the Caspian Sea|the Red Sea|the Baltic Sea|
the Bermuda Triangle|Antarctica|the North Pole|Madagascar|Sicily|Sardinia|Corsica|Crete|Tasmania|Hawaii|Bali|Java|
Borneo|Sri Lanka|the Maldives|the Canary Islands|Texas|California|Florida|Alaska|Quebec|Bangladesh|Laos|Cambodia|
Uzbekistan|Kazakhstan|Georgia|Armenia|Albania|Slovenia|Slovakia|Lithuania|Luxembourg|Monaco|Liechtenstein|Andorra|
Somalia|Sudan|Angola|Zambia|Namibia|Botswana|Zimbabwe|Uganda|Rwanda|Tanzania|Algeria|Libya|Yemen|Oman|Qatar|Kuwait|
Venezuela|Uruguay|Panama|Costa Rica|Guatemala|Honduras|Haiti|Fiji|Samoa|Tonga|Atlantis|Troy|Babylon|Carthage|Pompeii|
Machu Picchu|Stonehenge|the Great Wall of China|the Taj Mahal|the Colosseum|the Acropolis|the Louvre|the Kremlin|
the Statue of Liberty|Big Ben|the Golden Gate Bridge|Niagara Falls|the Grand Canyon|Central Park|Times Square|
Buckingham Palace|the Vatican|Alcatraz|Area 51|Hogwarts|Narnia|Middle-earth|Mars|Venus|Jupiter|Saturn|Pluto|Europa|Titan
""")
SURNAMES = """
Adler Baker Becker Bell Bianchi Brown Castillo Chen Clarke Cohen Conti Costa Cruz Davies Diaz Dubois Evans Ferrari
Fischer Fontaine Garcia Gomez Gray Green Hall Hansen Harris Hoffmann Hughes Ivanova Jackson Jansen Johnson Jones Kaya
Keller Kim King Klein Kovacs Kumar Lang Larsen Lee Lehmann Lewis Lopez Marino Martinez Mazur Meyer Miller Moore Moreau
Morgan Murphy Nakamura Nielsen Novak Nowak Olsen Owens Park Patel Perez Petrov Popescu Price Ramos Reed Ricci Richter
Rivera Roberts Romano Rossi Santos Sato Schmidt Schneider Shaw Silva Singh Smith Sokolov Suzuki Tanaka Taylor Thomas
Torres Turner Vargas Vogel Wagner Walker Wang Watson Weber Wilson Wolff Wright Yamada Yilmaz Young Zhang Zimmermann
""".split()
ROLES = _list("""
president of France|king of Spain|queen of Denmark|mayor of New York|chancellor of Germany|emperor of Japan|
pope|prime minister of Canada|secretary general of the United Nations|director of NASA|head of Google|boss of Apple|
owner of Twitter|coach of Real Madrid|captain of Barcelona|best footballer|best chess player|richest person|
oldest person|tallest man|fastest runner|most famous painter|greatest composer|first astronaut|first man on the moon|
first woman in space|inventor of the wheel|founder of Rome|founder of Microsoft|author of the Bible|
singer of the Beatles|drummer of Queen|lead actor of Titanic|director of Star Wars|first emperor of China|
last tsar of Russia|discoverer of America|discoverer of penicillin|leader of the opposition|patron saint of Ireland
""")
EVENTS = _list("""
the First World War|the Second World War|the American Civil War|the Russian Revolution|the Hundred Years' War|
the Thirty Years' War|the battle of Waterloo|the battle of Hastings|the siege of Vienna|the fall of Rome|
the fall of Constantinople|the fall of the Berlin Wall|the sinking of the Titanic|the Great Fire of London|
the Boston Tea Party|the Apollo 11 mission|the Chernobyl accident|the eruption of Vesuvius|the Woodstock festival|
the Wall Street crash|the Cuban missile crisis|the Vietnam War|the Korean War|the Gulf War|the Suez crisis|
the Spanish Armada|the Peasants' War|the Congress of Vienna|the Treaty of Versailles|the Norman conquest|
the Punic Wars|the Trojan War|the Gold Rush|the Dust Bowl|the Irish famine|the Opium Wars|the Meiji Restoration|
the Long March|the partition of India|the Arab Spring|Brexit|the Marshall Plan|the Manhattan Project|Prohibition|
the invention of writing|the extinction of the dinosaurs|the last ice age|the Cambrian explosion
""")
DISHES = _list("""
lasagna|pancakes|goulash|sushi|ramen|paella|risotto|tiramisu|apple pie|cheesecake|chocolate cake|banana bread|muffins|
cookies|waffles|omelette|scrambled eggs|mashed potatoes|french fries|potato salad|coleslaw|tomato soup|onion soup|
chicken curry|butter chicken|falafel|hummus|kebab|tacos|burritos|guacamole|chili con carne|meatballs|schnitzel|
dumplings|spring rolls|fried rice|pad thai|pho|kimchi|borscht|pierogi|moussaka|fish and chips|shepherd's pie|stuffing|
gravy|mayonnaise|pesto|salad dressing|strawberry jam|lemonade|iced tea|hot chocolate|mulled wine|sourdough|pretzels
""")
ACTS = _list("""
tie a tie|tie a bow|change a tyre|jump-start a car|parallel park|drive a truck|ride a horse|ride a motorcycle|
sail a boat|fly a kite|fly a plane|build a shed|build a tree house|build a fence|lay bricks|paint a wall|
hang wallpaper|lay tiles|fix a leaking tap|unblock a sink|repair a roof|install a light switch|install a shower|
change a light bulb|sharpen a knife|season a pan|peel a mango|open a coconut|fillet a fish|carve a turkey|whip cream|
brew beer|make wine|make cheese|make yoghurt|make candles|make soap|knit a sweater|sew a button|iron a shirt|
fold a fitted sheet|remove a red wine stain|clean an oven|polish silver|wash a woollen coat|get rid of ants|
catch a mouse|train a dog|bathe a cat|feed a hedgehog|milk a cow|shear a sheep|keep bees|plant a tree|prune roses|
grow tomatoes|mow a lawn|compost leaves|water orchids|light a fire|pitch a tent|read a compass|
find north without a compass|cross a river|climb a mountain|swim butterfly|dive from a board|surf a wave|ski downhill|
skate backwards|throw a frisbee|bowl a strike|serve in tennis|do a handstand|do the splits|juggle three balls|
solve a Rubik's cube|shuffle cards|play poker|win at chess|play the guitar|tune a piano|read sheet music|sing higher|
whistle loudly|dance the waltz|draw a face|paint with oil|take good photos|develop a film|remember names better|
fall asleep faster|wake up earlier|build muscle|run a marathon|breathe while swimming|meditate|hold a speech|
rent a car|open a bank account|get a passport|apply for a visa|vote in an election|become a doctor|
become an astronaut|become a lawyer|wrap a gift|plan a wedding|name a baby|change a nappy|calm a crying baby|
raise a child|make a snowman|carve a pumpkin|dye eggs|get to the airport|send a parcel|cancel a subscription|
fix a phone screen|set up a printer|clean a keyboard
""")
PLURALS = _list("""
stars in the sky|people on earth|countries in Europe|countries in Africa|islands in Greece|lakes in Finland|
volcanoes in Iceland|languages in India|planets with rings|moons around Jupiter|species of birds|kinds of cheese|
muscles in the body|teeth in a shark|hearts in an octopus|keys on a piano|cards in a deck|squares on a chessboard|
players in a baseball team|players in a rugby team|symphonies by Beethoven|plays by Shakespeare|films with James Bond|
seats in a jumbo jet|floors in the Empire State Building|rooms in Versailles|states in the USA|stripes in the US flag|
members of parliament|judges in the supreme court|cows in Ireland|trees in a forest|grains of sand on a beach|
cells in a body|hairs on a head|calories in a pizza|grams of sugar in a cola|litres of water in a bathtub|
windows in the White House|steps in the Eiffel Tower|bridges in Venice|stations on the London tube
""")
ADJECTIVES = """
tallest oldest largest smallest longest deepest heaviest fastest slowest strongest most-expensive most-famous
most-dangerous most-beautiful rarest hottest coldest driest richest
""".split()
KINDS = _list("""
building|bridge|tower|tunnel|castle|church|stadium|airport|ship|train|airplane|car|company|bank|university|school|
museum|painting|statue|film|book|poem|song|symphony|opera|band|football club|team|athlete|desert|
island|lake|river|waterfall|glacier|cave|volcano|ocean|tree|flower|mushroom|fish|bird|snake|spider|insect|dog breed|
dinosaur|whale|diamond|metal|gas|acid|poison|war|empire|dynasty|law|invention|telescope|spacecraft
""")
WHYS = _list("""
is the grass wet in the morning|are leaves green|do leaves fall in autumn|is blood warm|do we yawn|do we sneeze|
do we blush|do we cry|do we sleep|do we age|do onions make us cry|do bees dance|do birds migrate|do wolves howl|
do zebras have stripes|do giraffes have long necks|do cats like boxes|do dogs wag their tails|do magnets stick|
does ice float|does iron rust|does bread rise|does milk turn sour|does popcorn pop|does wood burn|does glass break|
does the moon change its shape|does the wind blow|does it snow|does it thunder|is snow cold|is the ocean blue|
is Mars red|is Pluto no planet|is gold so dear|is oil so important|is salt used on roads|is lightning bright|
are there seasons|are there tides|are deserts dry|are mountains cold|are roses thorny|are flamingos pink|
are manhole covers round|are tennis balls furry|are school buses yellow|did Rome fall|did the Maya disappear|
did dinosaurs die out|did the Titanic sink|do we celebrate Easter|do we shake hands|do men have beards|
do planes leave white lines|do boats float|do clocks go clockwise|do stars twinkle
""")

FORMS = [
    (5, """
How does a {thing} work?
How is a {thing} made?
How is a {thing} built?
What is a {thing}?
What is a {thing} made of?
What is a {thing} used for?
What is inside a {thing}?
Who invented the {thing}?
Who made the first {thing}?
When was the {thing} invented?
When was the first {thing} made?
Where was the first {thing} made?
What is the history of the {thing}?
How do I repair a {thing}?
How do I clean a {thing}?
How do I choose a {thing}?
Where can I get a {thing}?
Which {thing} is the best?
How long does a {thing} last?
Is a {thing} dangerous?
Is a {thing} better than a {other_thing}?
What is the difference between a {thing} and a {other_thing}?
Explain how a {thing} works.
Explain the {thing} to a child.
Describe a {thing}.
Tell me about the {thing}.
Tell me how a {thing} works.
Give me some facts about the {thing}.
how {thing}s work
{thing}
history of the {thing}
I want to know how a {thing} works.
I need to understand the {thing} for school.
"""),
    (5, """
What is {subject}?
What is meant by {subject}?
What do you know about {subject}?
What are the basics of {subject}?
What are the rules of {subject}?
What is the origin of {subject}?
What is the difference between {subject} and {other_subject}?
What is the use of {subject}?
Explain {subject}.
Explain {subject} in simple words.
Explain {subject} in one sentence.
Describe {subject}.
Define {subject}.
Tell me about {subject}.
Tell me something about {subject}.
Tell me everything about {subject}.
Teach me {subject}.
Give me three facts about {subject}.
Give me an introduction to {subject}.
Give me an example of {subject}.
List the main points of {subject}.
Compare {subject} with {other_subject}.
Who started {subject}?
Who is famous in {subject}?
Who wrote about {subject}?
Is {subject} real?
Is {subject} important?
Is {subject} hard to understand?
Do you know about {subject}?
Do you understand {subject}?
Have you heard of {subject}?
Can you explain {subject} to me?
How did {subject} begin?
How old is {subject}?
How can I learn more about {subject}?
Why do people care about {subject}?
Which book about {subject} is good?
When did {subject} become popular?
{subject}
{subject}?
{subject} explained
history of {subject}
summary of {subject}
"""),
    (4, """
Where is {region}?
How big is {region}?
How old is {region}?
How do I get to {region}?
How many people live in {region}?
How far away is {region}?
Who lives in {region}?
Who discovered {region}?
Who built {region}?
What is {region}?
What is {region} known for?
What can I see in {region}?
What do people eat in {region}?
What is the history of {region}?
What is the climate of {region}?
Which animals live in {region}?
Which language is spoken in {region}?
When was {region} discovered?
Why is {region} famous?
Is {region} a country?
Is {region} worth a visit?
Is it dangerous in {region}?
Is {region} larger than {other_region}?
Is {region} near {other_region}?
Which is larger, {region} or {other_region}?
Have you been to {region}?
Tell me about {region}.
Tell me a fact about {region}.
Describe {region}.
Show me {region} on a map.
Plan a trip to {region}.
best time to visit {region}
{region}
{region} facts
things to do in {city}
What is there to do in {city}?
Which restaurants are good in {city}?
Who is the mayor of {city}?
Is {city} a nice place?
What is the oldest church in {city}?
How do people live in {city}?
Does {city} have an airport?
"""),
    (3, """
Who is {name} {surname}?
Who was {name} {surname}?
Who is Doctor {surname}?
Who is Professor {surname}?
What did {name} {surname} do?
What is {name} {surname} known for?
What did {name} {surname} invent?
When was {name} {surname} born?
When did {name} {surname} die?
Where was {name} {surname} born?
Is {name} {surname} alive?
Is {name} {surname} a singer?
Why is {name} {surname} famous?
Do you know {name} {surname}?
Have you heard of {name} {surname}?
Which films did {name} {surname} make?
Which books did {name} {surname} write?
Tell me about {name} {surname}.
Tell me the story of {name} {surname}.
How old is {name} {surname}?
How tall is {name} {surname}?
How rich is {name} {surname}?
Who is the {role}?
Who was the {role}?
Do you know the {role}?
Tell me who the {role} is.
What is the name of the {role}?
How old is the {role}?
{name} {surname}
who is the {role}
Say something about {name} {surname}.
"""),
    (3, """
When was {event}?
When did {event} happen?
What caused {event}?
What was {event}?
What happened in {event}?
What happened after {event}?
What was the result of {event}?
What do you know about {event}?
Why did {event} happen?
Who was part of {event}?
Who was to blame for {event}?
How did {event} end?
How long did {event} take?
How many people died in {event}?
Where did {event} take place?
In which year was {event}?
Which countries took part in {event}?
Was {event} before {other_event}?
Tell me about {event}.
Explain {event}.
Summarise {event}.
Describe {event}.
List the causes of {event}.
Give me the dates of {event}.
I need to know about {event} for school.
{event}
{event} summary
causes of {event}
"""),
    (4, """
How do I {act}?
How can I {act}?
How does one {act}?
How do you {act}?
How would you {act}?
How should I {act}?
How long does it take to {act}?
How hard is it to {act}?
What do I need to {act}?
What is the best way to {act}?
What is the easiest way to {act}?
Can you teach me how to {act}?
Can you tell me how to {act}?
Can you show me how to {act}?
Explain how to {act}.
Tell me how to {act}.
Teach me to {act}.
Show me how to {act}.
Describe how to {act}.
Is it hard to {act}?
Where can I learn to {act}?
Why is it so hard to {act}?
When is the best time to {act}?
I want to learn how to {act}.
I don't know how to {act}.
how to {act}
steps to {act}
Help me {act}.
Give me tips to {act}.
"""),
    (2, """
How do I make {dish}?
How do I cook {dish}?
How long does {dish} take?
What is {dish}?
What is in {dish}?
What goes well with {dish}?
What do I need for {dish}?
Who invented {dish}?
Where does {dish} come from?
Is {dish} healthy?
Is {dish} hard to make?
Can I freeze {dish}?
Give me a recipe for {dish}.
Do you have a recipe for {dish}?
I need a recipe for {dish}.
Tell me the recipe of {dish}.
Tell me how to make {dish}.
Explain how to cook {dish}.
{dish} recipe
recipe for {dish}
how to make {dish}
What can I cook with a {fruit}?
"""),
    (2, """
How many {plurals} are there?
Do you know how many {plurals} there are?
Tell me how many {plurals} there are.
How many {plurals}?
What is the {adjective} {kind} in the world?
What is the {adjective} {kind}?
What is the {adjective} {kind} in {region}?
Which {kind} is the {adjective}?
Where is the {adjective} {kind}?
Name the {adjective} {kind}.
Name a famous {kind}.
Tell me the {adjective} {kind} in the world.
Why {why}?
What is the life of a {animal} like?
Which animals hunt the {animal}?
Do {animal}s make good pets?
How do {animal}s sleep?
How do {animal}s find food?
Can a {animal} swim?
Is the {animal} rare?
What is special about the {animal}?
How long do {fruit}s keep?
When are {fruit}s ripe?
"""),
]
FORMS = [(weight, text.strip().split("\n")) for weight, text in FORMS]


def question(rng):
    templates = rng.choices(FORMS, [weight for weight, _ in FORMS])[0][1]
    values = {}
    for name, words in (("thing", THINGS), ("subject", SUBJECTS), ("region", REGIONS), ("event", EVENTS)):
        values[name], values["other_" + name] = rng.sample(words, 2)
    return right_articles(phrase(
        rng, templates, **values, city=rng.choice(CITIES), name=rng.choice(NAMES), surname=rng.choice(SURNAMES),
        role=rng.choice(ROLES), act=rng.choice(ACTS), dish=rng.choice(DISHES), plurals=rng.choice(PLURALS),
        adjective=rng.choice(ADJECTIVES).replace("-", " "), kind=rng.choice(KINDS), why=rng.choice(WHYS),
        animal=rng.choice(ANIMALS), fruit=rng.choice(FRUITS)))
