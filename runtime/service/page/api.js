// The service under /v1. What it refuses is a Refused, and its silence a Gone.

export class Refused extends Error {
  constructor(detail, status, retryAfter) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export class Gone extends Error {}

const IN_BODIES = ["image/jpeg", "image/png", "image/webp", "image/tiff", "image/heic", "image/bmp",
  "image/gif"];

let key = "";

export function useKey(text) {
  key = text;
}

async function ask(method, path, { body, headers = {}, signal } = {}) {
  const all = key ? { ...headers, "X-API-Key": key } : headers;
  let answer;
  try {
    answer = await fetch(path, { method, body, headers: all, signal });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Gone("the service does not answer.");
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  const detail = problem.detail ?? `the service answered with status ${answer.status}.`;
  throw new Refused(detail, answer.status, Number(answer.headers.get("Retry-After")) || 0);
}

export async function read(path) {
  return (await ask("GET", path)).json();
}

export async function ready() {
  try {
    await ask("GET", "readyz");
    return true;
  } catch {
    return false;
  }
}

/** A Blob of the picture that an edit becomes. */
export async function picture(wish, media, signal) {
  const headers = { "Content-Type": "application/json", Accept: media };
  const body = JSON.stringify(wish);
  return (await ask("POST", "v1/edits", { body, headers, signal })).blob();
}

/** The job of a free text. */
export async function optimise(wish) {
  const digits = crypto.getRandomValues(new Uint32Array(4));
  const headers = {
    "Content-Type": "application/json",
    Prefer: "respond-async",
    "Idempotency-Key": [...digits].map((each) => each.toString(16)).join("-"),
  };
  return (await ask("POST", "v1/edits", { body: JSON.stringify(wish), headers })).json();
}

/** What is known of a photograph whose inversion has begun. */
export async function upload(file, which) {
  const type = IN_BODIES.includes(file.type) ? file.type : "application/octet-stream";
  const path = `v1/photos?face=${encodeURIComponent(which)}`;
  return (await ask("POST", path, { body: file, headers: { "Content-Type": type } })).json();
}

export async function result(job, media, signal) {
  return (await ask("GET", `v1/jobs/${job}/result`, { headers: { Accept: media }, signal })).blob();
}

export async function cancel(job) {
  await ask("DELETE", `v1/jobs/${job}`);
}

export async function forget(photo) {
  await ask("DELETE", `v1/photos/${photo}`);
}

/** Pairs [event, data] of a job until it is over. Not an EventSource, which sends no key. */
export async function* events(job, signal) {
  const answer = await ask("GET", `v1/jobs/${job}/events`, { signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      throw error.name === "AbortError" ? error : new Gone("the service does not answer.");
    }
    if (part.done) return;
    const blocks = (text + part.value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const found = block.match(/^event: (.*)\ndata: (.*)$/s);
      if (found) yield [found[1], found[2]];
    }
  }
}
