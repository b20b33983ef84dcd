"""What a sentence about a face is made of, by hand: nouns, meanings, words alike, words that say
nothing.

A meaning is a phrase: one of the table of looks, or one of a face that may have no look yet. Each
line of MEANINGS reads "phrase: others that mean it"; a phrase that starts with "not " is what is
meant by the others where there is a look for the rest of it.
"""

PARTS = {
    "hair": "hair haired hairs hairdo haircut hairstyle hairs locks tresses mane strands curls",
    "eyes": "eye eyes iris irises pupil pupils eyed",
    "brows": "brow brows eyebrow eyebrows browed",
    "undereyes": "undereyes",
    "lashes": "lash lashes eyelash eyelashes",
    "eyelids": "eyelid eyelids lid lids",
    "nose": "nose noses nosed nostrils",
    "mouth": "mouth mouths",
    "lips": "lip lips lipped",
    "jaw": "jaw jaws jawline jawed",
    "chin": "chin chins",
    "cheeks": "cheek cheeks cheeked",
    "cheekbones": "cheekbone cheekbones",
    "forehead": "forehead foreheads",
    "skin": "skin skinned complexion",
    "face": "face faces faced",
    "teeth": "tooth teeth",
    "ears": "ear ears",
    "neck": "neck",
    "background": "background backdrop backgrounds",
    "light": "light lighting lit illumination illuminated",
    "gaze": "gaze gazing gazes looking look looks glancing glance",
    "head": "head",
    "expression": "expression expressions",
    "hairline": "hairline hairlines",
}
"""What has a quality: the part, and what it is called. "haired" is `hair` where it stands after a
colour, and so on."""

THINGS = {
    "smile": "smile smiles grin grins smirk chuckle laugh laughs laughter giggle giggles",
    "lipstick": "lipstick lipsticks lipgloss gloss",
    "makeup": "makeup cosmetics",
    "eyeshadow": "eyeshadow eyeshadows",
    "eyeliner": "eyeliner",
    "mascara": "mascara",
    "blush": "blush blusher rouge",
    "beard": "beard beards bearded",
    "moustache": "moustache mustache moustaches mustaches mustachioed",
    "goatee": "goatee goatees",
    "stubble": "stubble stubbly stubbled unshaven",
    "sideburns": "sideburn sideburns",
    "glasses": "glasses eyeglasses spectacles eyeglass specs eyewear",
    "sunglasses": "sunglasses shades sunglass",
    "hat": "hat hats cap caps beanie helmet hood turban bonnet fedora beret headwear",
    "headband": "headband bandana hairband tiara crown headscarf hijab",
    "earrings": "earring earrings",
    "necklace": "necklace necklaces",
    "necktie": "necktie necktie tie bowtie",
    "piercing": "piercing piercings",
    "tattoo": "tattoo tattoos",
    "freckles": "freckle freckles freckled freckly",
    "wrinkles": "wrinkle wrinkles wrinkled wrinkly",
    "mole": "mole moles",
    "scar": "scar scars scarred",
    "acne": "acne pimple pimples",
    "dimples": "dimple dimples",
    "bangs": "bang bangs fringe",
    "braids": "braid braids braided cornrows dreadlocks dreads plait plaits",
    "ponytail": "ponytail ponytails pigtails bun updo",
    "afro": "afro",
    "mohawk": "mohawk",
    "bob": "bob",
    "tongue": "tongue",
    "eyebags": "eyebags",
    "frown": "frown frowns",
    "tan": "tan suntan",
    "jewelry": "jewelry jewellery",
}
"""What is there or is not, of whatever quality."""

PEOPLE = {
    "masculine": "man men male males guy guys gentleman dude",
    "feminine": "woman women female females lady ladies",
    "": "person people human individual adult subject someone somebody boy girl model celebrity "
    "character",
}
"""Whom it is about: nobody's look, unless that is all that is said."""

