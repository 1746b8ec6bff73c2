// Asking the server, and saying what it answers. The HTTP API of docs/web.md, and nothing else.

export const at = (id) => document.getElementById(id);

export async function ask(path, given = {}) {
  const answer = await fetch(path, { ...given, headers: { "X-Fomm": "1", ...given.headers } });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({ what: `The server answered ${answer.status}.`, hint: "" }));
  throw new Error(`${said.what} ${said.hint}`.trim());
}

export const post = (path, body) => ask(path, { method: "POST", body: JSON.stringify(body) });

export const upload = async (file, name) =>
  (await ask(`/api/upload?name=${encodeURIComponent(name || file.name || "pasted.png")}`, { method: "POST", body: file })).json();

export function complain(error) {
  at("error").textContent = error ? error.message : "";
  at("error").hidden = !error;
}

// A job to its end, which is returned; `hear` is told of every step.
export function follow(job, hear) {
  return new Promise((resolve) => {
    const events = new EventSource(`/api/jobs/${job.id}/events`);
    events.onmessage = (event) => {
      const told = JSON.parse(event.data);
      hear(told);
      if (!["done", "failed", "cancelled"].includes(told.state)) return;
      events.close();
      resolve(told);
    };
    events.onerror = () => {
      if (events.readyState !== EventSource.CLOSED) return;
      resolve({ state: "failed", error: { what: "The server is gone.", hint: "Start it again." } });
    };
  });
}

const STAGES = { crop: "Finding the crop", detect: "Reading the motion", render: "Animating", download: "Downloading", open: "Making them ready" };

export function pace(job) {
  if (job.state === "waiting") return job.place ? `Waiting: ${job.place} before this one` : "Waiting";
  const bytes = job.stage === "download", said = (count) => (bytes ? (count / 1e6).toFixed(0) : count);
  const parts = [
    STAGES[job.stage] || "Beginning",
    job.total ? `${said(job.done)} of ${said(job.total)}${bytes ? " MB" : ""}` : "",
    job.fps ? (bytes ? `${(job.fps / 1e6).toFixed(1)} MB a second` : `${job.fps.toFixed(1)} fps`) : "",
    job.eta != null ? `${Math.ceil(job.eta)} s left` : "",
  ];
  return parts.filter(Boolean).join(" · ");
}

// No clipboard without https: then the text is shown, to be copied by hand.
export async function copy(text, output) {
  try { await navigator.clipboard.writeText(text); output.textContent = "Copied."; }
  catch { output.textContent = text; }
}

export const NO_CAMERA = "Browsers give the camera to localhost and https only: open this page through ssh -L 7860:127.0.0.1:7860 HOST.";

export async function openCamera(audio = false) {
  if (!navigator.mediaDevices) throw new Error(NO_CAMERA);
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480, frameRate: 30 }, audio });
  } catch (error) {
    throw new Error({ NotAllowedError: "The browser was not allowed to use the camera.", NotFoundError: "There is no camera." }[error.name] || `The camera does not work: ${error.message}`);
  }
}
