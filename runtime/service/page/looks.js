// Looks by name: where each belongs, and what a sentence means by them.

const REGIONS = [
  ["Expression", /^(smiling|angry|surprised|sad|serious|mouth open|eyes wide open|looking .*|head .*)$/],
  ["Hair", /hair/],
  ["Make-up", /lipstick|makeup|eye shadow|lashes|(pink|dark) lips/],
  ["Eyes and brows", /eyes|brows/],
  ["Mouth and nose", /mouth|lips|nose/],
  ["Shape of the face", /face|jaw|chin|chubby/],
  ["Age and skin", /^(old|young|masculine)$|skin|cheeks|circles/],
  ["Light and background", /light|bright|background/],
];

/** Pairs [title, looks] of regions that have any. */
export function byRegion(looks) {
  const groups = new Map([...REGIONS.map(([title]) => [title, []]), ["More", []]]);
  for (const look of looks) {
    const region = REGIONS.find(([, names]) => names.test(look.name));
    groups.get(region ? region[0] : "More").push(look);
  }
  return [...groups].filter(([, found]) => found.length);
}

export function phrases(look) {
  return [look.name, ...look.says, ...(look.less ? [look.less] : []), ...look.says_less];
}

function plain(text) {
  return text.toLowerCase().replace(/-/g, " ").replace(/[.!?]/g, " ").trim()
    .replace(/\s+/g, " ").replace(/^(an?|the) /, "");
}

function meant(looks, phrase) {
  const has = (names) => names.some((name) => plain(name) === phrase);
  for (const look of looks) if (has([look.name, ...look.says])) return [look, 1];
  for (const look of looks) {
    if (look.less && has([look.less, ...look.says_less])) return [look, -1];
  }
  return null;
}

/** Look names and strengths, if a sentence is made of looks alone; else null. */
export function understood(looks, sentence) {
  const parts = sentence.split(/,|;|\+|\band\b|\bwith\b/i).map(plain).filter(Boolean);
  const found = parts.map((part) => meant(looks, part));
  if (!parts.length || found.some((each) => each === null)) return null;
  return Object.fromEntries(
    found.map(([look, way]) => [look.name, Math.max(look.least, Math.min(look.most, way))]),
  );
}
