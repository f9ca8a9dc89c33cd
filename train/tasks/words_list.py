"""Lists of words that the families of tasks share. Plain ASCII; no list holds a word twice."""

WORDS = """
able acid acre act actor add adult advice afraid after again age agent agree ahead aim air alarm album alert alive
alone amount anchor angle angry answer apart arch area argue arm army around arrive arrow art ask asleep attic aunt
author autumn award awake axe
baby back badge bag bake balance ball balloon band bank banner bar bare bark barn barrel base basin basket bath battle
beach bead beam bean beard beat beauty become bed begin behind bell belong below belt bench bend berry best better
between beyond big bill bird birth bitter blade blame blanket blast blaze blend blind block blood bloom blow board boat
body boil bold bolt bone bonus book boot border borrow bottle bottom bowl box brain branch brass brave bread break
breath brick bridge brief bright bring broad broken brother bruise brush bubble bucket build bulb burn bush busy butter
button buy buzz
cabin cable cage cake calm camera camp canal candle candy canvas cap captain car carbon card care cargo carpet carry
cart carve case castle catch cause cave ceiling cell cellar center chain chair chalk chance change chapter charm chart
chase cheap check cheek cheese chest chew chief child chimney chin choice choose church circle circus city claim clap
class clay clean clear clever cliff climb clock close cloth cloud club clue coach coal coast coat coin cold collar
college comb come comfort common compare cook cool copper copy coral cord cork corn corner correct cost cottage cotton
couch cough count country couple courage cousin cover cradle craft crash crawl cream create creek crew crisp crop cross
crowd crown cruel crumb crust cry crystal culture cup cure curious curl current curtain curve cushion custom cut cycle
dad daily damp dance danger dare dark dash date daughter dawn day dead dear debt decide deck deep delay deliver dense
dentist depth desert design desk detail device dew diamond diary dig dinner dirt dish distance ditch dive divide doctor
doll door dot double doubt dozen draft drag drain draw dream dress drift drill drink drive drop drum dry dull dust duty
eager ear early earn earth ease east easy eat echo edge edit effort egg eight elbow elder elect empty end enemy energy
engine enjoy enough enter equal error escape estate even evening event ever every exact exit expert explain extra eye
fable fabric face fact factory fade fail faint fair fairy faith fall false fame family famous fan far farm farmer fast
fat father favor fear feast feather feed feel fellow fence fern ferry fetch fever few field fierce fifty fight fill film
final find fine finger finish fire firm first fit five fix flag flame flash flat flavor flesh flight float flock flood
floor flour flow flower fluid flute fly foam focus fog fold follow food foot forest forget fork form forty fossil found
four frame free fresh friend fringe front frost fruit fuel full fun funny fur future
gain gallery game garage garden garlic gas gate gather gaze gear gem general gentle ghost giant gift girl give glad
glance glass gleam globe glory glove glow glue goal gold good gossip grab grace grade grain grand grass grave great
greet grief grin grip ground group grow guard guess guest guide guilt guitar gum guy
habit hail hair half hall hammer hand handle handy hang happen happy harbor hard harm harvest haste hat hatch hate
haunt hay head heal health heap hear heart heat heavy heel height hello help hen herb hero hide high hill hinge hint
hire history hit hobby hold hole holiday hollow home honest honey honor hood hook hope horizon horn hot hotel hour house
huge human humble humor hundred hungry hunt hurry hurt hut
ice icon idea idle image impact inch income index ink inner insect inside invent invite iron island ivory
jacket jail jam jar jaw jazz jelly jewel job join joke journal journey joy judge juice jump jungle junior jury just
keen keep kettle key kick kid kind king kingdom kiss kitchen kite knee knife knight knock knot know
label labor lace ladder lady lake lamp land lane language lantern large laser last late laugh laundry law lawn layer
lazy lead leaf league leak lean leap learn leather leave left leg legend lend length lens less lesson letter level
lever library lid lie life lift light like limb limit line link lip liquid list listen little live load loaf loan lobby
local lock log logic lonely long look loop loose lose loud love low loyal luck lucky lumber lunch lung
machine mad magic magnet maid mail main major make man manner manual many map marble march margin mark market marry
marsh mask mass mast master match math matter mayor meadow meal mean measure meat medal meet melody melt member memory
mend mental menu mercy merit merry mess metal method middle midnight might mild mile milk mill mind mine minor minute
mirror miss mist mix mobile model modern moment money monster month mood moon moral morning moss mother motion motor
mountain mouth move movie mud mule muscle museum music mystery myth
nail name narrow nation nature near neat neck need needle neighbor nerve nest net never new news next nice night nine
noble noise noon normal north nose note notice novel number nurse nut
oak oar oath object obtain ocean odd offer office often oil old olive once only open option orbit orchard order organ
other outer oven over owe own owner oxygen
pace pack page pain paint pair palace pale palm pan panel panic paper parade parcel parent park part partner party pass
past paste patch path patient pattern pause pave pay peace peak pearl pedal peel pen pencil people pepper perfect
period person phone photo phrase piano pick picnic picture piece pile pillow pilot pin pinch pine pipe pirate pit
place plain plan planet plant plastic plate play please plenty plot plow plug plus pocket poem poet point poison pole
police polish polite pond pool poor porch port post pot potato pottery pound pour powder power praise pray press pretty
price pride priest prince print prison private prize problem profit program promise proof proper proud public pull pulse
pump pupil pure purse push puzzle
quality quarter queen quest question quick quiet quilt quit quiz quote
race rack radar radio raft rail rain rainbow raise ramp ranch range rapid rare rate raw reach read ready real reason
recipe record reef refuse region relax rely remain remote rent repair repeat reply report rescue rest result return
reward rhyme rhythm ribbon rice rich riddle ride ridge rifle right ring rinse ripe rise risk rival river road roast
robe robot rock rocket rod role roll roof room root rope rough round route row royal rub rubber rude rug ruin rule ruler
run rush rust
sack sad saddle safe sail salad sale salt same sample sand satin sauce save say scale scarf scatter scene school science
score scout scrap scratch scream screen screw script sea seal search season seat second secret seed seek select sell
send sense serve set settle seven several sew shade shadow shake shallow shame shape share sharp shed sheet shelf shell
shelter shield shift shine ship shirt shock shoe shop shore short shoulder shout show shower shut shy sick side sight
sign signal silence silk silly simple sing single sink sister sit six size skate sketch ski skill skin skirt sky sleep
sleeve slice slide slim slip slope slow small smart smell smile smoke smooth snack snow soap soccer social sock soda
sofa soft soil soldier solid solve some son song soon sorry sort soul sound soup sour south space spade spare spark
speak special speech speed spell spend spice spike spin spirit splash spoil sponge spoon sport spot spray spread spring
square squeeze stable staff stage stain stair stamp stand star start state station statue stay steady steak steam steel
steep stem step stick still sting stir stitch stock stomach stone stool stop store storm story stove straight strange
straw stream street stress strike string strip stroke strong student studio study stuff style subject subway sudden
sugar suit summer summit sun sunset supper supply support sure surf surface surprise sweat sweet swift swim swing switch
sword symbol system
table tail tailor take tale talent talk tall tank tape target task taste tax tea teach team tear tell temple ten tender
tennis tent term test text thank theater theory thick thief thin thing think thirst thirty thorn thought thread three
throat throne through throw thumb thunder ticket tide tidy tie tight tile timber time tin tiny tip tired tissue title
toast today toe together tomato tone tongue tool tooth top topic torch toss total touch tough tour towel tower town toy
trace track trade traffic trail train trap travel tray treasure treat tree trend trial tribe trick trip trouble truck
true trumpet trunk trust truth try tube tune tunnel turn twelve twenty twice twin twist type
ugly umbrella uncle under uniform union unique unit unite until upper upset urban urge use useful usual
vacation valley value van vanish vapor vase vast vault velvet verb verse very vessel victory video view village vine
violin virus vision visit visitor vital vivid voice volcano volume vote vowel voyage
wagon waist wait wake walk wall wallet walnut wander want war warm warn wash waste watch water wave wax way weak wealth
weapon wear weather weave wedding week weigh weight welcome well west wet wheat wheel whisper whistle white whole wide
wife wild will win wind window wine wing winner winter wire wise wish witness woman wonder wood wool word work world
worry worth wound wrap wreck wrist write wrong
yard yarn year yeast yes yet yield young youth
zebra zero zigzag zinc zipper zone zoo
""".split()