JOINED = {
    "close up": "closeup",
    "under eyes": "undereyes",
    "instead of": "not",
    "stop smiling": "not smiling",
    "stop being": "not",
    "tiny bit": "slightly",
    "little bit": "slightly",
    "rather than": "not",
    "too much": "",
    "wide apart": "apart",
    "poker face": "pokerface",
    "make up": "makeup",
    "made up": "makeup",
    "eye shadow": "eyeshadow",
    "eye shadows": "eyeshadow",
    "eye liner": "eyeliner",
    "eye lashes": "eyelashes",
    "eye lash": "eyelash",
    "eye brows": "eyebrows",
    "eye brow": "eyebrow",
    "eye lids": "eyelids",
    "eye glasses": "eyeglasses",
    "sun glasses": "sunglasses",
    "reading glasses": "glasses",
    "lip stick": "lipstick",
    "lip gloss": "lipstick",
    "lip color": "lipstick",
    "lip colour": "lipstick",
    "mouth color": "lipstick",
    "side burns": "sideburns",
    "pony tail": "ponytail",
    "pig tails": "pigtails",
    "ear rings": "earrings",
    "cheek bones": "cheekbones",
    "cheek bone": "cheekbones",
    "jaw line": "jawline",
    "hair line": "hairline",
    "hair style": "hairstyle",
    "hair cut": "haircut",
    "hair color": "hair",
    "hair colour": "hair",
    "head band": "headband",
    "neck tie": "necktie",
    "bow tie": "necktie",
    "facial hair": "beard",
    "full beard": "beard",
    "5 o clock shadow": "stubble",
    "five o clock shadow": "stubble",
    "5 o clock": "stubble",
    "designer stubble": "stubble",
    "bags under eyes": "eyebags",
    "bags under the eyes": "eyebags",
    "bags under his eyes": "eyebags",
    "bags under her eyes": "eyebags",
    "bags under their eyes": "eyebags",
    "eye bags": "eyebags",
    "dark circles": "eyebags",
    "eye circles": "eyebags",
    "under eye bags": "eyebags",
    "under eye circles": "eyebags",
    "double chin": "doublechin",
    "crow s feet": "wrinkles",
    "crows feet": "wrinkles",
    "laugh lines": "wrinkles",
    "age lines": "wrinkles",
    "bob cut": "bob",
    "bowl cut": "bob",
    "pixie cut": "bob",
    "buzz cut": "buzzcut",
    "crew cut": "buzzcut",
    "in a bad mood": "angry",
    "in a good mood": "happy",
    "middle age": "middle-aged",
    "middle aged": "middle-aged",
    "mid aged": "middle-aged",
    "clean shaven": "clean-shaven",
    "clean shaved": "clean-shaven",
    "cleanly shaven": "clean-shaven",
    "open mouthed": "mouth open",
    "wide eyed": "eyes wide",
    "eyes wide": "eyes wide",
    "teary eyed": "teary",
    "cross eyed": "crosseyed",
    "straight face": "straightface",
    "straight faced": "straightface",
    "in tears": "crying",
    "ear to ear": "big",
    "smokey eye": "smoky eyes",
    "cat eye": "eyeliner",
    "rock n roll": "rock",
}
"""Words that are one word when they stand side by side, longest first."""

