// A job that takes a while: its progress, its drafts, its end.

import { cancel, events, Gone, Refused } from "./api.js";

const element = (id) => document.getElementById(id);

/**
 * Resolves with the job once it is done, and null if it was cancelled; throws Refused if it failed.
 * back() resolves when a service that was gone answers again; draft(url) is told of drafts.
 */
export async function follow(job, title, back, draft = () => {}) {
  const button = element("cancel");
  const stop = () => cancel(job.id).catch(() => {});
  button.addEventListener("click", stop);
  window.addEventListener("pagehide", stop);
  element("progress").hidden = false;
  tell(job, title);
  try {
    let told = job;
    while (told.state === "queued" || told.state === "running") {
      try {
        for await (const [event, data] of events(job.id)) {
          if (event === "draft") draft(data);
          if (event === "job") tell((told = JSON.parse(data)), title);
        }
      } catch (error) {
        if (!(error instanceof Gone)) throw error;
        await back();
      }
    }
    if (told.state === "failed") throw new Refused(told.detail, 0, 0);
    return told.state === "done" ? told : null;
  } finally {
    element("progress").hidden = true;
    button.removeEventListener("click", stop);
    window.removeEventListener("pagehide", stop);
  }
}

function tell(job, title) {
  const bar = element("bar");
  if (job.steps) {
    bar.max = job.steps;
    bar.value = job.step;
  } else {
    bar.removeAttribute("value");
  }
  const step = job.steps ? `, step ${job.step} of ${job.steps}` : "";
  const left = job.seconds_left === null ? "" : `, about ${Math.ceil(job.seconds_left)} s left`;
  element("progress-text").textContent = job.state === "queued" ? `${title}: waits${left}`
    : `${title}${step}${left}`;
}