NAMES = """
Aaron Ada Adam Aisha Alan Alba Alex Alice Alina Amara Amir Amy Ana Andrea Andrew Anna Anton Arthur Astrid Ava Bella Ben
Bianca Boris Brian Bruno Carla Carlos Cara Cecil Chen Chloe Clara Claire Colin Cyrus Daisy Dana Daniel Daria David Dean
Derek Diana Diego Dina Dora Edith Edgar Elena Eli Elias Ella Elsa Emil Emily Emma Eric Erik Esther Eva Evan Farah Felix
Fiona Flora Frank Frida George Gina Grace Greta Hana Hannah Harry Hassan Heidi Helen Henry Hugo Ian Ida Igor Ines Ingrid
Iris Isaac Ivan Ivy Jack Jacob James Jana Jane Jasper Jenny Joan Joel John Jonas Jorge Jose Josh Judy Julia Julian June
Karen Karim Karl Kate Kenji Kevin Kira Lara Laura Leah Lena Leo Leon Leila Liam Lily Lina Linda Lisa Louis Lucas Lucia
Lucy Luis Luke Luna Lydia Maja Marco Maria Mario Mark Marta Martin Mary Matteo Max Maya Mei Mia Mila Mina Miriam Molly
Mona Nadia Nina Noah Nora Olga Oliver Omar Oscar Otto Pablo Paul Paula Pedro Penny Peter Petra Priya Quinn Rachel Raj
Ravi Rita Robert Rosa Ruth Ryan Sam Samir Sara Simon Sofia Sonia Stella Susan Tara Theo Thomas Tina Tom Uma Vera Victor
Viola Walter Wendy William Yara Yusuf Zara Zoe
""".split()

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()

