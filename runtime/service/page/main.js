// The page: what a person does becomes a value of session.js, and that a picture.

import * as api from "./api.js";
import { Drawer } from "./drawer.js";
import { Faces } from "./faces.js";
import { follow } from "./follow.js";
import { understood } from "./looks.js";
import * as session from "./session.js";
import { Sliders } from "./sliders.js";

/** Milliseconds between two looks whether a service that was gone is back. */
const AGAIN = 1000;
/** Milliseconds without a change after which the full size is drawn. */
const REST = 200;
const element = (id) => document.getElementById(id);

let about = null;
let looks = [];
let sliders = null;
let shown = null;
let past = [];
let comes = null;
let rest = 0;
let work = 0;
let file = null;

const faces = new Faces(element("faces"), element("which"), (which) => openPhoto(file, which));

// What is said

function problem(error) {
  element("problem").textContent = error ? error.message : "";
}

function say(text) {
  element("said").textContent = text;
}

/** Resolves when a service that was gone is there again; one wait for all that wait. */
function back() {
  comes ??= (async () => {
    element("server").textContent = "The service does not answer; this goes on when it is back.";
    do await new Promise((wake) => setTimeout(wake, AGAIN)); while (!(await api.ready()));
    element("server").textContent = "";
    comes = null;
  })();
  return comes;
}

/** Tells of what went wrong; true if the same may be tried again now. */
async function recovered(error, tries = Infinity) {
  if (error instanceof api.Gone) {
    await back();
    return true;
  }
  if (error.status === 401) {
    element("key-form").hidden = false;
    element("key").focus();
  }
  problem(error);
  if (!error.retryAfter || !tries) return false;
  await new Promise((wake) => setTimeout(wake, error.retryAfter * 1000));
  problem(null);
  return true;
}

// Pictures

const drawer = new Drawer(
  (request, signal) => request.job
    ? api.result(request.job, "image/jpeg", signal)
    : api.picture(request.wish, "image/jpeg", signal),
  (request, url) => {
    const image = element("after");
    image.src = url;
    image.alt = described(request.shown);
    image.hidden = false;
    image.dataset.size = request.size;
    element("empty").hidden = true;
    if (request.size === "full") say(`Shown: ${image.alt}.`);
    showBefore();
  },
  async (request, error) => {
    if ((await recovered(error)) && request.shown.face === shown?.face) draw("full");
  },
);

function described(value) {
  const moves = Object.entries(value.strengths).map(([name, strength]) => `${name} ${strength}`);
  return [value.name, ...value.texts, ...moves].join(", ");
}

function asked(value, size) {
  const wish = session.wishOf(value, size);
  const key = JSON.stringify([wish, value.picture]);
  return { shown: value, wish, key, size, job: value.picture };
}

function draw(size) {
  if (!shown) return;
  const drafts = about.draft_resolution > 0 && !shown.picture;
  drawer.ask(asked(shown, drafts ? size : "full"));
}

let beforeOf = "";

async function showBefore() {
  const comparing = element("compare").getAttribute("aria-pressed") === "true";
  const image = element("before");
  element("wipe-row").hidden = !comparing;
  element("drop").classList.toggle("comparing", comparing);
  if (!comparing || !shown) {
    image.hidden = true;
    return;
  }
  const { wish, key } = asked(session.unedited(shown), "full");
  image.hidden = beforeOf !== key;
  if (beforeOf === key) return;
  try {
    const picture = await api.picture(wish, "image/jpeg");
    URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(picture);
    beforeOf = key;
    image.hidden = false;
  } catch (error) {
    if (await recovered(error)) showBefore();
  }
}

// What is shown, and what was

function go(value, { remembered = true } = {}) {
  if (remembered && shown) past.push(shown);
  shown = value;
  problem(null);
  sliders.show(shown.strengths);
  refresh();
  clearTimeout(rest);
  draw("draft");
  if (about.draft_resolution > 0) rest = setTimeout(() => draw("full"), REST);
}

function refresh() {
  element("undo").disabled = !past.length;
  element("compare").disabled = element("download").disabled = !shown;
  element("reset").disabled = !shown || !session.isEdited(shown);
  element("photo-row").hidden = !shown?.origin.photo;
  faces.show(shown?.which, shown?.origin.photo && !session.isEdited(shown));
  if (!shown) return;
  const texts = shown.texts.map((text) => `“${text}”`).join(", ");
  element("face-name").textContent = [shown.name, texts].filter(Boolean).join(", with ");
  element("command").value = session.commandsOf(shown, looks);
  const { size, ...wish } = session.wishOf(shown, "full");
  element("json").value = JSON.stringify(
    shown.picture ? { ...wish, moves: undefined, prompt: shown.texts[0] } : wish, null, 1,
  );
}

function moving() {
  if (!shown) return;
  problem(null);
  clearTimeout(rest);
  drawer.ask(asked(
    session.withStrengths(shown, sliders.strengths),
    about.draft_resolution > 0 ? "draft" : "full",
  ));
}

function moved() {
  if (shown) go(session.withStrengths(shown, sliders.strengths));
}

function undo() {
  if (past.length) go(past.pop(), { remembered: false });
}

// Faces

/** Cancels what takes a while; a number that tells what comes next from it. */
function leave() {
  element("cancel").click();
  return ++work;
}

function randomFace() {
  leave();
  const seed = crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000;
  const kept = shown?.origin.seed !== undefined ? shown.strengths : {};
  go(session.withStrengths(session.begin({ seed }, `face ${seed}`), kept));
}

