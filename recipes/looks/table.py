"""The looks that are asked of the solver: what each raises, what may come with it, how far."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Wanted:
    """One direction.

    Attributes:
        raises: measure -> weight.
        free: measures that may change with it.
        amount: spreads that strength 1 raises it by.
        says: other phrases for it.
        less: what strength -1 is called, and other phrases; none where that is no look.
        least: the lowest strength, -1 where there is a `less` and 0 where there is none.
        hold: measure -> how much more than others it is held.
        natural: share of the natural prior.
        name: of the look, where the mapper's prompt is another.
    """

    raises: Mapping[str, float]
    free: tuple[str, ...] = ()
    amount: float = 2.0
    says: tuple[str, ...] = ()
    less: tuple[str, ...] = ()
    hold: Mapping[str, float] = field(default_factory=dict)
    natural: float = 0.5
    name: str = ""

    @property
    def least(self) -> float:
        """The lowest strength."""
        return -1.0 if self.less else 0.0


_MOUTH = ("mouth_open", "mouth_width", "corner_lift", "upper_lip", "lower_lip", "chin_length")
_FACE = ("face_length", "chin_length", "chin_width", "jaw_width", "lower_cheeks", "cheek_width")
_FEELS = tuple(f"emotion_{name}" for name in ("angry", "fear", "happy", "sad", "surprise"))
_BROWS = ("brow_height", "brow_inner", "brow_arch", "brow_gap")
_EYES = ("eyes_open", "eye_width", "lids_dark", "lids_l", "lashes_dark", "under_eyes_dark")
_SKIN: tuple[str, ...] = (
    "skin_l",
    "skin_a",
    "skin_b",
    "pix_skin",
    "lips_l",
    "lips_a",
    "lips_b",
    "lids_l",
)
_SKIN += ("lids_a", "lids_b", "picture_l", "picture_a", "picture_b", "shine", "contrast")
_SKIN += ("lips_red",)
_LIPS = ("lips_l", "lips_a", "lips_b", "lips_dark", "lips_red", "clip_makeup")
_HAIR: tuple[str, ...] = (
    "hair_l",
    "hair_a",
    "hair_b",
    "pix_hair",
    "brows_dark",
    "brows_a",
    "brows_b",
    "contrast",
)
_HAIR += ("picture_l", "picture_a", "picture_b", "edges")
_SCENE: tuple[str, ...] = (
    "scene_l",
    "scene_a",
    "scene_b",
    "pix_background",
    "picture_l",
    "picture_a",
    "picture_b",
)
_SCENE += ("contrast", "edges")
_LIGHT: tuple[str, ...] = (
    *_SKIN,
    *_HAIR,
    *_SCENE,
    "light_x",
    "light_y",
    "skin_contrast",
    "iris_l",
    "blush",
)
_LIGHT += ("lids_dark", "lashes_dark", "lips_dark", "beard_dark", "moustache_dark")
_LIGHT += ("under_eyes_dark", "iris_a", "iris_b")

WANTED: Mapping[str, Wanted] = {
    # Mouth
    "mouth open": Wanted(
        {"mouth_open": 1},
        (*_MOUTH, *_FEELS, "face_length"),
        3.0,
        says=("open mouth", "lips parted"),
        less=("mouth closed", "closed mouth", "lips together"),
    ),
    "wide mouth": Wanted(
        {"mouth_width": 1},
        ("nose_width", "upper_lip", "lower_lip"),
        2.0,
        says=("broad mouth", "large mouth"),
        less=("small mouth", "narrow mouth"),
    ),
    "full lips": Wanted(
        {"upper_lip": 1, "lower_lip": 1},
        ("lips_dark", "chin_length"),
        2.0,
        says=("big lips", "plump lips", "thick lips"),
        less=("thin lips", "narrow lips"),
    ),
    # Eyes
    "big eyes": Wanted(
        {"eyes_open": 1, "eye_width": 1},
        ("lids_dark", "lashes_dark", "emotion_surprise", "emotion_fear", "iris_l"),
        2.0,
        says=("large eyes", "wide eyes"),
        less=("small eyes", "narrow eyes"),
    ),
    "eyes wide open": Wanted(
        {"eyes_open": 1},
        ("lids_dark", "lashes_dark", *_FEELS, "iris_l", "iris_a", "iris_b", "brow_height"),
        2.5,
        says=("staring", "open eyes"),
        less=("squinting", "half closed eyes", "eyes narrowed"),
    ),
    "looking left": Wanted(
        {"gaze_x": -1},
        (),
        4.0,
        says=("gaze left", "eyes to the left"),
        less=("looking right", "gaze right", "eyes to the right"),
    ),
    "looking down": Wanted(
        {"gaze_y": 1},
        ("eyes_open", "lids_dark", "lashes_dark"),
        4.0,
        says=("gaze down", "eyes lowered"),
        less=("looking up", "gaze up", "eyes raised"),
    ),
    # Brows
    "raised brows": Wanted(
        {"brow_height": 1},
        (*_BROWS, *_FEELS, "lids_dark", "lids_l", "eyes_open"),
        2.0,
        says=("raised eyebrows", "high brows"),
        less=("lowered brows", "low brows"),
    ),
    "angry brows": Wanted(
        {"brow_inner": -1, "brow_gap": -0.5},
        (*_BROWS, *_FEELS),
        2.0,
        says=("frowning brows", "knitted brows"),
        less=("worried brows", "sad brows"),
    ),
    "arched brows": Wanted(
        {"brow_arch": 1},
        ("brow_height", "brow_inner"),
        2.0,
        says=("curved eyebrows",),
        less=("straight brows", "flat eyebrows"),
    ),
    "dark brows": Wanted(
        {"brows_dark": 1},
        ("brows_a", "brows_b", "contrast"),
        2.0,
        says=("thick brows", "bushy eyebrows", "dark eyebrows"),
        less=("light brows", "thin brows", "pale eyebrows"),
    ),
    # Nose
    "wide nose": Wanted(
        {"nose_width": 1},
        ("nose_tip",),
        1.6,
        says=("broad nose",),
        less=("narrow nose", "slim nose"),
    ),
    # Face
    "wide jaw": Wanted(
        {"jaw_width": 1, "chin_width": 0.5},
        _FACE,
        2.0,
        says=("square jaw", "strong jaw", "broad jaw"),
        less=("narrow jaw", "slim jaw"),
    ),
    "chubby": Wanted(
        {"lower_cheeks": 1, "jaw_width": 0.7, "cheek_width": 0.7},
        (*_FACE, "id0", "id1", "id2"),
        2.2,
        says=("fat", "full cheeks", "round face", "chubby cheeks"),
        less=("slim", "thin face", "gaunt"),
    ),
    "wide face": Wanted(
        {"cheek_width": 1}, _FACE, 2.0, says=("broad face",), less=("narrow face",)
    ),
    "long face": Wanted(
        {"face_length": 1},
        ("chin_length", "nose_length"),
        2.0,
        says=("oval face",),
        less=("short face",),
    ),
    "long chin": Wanted(
        {"chin_length": 1},
        ("face_length",),
        2.5,
        says=("big chin",),
        less=("short chin", "small chin"),
    ),
    "broad chin": Wanted(
        {"chin_width": 1},
        ("jaw_width", "lower_cheeks"),
        2.5,
        says=("wide chin",),
        less=("pointed chin", "narrow chin"),
    ),
    # Expressions
    "angry": Wanted(
        {"emotion_angry": 1, "brow_inner": -0.5, "brow_gap": -0.5},
        (*_BROWS, *_FEELS, *_MOUTH, "eyes_open"),
        1.8,
        says=("furious", "mad", "an angry face", "anger"),
    ),
    "surprised": Wanted(
        {"mouth_open": 1, "eyes_open": 0.8, "brow_height": 0.8},
        (*_BROWS, *_FEELS, *_MOUTH, *_EYES, "face_length"),
        2.5,
        says=("astonished", "amazed", "shocked", "surprise"),
    ),
    "sad": Wanted(
        {"emotion_sad": 1, "brow_inner": 0.7, "corner_lift": -0.7},
        (*_BROWS, *_FEELS, *_MOUTH, "eyes_open"),
        2.0,
        says=("unhappy", "sorrowful", "sadness", "gloomy"),
    ),
    "serious": Wanted(
        {"emotion_happy": -1, "corner_lift": -0.6, "mouth_width": -0.6, "mouth_open": -0.6},
        (*_FEELS, *_MOUTH, "lower_cheeks"),
        1.6,
        says=("not smiling", "neutral expression", "stern", "a straight face"),
    ),
    # Pose
    "head up": Wanted(
        {"pitch": -1},
        (
            "gaze_y",
            "light_y",
            "pix_hair",
            "pix_skin",
            "pix_background",
            "edges",
            "id0",
            "id1",
            "id2",
            "desc0",
            "nose_tip",
            "nose_length",
            *_FACE,
            *_MOUTH,
            *_BROWS,
        ),
        2.0,
        says=("chin up", "facing up"),
        less=("head down", "chin down", "facing down"),
        natural=0.9,
    ),
    # Colours of the face
    "blue eyes": Wanted({"iris_b": -1, "iris_l": 0.3}, ("iris_a",), 3.0, says=("eyes blue",)),
    "brown eyes": Wanted({"iris_b": 1, "iris_a": 0.7}, (), 2.5, says=("hazel eyes", "amber eyes")),
    "light eyes": Wanted(
        {"iris_l": 1},
        ("eyes_open",),
        2.5,
        says=("pale eyes", "bright eyes"),
        less=("dark eyes", "black eyes"),
    ),
    "pink lips": Wanted(
        {"lips_a": 1, "lips_b": -0.5},
        _LIPS,
        1.6,
        says=("pink lipstick", "rosy lips"),
        less=("pale lips", "no lipstick", "natural lips"),
    ),
    "dark lips": Wanted(
        {"lips_dark": 1},
        _LIPS,
        2.5,
        says=("dark lipstick", "black lips"),
        less=("light lips", "nude lips"),
    ),
    "eye shadow": Wanted(
        {"lids_dark": 1},
        ("lids_l", "lids_a", "lids_b", "lashes_dark", "clip_makeup", "clip_lashes"),
        1.7,
        says=("dark eyelids", "smoky eyes"),
        less=("light eyelids", "no eye shadow"),
    ),
    "blue eye shadow": Wanted(
        {"lids_b": -1},
        ("lids_l", "lids_a", "lids_dark", "clip_makeup", "clip_lashes"),
        2.0,
        says=("blue eyelids",),
    ),
    "dark lashes": Wanted(
        {"lashes_dark": 1, "clip_lashes": 0.3},
        ("lids_dark", "lids_l", "clip_makeup"),
        2.5,
        says=("dark eyelashes",),
        less=("light lashes", "no mascara"),
    ),
    "heavy makeup": Wanted(
        {"clip_makeup": 1, "lids_dark": 0.5, "lashes_dark": 0.9, "lips_red": 0.35},
        (*_LIPS, *_EYES, "lids_a", "lids_b", "blush", "clip_lashes"),
        1.4,
        says=("made up", "some makeup"),
        less=("no makeup", "without makeup", "bare face"),
        hold={"male": 2},
        name="makeup",
    ),
    "rosy cheeks": Wanted(
        {"blush": 1},
        ("skin_a",),
        4.0,
        says=("blushing", "blush", "red cheeks"),
        less=("pale cheeks",),
    ),
    "dark circles": Wanted(
        {"under_eyes_dark": 1},
        ("lids_dark",),
        1.5,
        says=("bags under the eyes", "tired eyes", "dark under the eyes"),
        less=("fresh eyes", "bright under the eyes"),
    ),
    "pale skin": Wanted(
        {"skin_l": 1},
        (*_SKIN, "id0", "id1", "id2", "desc0"),
        1.2,
        says=("fair skin", "light skin", "pale"),
        less=("tanned skin", "tan", "darker skin", "suntan"),
    ),
    "rosy skin": Wanted(
        {"skin_a": 1},
        (*_SKIN, "blush"),
        1.3,
        says=("red skin", "flushed"),
        less=("sallow skin", "greenish skin"),
    ),
    "golden skin": Wanted(
        {"skin_b": 1}, _SKIN, 1.3, says=("yellow skin", "warm skin"), less=("cool skin",)
    ),
    # Hair
    "light hair": Wanted(
        {"hair_l": 1},
        _HAIR,
        1.5,
        says=("lighter hair", "bleached hair"),
        less=("dark hair", "darker hair"),
    ),
    "warm hair": Wanted(
        {"hair_b": 1, "hair_a": 0.5},
        _HAIR,
        1.6,
        says=("golden hair", "ginger hair", "auburn hair"),
        less=("ash hair", "silver hair", "cool hair"),
    ),
    # Age and sex
    "young": Wanted(
        {"age": -1},
        (*_FACE, "pix_skin", "edges", "id0", "id1", "id2", "desc0"),
        1.6,
        says=("younger", "youthful"),
        less=("middle-aged", "older"),
    ),
    "masculine": Wanted(
        {"male": 1},
        (*_FACE, *_BROWS, "desc0", "id0", "id1", "id2", "clip_makeup", "beard_dark"),
        1.5,
        says=("manly", "male"),
        less=("feminine", "womanly", "female"),
    ),
    # Scene and light
    "bright background": Wanted(
        {"scene_l": 1},
        _SCENE,
        2.0,
        says=("light background", "white background"),
        less=("dark background", "black background"),
    ),
    "yellow background": Wanted({"scene_b": 1}, _SCENE, 0.7, less=("blue background",)),
    "red background": Wanted(
        {"scene_a": 1},
        _SCENE,
        4.0,
        says=("pink background",),
        less=("green background",),
    ),
    "light from the left": Wanted(
        {"light_x": -1},
        _LIGHT,
        2.0,
        says=("lit from the left",),
        less=("light from the right", "lit from the right"),
    ),
    "light from above": Wanted(
        {"light_y": 1},
        _LIGHT,
        1.5,
        says=("lit from above",),
        less=("light from below", "lit from below"),
    ),
    "bright": Wanted(
        {"picture_l": 1},
        _LIGHT,
        1.5,
        says=("brighter", "bright light"),
        less=("dim", "darker", "dark light"),
    ),
    "warm light": Wanted(
        {"picture_b": 1},
        _LIGHT,
        2.0,
        says=("warmer", "golden light"),
        less=("cold light", "cooler", "blue light"),
    ),
    "hard light": Wanted(
        {"skin_contrast": 1},
        _LIGHT,
        2.0,
        says=("strong shadows", "high contrast"),
        less=("soft light", "even light"),
    ),
}

# look -> phrases; made by mappers that were trained otherwise.
TRAINED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "hair-colour": {
        "black hair": ("jet black hair", "raven hair"),
        "brown hair": ("brunette", "brunette hair", "chestnut hair"),
        "blond hair": ("blonde hair", "a blonde", "fair hair", "yellow hair"),
        "red hair": ("a redhead", "copper hair", "orange hair"),
        "grey hair": ("gray hair", "white hair"),
        "green hair": ("hair dyed green",),
        "blue hair": ("hair dyed blue",),
        "purple hair": ("violet hair", "hair dyed purple"),
    },
    "red-lipstick": {"red lipstick": ("red lips", "lipstick", "crimson lips", "scarlet lipstick")},
    "smiling": {"smiling": ("a smile", "happy", "a happy face", "cheerful")},
    "old": {"old": ("elderly", "an old person", "a senior", "aged")},
}

# Painted: look -> other phrases.
PAINTED: Mapping[str, tuple[str, ...]] = {
    "freckles": ("freckled", "a freckled face", "freckles on the nose"),
    "beauty mark": ("a mole", "mole", "a beauty spot"),
    "big lashes": ("long lashes", "long eyelashes", "mascara", "false lashes"),
    "eyeliner": ("winged eyeliner", "cat eyes", "eye liner"),
    "green eyes": ("eyes green", "emerald eyes"),
    "pink eye shadow": ("pink eyelids",),
    "purple eye shadow": ("purple eyelids", "violet eye shadow"),
    "green eye shadow": ("green eyelids",),
    "purple lipstick": ("purple lips", "violet lipstick"),
    "orange lipstick": ("orange lips", "coral lipstick"),
    "black lipstick": ("goth lipstick",),
    "heavy makeup": ("glamour makeup", "a lot of makeup", "full makeup"),
    "glasses": ("eyeglasses", "spectacles", "wearing glasses", "reading glasses"),
    "sunglasses": ("shades", "dark glasses", "wearing sunglasses"),
    "stubble": ("five o'clock shadow", "unshaven", "a stubble"),
    "moustache": ("mustache", "a moustache"),
    "goatee": ("chin beard", "a goatee"),
    "beard": ("bearded", "full beard", "a beard"),
}
