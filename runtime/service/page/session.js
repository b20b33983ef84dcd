// What is shown, as values that do not change: a face, what was said of it, and strengths of looks.
//
// {face: {seed} | {photo} | {latent_id}, origin: the face before texts, name, which, texts,
//  strengths, picture: the job whose picture it is, where a text was written into a photograph}

export function begin(face, name, which = "largest") {
  return { face, origin: face, name, which, texts: [], strengths: {}, picture: null };
}

export function withStrengths(shown, strengths) {
  const moved = Object.entries(strengths).filter(([, strength]) => strength !== 0);
  // Looks move the photograph itself, not what a text made of it.
  const texts = shown.picture ? [] : shown.texts;
  return { ...shown, texts, strengths: Object.fromEntries(moved), picture: null };
}

export function withText(shown, text, job) {
  const texts = [...shown.texts, text];
  // A photograph stays what is edited; a drawn face goes on from its new latent.
  if (shown.face.photo) return { ...shown, texts: [text], strengths: {}, picture: job };
  return { ...shown, texts, face: { latent_id: job } };
}

export function unedited(shown) {
  return begin(shown.origin, shown.name, shown.which);
}

export function isEdited(shown) {
  return shown.texts.length > 0 || Object.keys(shown.strengths).length > 0;
}

export function wishOf(shown, size) {
  const moves = Object.entries(shown.strengths).map(([look, strength]) => ({ look, strength }));
  return { ...shown.face, moves, size };
}

function quoted(text) {
  return /^[\w./-]+$/.test(text) && !text.startsWith("-") ? text : `'${text.replace(/'/g, "'\\''")}'`;
}

/** The same edit as lines for a shell. */
export function commandsOf(shown, looks) {
  const photo = shown.origin.photo !== undefined;
  const face = shown.which === "largest" ? "" : ` --face ${shown.which}`;
  let start = photo ? `--image ${quoted(shown.name)}${face}` : `--seed ${shown.origin.seed}`;
  const lines = [];
  shown.texts.forEach((text, i) => {
    lines.push(`styleclip edit ${quoted(text)} ${start} --out out/${i + 1}`);
    start = `--latent out/${i + 1}/latent.safetensors`;
  });
  const moved = Object.entries(shown.strengths).map(([name, strength]) => [
    looks.find((look) => look.name === name), strength,
  ]);
  const strengths = moved.map(([, strength]) => `--strength ${strength}`).join(" ");
  if (moved.length && moved.every(([look]) => look.listed)) {
    const names = moved.map(([look]) => quoted(look.name)).join(" ");
    lines.push(`styleclip look ${names} ${strengths} ${start} --out out`);
  } else if (moved.length) {
    const names = moved.map(([look]) => quoted(look.mapper)).join(" ");
    const prompts = moved.map(([look]) => `--prompt ${quoted(look.prompt)}`).join(" ");
    lines.push(`styleclip mapper apply ${names} ${prompts} ${strengths} ${start} --out out`);
  }
  return lines.join("\n");
}