async function openPhoto(chosen, which = "largest") {
  if (!chosen) return;
  if (!about.photos) {
    problem(new Error("this service edits drawn faces only."));
    return;
  }
  if (chosen.size > about.photo_bytes) {
    problem(new Error(`the file is too large: at most ${about.photo_bytes >> 20} MiB are taken.`));
    return;
  }
  const mine = leave();
  file = chosen;
  problem(null);
  say("The photograph is being sent.");
  try {
    const photo = await api.upload(chosen, which);
    const job = { id: photo.job, state: "queued", step: 0, steps: 0, seconds_left: null };
    if (!(await follow(job, "Looking at the face", back))) {
      say("The photograph was left out.");
      return;
    }
    const known = await api.read(`v1/photos/${photo.id}`);
    if (mine !== work) return;
    past = [];
    faces.of(known);
    go(session.begin({ photo: photo.id }, chosen.name, which));
    if (known.turned >= 25) problem(new Error("the face looks away: edits may come out badly."));
  } catch (error) {
    say("");
    if ((await recovered(error, 0)) && mine === work) openPhoto(chosen, which);
  }
}

async function forgetPhoto() {
  const photo = shown?.origin.photo;
  if (!photo) return;
  try {
    await api.forget(photo);
  } catch (error) {
    problem(error);
    return;
  }
  past = [];
  shown = file = null;
  randomFace();
  past = [];
  refresh();
  say("The photograph was deleted.");
}

// Sentences

async function apply(sentence) {
  if (!shown || !sentence.trim()) return;
  const strengths = understood(looks, sentence);
  if (strengths) {
    go(session.withStrengths(shown, { ...shown.strengths, ...strengths }));
    return;
  }
  if (!about.prompts) {
    problem(new Error("this service knows the looks of the list only."));
    return;
  }
  const from = shown;
  const mine = leave();
  problem(null);
  element("apply").disabled = true;
  clearTimeout(rest);
  drawer.stop();
  try {
    const job = await api.optimise({ ...from.face, prompt: sentence });
    if (job.note) problem(new Error(job.note));
    const done = await follow(job, `“${sentence}”`, back, (url) => {
      // Of a photograph they are the drawn face alone, which is not quite that person.
      if (from.face.photo) return;
      element("after").src = url;
      element("after").dataset.size = "draft";
    });
    if (mine !== work) return;
    if (done) go(session.withText({ ...from, strengths: shown.strengths }, sentence, job.id));
    else draw("full");
    if (!done) say("Cancelled.");
    else if (job.note) problem(new Error(job.note));
  } catch (error) {
    if ((await recovered(error, 0)) && mine === work) apply(sentence);
    else if (mine === work) draw("full");
  } finally {
    element("apply").disabled = false;
  }
}

// What leaves the page

async function download() {
  const value = shown;
  try {
    const picture = value.picture
      ? await api.result(value.picture, "image/png")
      : await api.picture(session.wishOf(value, "full"), "image/png");
    const url = URL.createObjectURL(picture);
    const name = described(value).replace(/[^\p{L}\p{N}.]+/gu, "-").slice(0, 80);
    Object.assign(document.createElement("a"), { href: url, download: `${name}.png` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
    say("Downloaded.");
  } catch (error) {
    if (await recovered(error)) download();
  }
}

async function copy(id) {
  const field = element(id);
  try {
    await navigator.clipboard.writeText(field.value);
    say("Copied.");
  } catch {
    // Without TLS only this machine's own pages may write there.
    field.focus();
    field.select();
    say("Selected: copy it with Ctrl+C.");
  }
}

// Who listens to what

function listen() {
  const on = (id, event, act) => element(id).addEventListener(event, act);
  on("random", "click", randomFace);
  on("photo", "change", (event) => {
    openPhoto(event.target.files[0]);
    event.target.value = "";
  });
  on("forget", "click", forgetPhoto);
  on("undo", "click", undo);
  on("reset", "click", () => go(session.unedited(shown)));
  on("download", "click", download);
  on("compare", "click", (event) => {
    const pressed = event.target.getAttribute("aria-pressed") === "true";
    event.target.setAttribute("aria-pressed", String(!pressed));
    showBefore();
  });
  on("wipe", "input", (event) => {
    element("drop").style.setProperty("--wipe", `${event.target.value}%`);
  });
  on("sentence-form", "submit", (event) => {
    event.preventDefault();
    apply(element("sentence").value);
  });
  on("search", "input", (event) => {
    const count = sliders.search(event.target.value);
    element("found").textContent = event.target.value ? `${count} looks` : "";
  });
  on("key-form", "submit", (event) => {
    event.preventDefault();
    api.useKey(element("key").value);
    element("key-form").hidden = true;
    problem(null);
    if (about) draw("full");
    else start();
  });
  for (const button of document.querySelectorAll("[data-copies]")) {
    button.addEventListener("click", () => copy(button.dataset.copies));
  }
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("textarea, input:not([type=range])");
    if (typing || event.key !== "z" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    undo();
  });
  for (const name of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      element("drop").classList.toggle("over", name === "dragover");
      if (name !== "drop" || !about) return;
      openPhoto(event.dataTransfer.files[0]);
    });
  }
}

async function start() {
  try {
    about = await api.read("v1/about");
    ({ looks } = await api.read("v1/looks"));
  } catch (error) {
    about = null;
    if (await recovered(error)) start();
    return;
  }
  element("photo").disabled = !about.photos;
  sliders = new Sliders(looks, element("looks"), moving, moved);
  randomFace();
}

listen();
start();