COLOURS = """
red blue green yellow orange purple pink brown black white grey gold silver violet turquoise crimson beige indigo
maroon cyan lavender olive teal magenta ivory amber scarlet navy lime copper
""".split()

ANIMALS = """
dog cat horse cow sheep goat pig rabbit mouse rat hamster fox wolf bear lion tiger leopard zebra giraffe elephant
monkey gorilla camel donkey deer moose otter beaver badger squirrel hedgehog bat whale dolphin seal shark salmon trout
octopus crab lobster snail turtle lizard snake frog toad eagle hawk owl parrot penguin duck goose swan chicken turkey
raven robin sparrow pigeon spider ant bee wasp beetle moth panda koala kangaroo llama ferret canary
""".split()

FRUITS = """
apple pear plum peach cherry banana orange lemon lime grape mango melon papaya kiwi fig date apricot coconut pineapple
raspberry blueberry strawberry cranberry grapefruit pomegranate quince nectarine tangerine guava lychee
""".split()

CITIES = """
Paris London Berlin Madrid Rome Vienna Prague Lisbon Dublin Oslo Stockholm Helsinki Copenhagen Warsaw Budapest Athens
Istanbul Cairo Nairobi Lagos Dakar Tunis Moscow Delhi Mumbai Tokyo Kyoto Osaka Seoul Beijing Shanghai Bangkok Hanoi
Manila Jakarta Sydney Melbourne Perth Auckland Toronto Montreal Vancouver Chicago Boston Seattle Denver Dallas Houston
Miami Atlanta Havana Lima Quito Bogota Santiago Zurich Geneva Milan Naples Venice Turin Porto Seville Valencia Hamburg
Munich Cologne Lyon Nice Glasgow Leeds Krakow Riga Tallinn Vilnius Sofia Zagreb
""".split()

OBJECTS = """
key book lamp chair table cup plate spoon fork knife bottle box bag basket umbrella hat coat scarf glove shoe watch
ring coin wallet phone camera laptop pencil pen notebook letter map ticket candle mirror clock radio guitar violin piano
drum ball kite doll puzzle hammer nail saw screwdriver ladder rope bucket broom towel soap brush comb pillow blanket
suitcase backpack helmet bicycle skateboard tent torch compass telescope vase teapot kettle pan jar lantern magnet
whistle calculator envelope stamp ribbon button needle scissors
""".split()