MEANINGS = """
smiling: smile; smiles; smiled; grin; grinning; grins; happy; happier; joyful; cheerful; cheery; happiness; joy; \
joyous; merry; glad; delighted; laughing; giggling; giggle; laugh; laughs; laughter; beaming; smiley; pleased; amused; jolly; \
happy expression; friendly; smiling mouth; smiling lips; teeth smile; smirk; smirking; happy eyes; elated; overjoyed; \
smiling eyes
serious: pokerface; neutral; serious expression; neutral expression; straightface; stern; solemn; unsmiling; emotionless; \
expressionless; deadpan; severe; humourless; blank expression; serious look; not happy; not smiling; not smile; calm
angry: anger; angrier; rage; raging; furious; enraged; irate; annoyed; irritated; mad; hostile; aggressive; outraged; \
angry expression; angry look; angry eyes; glaring; grumpy; frown; frowning; scowling; scowl; mad look
surprised: surprise; surprised look; shocked; shock; astonished; amazed; startled; stunned; astonishment; amazement; \
awestruck; flabbergasted; surprised expression
sad: sadness; sorrowful; sorrow; unhappy; upset; depressed; gloomy; miserable; melancholy; dejected; crying; weeping; \
mournful; tearful; sad expression; sad eyes; teary; heartbroken; grief; sad mouth; depression; sad look; tears
afraid: scared; fear; fearful; frightened; terrified; horrified; anxious; nervous; worried; panic
disgusted: disgust; disgusted look; revolted; contempt; contemptuous
old: elderly; aged; senior; old age; senile; aging; ageing; grandmother; grandma; grandfather; grandpa; granny; \
pensioner; old-aged; elder; older person; gramps; seniority; grandparent; old face; aged face; old skin; not young
young: younger; youthful; youth; teenager; teen; teenage; adolescent; teens; young face; juvenile; young adult; not old
middle-aged: middle-aged
child: young child; young kid; kid; kids; children; baby; babies; toddler; infant; childlike; childish; babyish; little boy; little girl; \
small child
masculine: manly; virile; macho; masculinity; masculine face
feminine: womanly; girly; femininity; ladylike; effeminate; feminine face; girlish
chubby: fat; plump; overweight; obese; chubbiness; double-chinned; full cheeks; round cheeks; fat cheeks; \
round face; fat face; full face; chubby face; heavyset; pudgy; chubby cheeks; big cheeks; puffy face; puffy cheeks; \
round; fat jaw
slim: skinny; thin; slender; lean; gaunt; bony; skinny face; thin face; slim face; slender face; hollow cheeks; \
sunken cheeks; thin cheeks; slim cheeks; underweight; emaciated
blond hair: blond; blonde; blonde hair; fair hair; flaxen hair; platinum hair; yellow hair; platinum blond hair; \
sandy hair; strawberry blond hair; honey hair
brown hair: brunette; brunet; chestnut hair; chocolate hair; brunette hair; auburn brown hair; hazel hair
black hair: raven hair; jet hair; ebony hair; jet black hair; brunet black hair
red hair: redhead; redheaded; redheads; ginger; copper hair; orange hair; scarlet hair; crimson hair
grey hair: gray hair; white hair; greying hair; graying hair; greyed hair; grizzled hair; grey; salt pepper hair
green hair: emerald hair; lime hair; turquoise green hair
blue hair: azure hair; navy hair; cyan hair
purple hair: violet hair; lavender hair; lilac hair; mauve hair
pink hair: magenta hair
dark hair: dark-haired; darker hair
light hair: lighter hair; bleached hair; bleach hair
long hair: lengthy hair; shoulder-length hair; waist-length hair; longer hair; flowing hair
short hair: cropped hair; shorter hair; buzzcut; shaved hair; shaved head; shaven head; close-cropped hair
curly hair: curls; curly; curled hair; frizzy hair; kinky hair; ringlets; perm; permed hair; coiled hair
wavy hair: waves hair; wavy; wave hair
straight hair: straightened hair; sleek hair; lank hair
thick hair: full hair; voluminous hair; bushy hair; dense hair; big hair; puffy hair
thin hair: thinning hair; sparse hair; fine hair
messy hair: tousled hair; unkempt hair; shaggy hair; untidy hair; spiky hair; messy; slicked hair; tied hair
bald: balding; baldness; bald head; hairless; not hair; bald hair
receding hairline: high hairline; receding hair; high forehead; big forehead; large forehead; receding hairlines
short forehead: small forehead; low hairline; low forehead
red lipstick: red lips; lipstick; crimson lips; scarlet lips; ruby lips; red lip; cherry lips; blood red lips
no lipstick: not lipstick; natural lips; not red lipstick; not red lips; bare lips
pink lips: pink lipstick; rosy lips; pinkish lips; rose lips; fuchsia lips; coral lips
dark lips: black lips; dark lipstick; black lipstick; brown lipstick; purple lips; purple lipstick; burgundy lips; \
brown lips; goth lips
pale lips: colourless lips; colorless lips; bloodless lips; white lips
light lips: nude lips; nude lipstick; light lipstick; brown nude lips
full lips: big lips; plump lips; thick lips; large lips; puffy lips; luscious lips; pouty lips; lush lips; full mouth
thin lips: narrow lips; small lips; slim lips; fine lips
heavy makeup: makeup; thick makeup; full makeup; made up face; makeup face; lots makeup; glam makeup; heavy cosmetics
no makeup: not makeup; bare face; natural face; barefaced; bare-faced; not heavy makeup
eye shadow: eyeshadow; dark eyeshadow; smoky eyes; smokey eyes; dark eyelids; smoky makeup; smoky eyeshadow
no eye shadow: not eyeshadow; light eyelids
blue eye shadow: blue eyeshadow; blue eyelids
dark lashes: mascara; eyeliner; long lashes; big lashes; thick lashes; full lashes; fake lashes; false lashes; \
black lashes; lush lashes; curled lashes; heavy mascara
no mascara: not mascara; not eyeliner; light lashes; short lashes; sparse lashes; thin lashes
rosy cheeks: blush; blushing; red cheeks; pink cheeks; flushed cheeks; ruddy cheeks; rouge; blushed cheeks; \
flushed face; blushing cheeks; apple cheeks; red face
pale cheeks: not blush; not rosy cheeks; white cheeks
dark circles: eyebags; dark undereyes; bags undereyes; tired eyes; dark eyebags; puffy eyes; baggy eyes; sleepy eyes; tired; exhausted; weary eyes; \
weary; fatigued; sleepless
fresh eyes: not eyebags; bright under eyes; rested eyes; not dark circles
pale skin: fair skin; light skin; pale; pale face; white skin; porcelain skin; fair; lighter skin; ivory skin; \
pallid; pallor; pale complexion; ashen; whiter skin
tanned skin: tan; tanned; suntanned; bronzed skin; tan skin; darker skin; sunburnt; dark skin; brown skin; bronze skin; \
olive skin; sun kissed skin; black skin; swarthy; tanned face; dark face; sunkissed skin
rosy skin: flushed; pink skin; ruddy skin; ruddy; flushed skin; reddish skin; rosy face
golden skin: yellow skin; yellowish skin; jaundiced skin
shiny skin: oily skin; greasy skin; glossy skin; shiny face; sweaty; sweaty skin; sweating
smooth skin: clear skin; flawless skin; soft skin; matt skin; matte skin
big eyes: large eyes; huge eyes; wide eyes; bigger eyes; round eyes; doe eyes; enlarged eyes
small eyes: narrow eyes; tiny eyes; slit eyes; little eyes; beady eyes
eyes wide open: staring; wide open eyes; open eyes; eyes open; bulging eyes; stare; staring eyes; opened eyes
squinting: squint; squints; half closed eyes; squinty eyes; squinted eyes; narrowed eyes; hooded eyes; half open eyes; \
squinting eyes
eyes closed: closed eyes; shut eyes; asleep; sleeping; blinking; sleeping eyes; not eyes open; eyes shut; sleepy
wink: winking; winks
blue eyes: azure eyes; sapphire eyes; icy eyes; sky eyes; cyan eyes
brown eyes: hazel eyes; amber eyes; chocolate eyes; chestnut eyes
green eyes: emerald eyes; jade eyes
grey eyes: gray eyes
light eyes: pale eyes; bright eyes; clear eyes
dark eyes: black eyes
looking left: left gaze; left eyes
looking right: right gaze; right eyes
looking up: up gaze; upward gaze; upwards gaze; up eyes; above gaze
looking down: down gaze; downward gaze; downwards gaze; lowered gaze; lowered eyes; down eyes; downcast eyes; downcast
head up: up head; raised head; up chin; raised chin; up face; lifted head; lifted chin
head down: down head; lowered head; down chin; bowed head; down face; lowered chin
turned head: left head; right head; sideways head; profile; left face; right face; tilted head
wide mouth: big mouth; broad mouth; large mouth; bigger mouth
small mouth: narrow mouth; tiny mouth; little mouth
mouth open: open mouth; parted lips; open lips; opened mouth; agape; gaping; gaping mouth; lips open; lips apart; \
apart lips; yelling; screaming; shouting; yawning; wide open mouth; singing; ajar mouth; ajar lips; talking; not closed mouth; not shut mouth
mouth closed: closed mouth; lips together; shut mouth; pursed lips; lips shut; closed lips; sealed lips; not open mouth; \
not parted lips; lips pressed; pressed lips; tight lips
raised brows: high brows; raised eyebrows; lifted brows; up brows; elevated brows; raised forehead
lowered brows: low brows; down brows
angry brows: frowning brows; furrowed brows; knitted brows; furrowed forehead; furrowed; creased forehead
worried brows: sad brows
arched brows: curved brows; arching brows; rounded brows; arch brows
straight brows: flat brows; horizontal brows
thick brows: dark brows; bushy brows; full brows; heavy brows; black brows; dense brows; big brows; thicker brows
thin brows: light brows; pale brows; sparse brows; fine brows; blond brows; faint brows; narrow brows
wide nose: broad nose; big nose; large nose; flat nose; bulbous nose; huge nose; fat nose; bigger nose; round nose
narrow nose: slim nose; thin nose; small nose; slender nose; tiny nose; smaller nose; little nose; petite nose
pointy nose: pointed nose; sharp nose
long nose: longer nose
crooked nose: hooked nose; aquiline nose; roman nose; upturned nose; button nose
wide jaw: square jaw; strong jaw; broad jaw; square face; chiselled jaw; chiseled jaw; big jaw; heavy jaw; sharp jaw; \
defined jaw; angular jaw
narrow jaw: slim jaw; weak jaw; small jaw
wide face: broad face; wider face; big face
narrow face: narrower face
long face: oval face; oblong face; elongated face; oval; longer face
short face: small face; shorter face
long chin: big chin; prominent chin; large chin; strong chin
short chin: small chin; weak chin; receding chin
broad chin: wide chin; square chin
pointed chin: narrow chin; pointy chin; sharp chin
doublechin: double chin; two chins
high cheekbones: cheekbones; prominent cheekbones; defined cheekbones; strong cheekbones; sharp cheekbones; \
low cheekbones; high cheeks
bright background: light background; white background; brighter background
dark background: black background; darker background
yellow background: orange background; brown background
blue background: cyan background
red background: pink background
green background: lime background
blurry background: blurred background; plain background; simple background
light from the left: left light; light left; left side light
light from the right: right light; right side light
light from above: above light; top light; overhead light
light from below: below light; underneath light; bottom light
bright: brighter; bright light; well light; brightly light; brighten; brightened
dim: darker; dark light; dimmer; darken; darkened; dim light; low light; dimly light; poorly light
warm light: golden light; warmer; warm lights; orange light; yellow light
cold light: cool light; cooler; blue light; colder
hard light: strong shadows; harsh light; dramatic light; high contrast; harsh shadows; hard shadows; contrasty
soft light: even light; soft shadows; diffuse light; diffused light; low contrast
clean-shaven: not beard; not stubble; not facial hair; shaven; shaved; clean shaved face; not moustache beard
open teeth: teeth; white teeth; toothy; crooked teeth; showing teeth; bared teeth; visible teeth
attractive: beautiful; handsome; pretty; gorgeous; cute; good-looking; ugly; hot; sexy; goodlooking; stunning
asian: chinese; japanese; korean; indian; african; caucasian; european; latino; latina; hispanic; black person; \
white person; african american; middle eastern; arab; brown person; mixed race; ethnic
confident: proud; bored; confused; thoughtful; shy; arrogant; thinking; disappointed; embarrassed; pain; excited; \
curious; relaxed; sleepy expression; excitement; interested; awe; guilty; jealous; skeptical; confusion; pained; \
lonely; stressed
big ears: large ears; small ears; pointy ears; pointed ears; elf ears; ears; earlobes
hairy: blemishes; blemish; birthmark; flaky; spots; eczema; rough skin; uneven skin; bad skin; good skin
blurry: blurred; out focus; sharp; grainy; blur
long neck: neck; short neck; thick neck; thin neck
heart face: heart
crosseyed: apart eyes; wide set eyes; wide-set eyes; close-set eyes; slanted eyes; almond eyes; deep set eyes; deep-set eyes; \
monolid eyes; upturned eyes; downturned eyes; red eyes; purple eyes; yellow eyes; bloodshot eyes; pink eyes; white eyes; \
heterochromia; glowing eyes; watery eyes; sunken eyes; orange eyes
"""

