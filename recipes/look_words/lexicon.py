"""What a sentence about a face is made of, by hand: nouns, words alike, words that say nothing.

What phrases mean is in meanings.txt beside it.
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
    "not too much": "",
    "too much": "",
    "at the camera": "",
    "into the camera": "",
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
    "chin beard": "goatee",
    "glasses of": "drinks",
    "lot of": "lots",
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

SLIGHTLY = """
slightly slight bit little somewhat subtle subtly faint faintly mild mildly hint touch lightly
partly partially trace gentle gently soft softly kinda fairly rather barely tad minimal almost
modest
"""

VERY = """
very extremely really super much heavily intensely totally fully completely deeply strongly
heavy strong big wide huge broad intense extreme bright deep vivid full lots large great thick
massive incredibly severely quite long toothy so dramatically radically radiant rich
intensively excessive excessively terribly wildly
"""
"""Degrees; sizes among them where they say how much of a thing there is, and shades before a
colour."""

NOT = """
no not without never remove removed removing lose lacks lacking lack minus hide erase shave
delete eliminate nor neither dont doesnt didnt isnt arent wasnt werent hasnt havent hadnt
shouldnt wouldnt couldnt mustnt cant free avoid wont rid off none un non too vanish vanished
disappear gone
"""
LESS = "less fewer shrink reduce reduced decrease lower diminish soften weaken tone"
MORE = """
more enlarge enlarged increase increased additional extra enhance enhanced most emphasise
emphasize
"""

BEFORE_A_COLOUR = (
    "dark light bright deep vivid pale medium dirty light-coloured dyed hot neon pastel"
)
COLOURS = """
black brown blond blonde red grey gray green blue purple pink orange yellow white auburn
violet golden silver turquoise chestnut ginger brunette copper magenta teal hazel scarlet
crimson
"""

NOTHING = """
a an the this that these those there here is are was were be being been am have has had having
got get gets getting do does did doing will would could should can may might must make makes
making made give gives given giving turn turns turned turning change changes changed changing
add adds added adding put puts putting apply applied let want wants please i me my we us our
you your he she it its they them their him his her hers who whose whom which what of with in
on to into onto for from at by as than s t re ve d ll also both some any all just like against
indoors outdoors length one ones obvious noticeable years year themselves himself herself size
amount only still now then again set transform convert convert become becomes becoming appear
appears appearing seem seems seeming show shows showing shown keep keeps feature features
featuring featured facial portrait portraits photo photos photograph photographs picture
pictures image images pic shot headshot closeup selfie view style styled type kind sort color
colour colors colours colored coloured dyed dye tone toned shade hue shape shaped appearance
emotion emotions mood apparent side coloring colouring sporting sports sport own pair lot
number amount few couple version look looks naturally natural-looking quality visible visibly
possess possesses possessing exhibits exhibit displays display displaying appears painted
paint done covered her's wish id ill try about s' each same entire over oneself using use
using around both attribute attributes
"""
"""Words that a sentence may have without saying anything."""

BREAKS = """
, . ; : ! ? / + & and or but with while plus whose who yet though although then has have is
are the her his its their
"""
"""Where a quality that stands after its part cannot reach beyond."""

WORN = "wear wears wearing worn wore dressed"
"""What follows is no quality of the part before."""

FEELINGS = (
    "smiling",
    "serious",
    "angry",
    "surprised",
    "sad",
    "afraid",
    "disgusted",
    "confident",
)
"""Meanings for which the sentence model is asked for more words."""