ALIKE = """
big large huge enormous giant bigger larger oversized massive
small little tiny smaller petite
wide broad wider
narrow slim thin slender narrower thinner skinny
full plump fuller voluminous
grey gray greyish grayish silvery
blond blonde golden yellow
red scarlet crimson ruby reddish cherry
blue bluish azure sapphire
green greenish emerald
purple violet purplish lavender
brown brownish chestnut chocolate
black blackish ebony jet
pink pinkish rose rosy fuchsia
pale pallid ashen
white whitish
dark darker
light lighter
pointed pointy sharp
high raised
curly curled
thick bushy dense
closed shut
open opened
tanned tan bronzed
beautiful gorgeous pretty
"""
"""Words of one line stand for each other where nothing else is known."""

SLIGHTLY = """slightly slight bit little somewhat subtle subtly faint faintly mild mildly hint touch
lightly partly partially trace gentle gently soft softly kinda fairly rather barely tad minimal
almost modest"""

VERY = """very extremely really super much heavily intensely totally fully completely deeply strongly heavy strong big wide huge broad intense extreme bright deep vivid full lots large great
thick massive incredibly severely quite long toothy so beaming dramatically radically radiant rich
intensively excessive excessively terribly wildly"""
"""Degrees; sizes among them where they say how much of a thing there is, and shades before a
colour."""

NOT = """no not without never remove removed removing lose lacks lacking lack minus hide erase shave
delete eliminate nor neither dont doesnt isnt arent wasnt hasnt havent free avoid wont cant rid
off none un non too vanish vanished disappear gone"""
LESS = "less fewer shrink reduce reduced decrease lower diminish soften weaken tone"
MORE = "more enlarge enlarged increase increased additional extra enhance enhanced most emphasise emphasize"

BEFORE_A_COLOUR = "dark light bright deep vivid pale medium dirty light-coloured dyed hot neon pastel"
COLOURS = """black brown blond blonde red grey gray green blue purple pink orange yellow white auburn
violet golden silver turquoise chestnut ginger brunette copper magenta teal hazel scarlet crimson"""

NOTHING = """a an the this that these those there here is are was were be being been am have has had
having got get gets getting do does did doing will would could should can may might must make makes
making made give gives given giving turn turns turned turning change changes changed changing add adds
added adding put puts putting apply applied let want wants please i me my
we us our you your he she it its they them their him his her hers who whose whom which what of with in
on to into onto for from at by as than s t re ve d ll also both some any all just like against indoors outdoors length one ones obvious noticeable years year themselves himself herself size amount only
still now then again set transform convert convert become becomes becoming appear appears appearing
seem seems seeming show shows showing shown keep keeps feature features featuring featured facial
portrait portraits photo photos photograph photographs picture pictures image images pic shot headshot
closeup selfie view style styled type kind sort color colour colors colours colored coloured
dyed dye tone toned shade hue shape shaped appearance emotion emotions mood apparent side coloring
colouring sporting sports sport own pair lot number amount few couple version
look looks naturally natural-looking quality visible visibly possess possesses
possessing exhibits exhibit displays display displaying appears painted paint
done covered her's wish id ill try about s' each same entire over oneself using use using
under around both attribute attributes"""
"""Words that a sentence may have without saying anything."""

BREAKS = ", . ; : ! ? / + & and or but with while plus whose who yet though although then has have is are the her his its their"
"""Where a quality that stands after its part cannot reach beyond."""

WORN = "wear wears wearing worn wore dressed"
"""What follows is no quality of the part before."""

FEELINGS = "smiling serious angry surprised sad afraid disgusted confident".split()
"""Meanings for which the sentence model is asked for more words."""
