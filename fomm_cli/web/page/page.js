// The page of `fomm web`. It uses the HTTP API of docs/web.md and nothing else.

import { live } from "/page/live.js";

const at = (id) => document.getElementById(id);
const SLIDERS = ["motion-scale", "head", "expression", "smooth"];
const CHOICES = ["mode", "loop", "lock", "layout", "format", "clamp"];
const TEXTS = ["crop-source", "crop-driving", "anchor"];
let state, source, driving, job, command = "";

async function ask(path, given = {}) {
  const answer = await fetch(path, { ...given, headers: { "X-Fomm": "1", ...given.headers } });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({ what: `The server answered ${answer.status}.`, hint: "" }));
  throw new Error(`${said.what} ${said.hint}`.trim());
}

const post = (path, body, signal) => ask(path, { method: "POST", body: JSON.stringify(body), signal });

function complain(error) {
  if (error?.name === "AbortError") return;
  at("error").textContent = error ? error.message : "";
  at("error").hidden = !error;
}

// ------------------------------------------------------------------------------------------------------ controls

function settings() {
  const all = { "adapt-scale": at("adapt-scale").checked, audio: at("audio").checked ? "driving" : "none", crf: +at("crf").value };
  for (const name of SLIDERS) all[name] = +at(name).value;
  for (const name of [...CHOICES, ...TEXTS]) all[name] = at(name).value.trim();
  if (driving && driving.kind === "motion") all.layout = "result";
  return all;
}

function reset() {
  const wanted = state.defaults;
  for (const name of [...SLIDERS, ...CHOICES, ...TEXTS, "crf"]) at(name).value = wanted[name];
  at("adapt-scale").checked = wanted["adapt-scale"];
  at("audio").checked = wanted.audio === "driving";
  told();
}

function told() {
  for (const name of SLIDERS) document.querySelector(`output[for=${name}]`).textContent = (+at(name).value).toFixed(2);
  at("frame-told").textContent = `${+at("frame").value + 1} of ${+at("frame").max + 1}`;
}

// ------------------------------------------------------------------------------------------------------- preview

// One question at a time; of those that come meanwhile the newest is asked next.
let asking = false, again = false, timer;

function preview() {
  clearTimeout(timer);
  timer = setTimeout(look, 60);
}

async function look() {
  if (!source || !driving) return;
  if (asking) { again = true; return; }
  asking = true;
  at("view").setAttribute("aria-busy", "true");
  try {
    const answer = await post("/api/preview", { source: source.id, driving: driving.id, frame: +at("frame").value, settings: settings() });
    const still = JSON.parse(answer.headers.get("X-Fomm-Still"));
    const old = at("preview").src;
    at("preview").src = URL.createObjectURL(await answer.blob());
    if (old.startsWith("blob:")) URL.revokeObjectURL(old);
    at("frame").max = still.frames - 1;
    at("scrub").hidden = at("tab-result").getAttribute("aria-selected") === "true";
    at("empty").hidden = true;
    at("preview").hidden = !at("players").hidden;
    warn(still.warnings);
    complain(null);
    told();
  } catch (error) { complain(error); }
  asking = false;
  at("view").removeAttribute("aria-busy");
  if (again) { again = false; look(); }
}

function warn(sentences) {
  at("warnings").replaceChildren(...sentences.map((said) => Object.assign(document.createElement("li"), { textContent: said })));
}

function show(which) {
  const result = which === "result";
  at("tab-result").setAttribute("aria-selected", result);
  at("tab-preview").setAttribute("aria-selected", !result);
  at("view").setAttribute("aria-labelledby", `tab-${which}`);
  at("players").hidden = at("play").hidden = !result;
  at("preview").hidden = result || !at("preview").src;
  at("scrub").hidden = result || !at("preview").src;
  if (!result) pause();
}

// --------------------------------------------------------------------------------------------------------- files

async function take(side, file) {
  const card = at(side), drop = card.querySelector(".drop");
  drop.classList.add("busy");
  complain(null);
  try {
    const answer = await ask(`/api/upload?name=${encodeURIComponent(file.name || "pasted.png")}`, { method: "POST", body: file });
    use(side, await answer.json());
  } catch (error) { complain(error); }
  drop.classList.remove("busy");
}

function use(side, file) {
  const card = at(side), image = card.querySelector("img"), video = card.querySelector("video");
  if (side === "source") source = file; else { driving = file; at("frame").value = 0; }
  const clip = file.kind === "clip" && video;
  if (clip) { video.src = `/api/files/${file.id}`; video.load(); }
  if (video) video.hidden = !clip;
  image.hidden = Boolean(clip) || file.kind === "motion";
  if (!image.hidden) image.src = `/api/files/${file.id}/picture`;
  card.querySelector(".drop p").hidden = file.kind !== "motion";
  if (file.kind === "motion") card.querySelector(".drop p").textContent = "A motion file";
  const size = file.width ? `${file.width} × ${file.height}` : "";
  const length = file.frames ? `${file.frames} frames` : "";
  card.querySelector(".told").textContent = [file.name, size, length].filter(Boolean).join(" · ");
  at("run").disabled = !(source && driving) || Boolean(job);
  show("preview");
  preview();
}

for (const side of ["source", "driving"]) {
  const card = at(side), drop = card.querySelector(".drop");
  card.querySelector("input").addEventListener("change", (event) => {
    if (event.target.files[0]) take(side, event.target.files[0]);
    event.target.value = "";
  });
  card.querySelector(".example").addEventListener("click", () => use(side, state.examples[side === "source" ? 0 : 1]));
  card.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  card.addEventListener("dragleave", () => drop.classList.remove("over"));
  card.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files[0]) take(side, event.dataTransfer.files[0]);
  });
  // A clip that this browser cannot play shows its first frame.
  card.querySelector("video")?.addEventListener("error", () => {
    if (!driving) return;
    card.querySelector("video").hidden = true;
    card.querySelector("img").hidden = false;
    card.querySelector("img").src = `/api/files/${driving.id}/picture`;
  });
}
for (const event of ["dragover", "drop"]) window.addEventListener(event, (each) => each.preventDefault());
document.addEventListener("paste", (event) => {
  const file = event.clipboardData.files[0];
  if (file) take(file.type.startsWith("video/") ? "driving" : "source", file);
});

// ----------------------------------------------------------------------------------------------------------- job

async function run() {
  complain(null);
  pause();
  try {
    job = await (await post("/api/jobs", { source: source.id, driving: driving.id, settings: settings() })).json();
  } catch (error) { return complain(error); }
  at("run").disabled = true;
  at("cancel").hidden = at("progress").hidden = false;
  const events = new EventSource(`/api/jobs/${job.id}/events`);
  events.onmessage = (event) => {
    job = JSON.parse(event.data);
    at("bar").value = job.total ? job.done / job.total : 0;
    at("pace").textContent = pace(job);
    if (!["done", "failed", "cancelled"].includes(job.state)) return;
    events.close();
    finish(job);
  };
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED) finish({ state: "failed", error: { what: "The server is gone.", hint: "Start it again." } });
  };
}

function pace(job) {
  if (job.state === "waiting") return job.place ? `Waiting: ${job.place} before this one` : "Waiting";
  const stage = { crop: "Finding the crop", detect: "Reading the motion", render: "Animating" }[job.stage] || "Beginning";
  const parts = [stage, job.total ? `${job.done} of ${job.total}` : "", job.fps ? `${job.fps.toFixed(1)} fps` : "", job.eta != null ? `${Math.ceil(job.eta)} s left` : ""];
  return parts.filter(Boolean).join(" · ");
}

function finish(over) {
  job = null;
  at("run").disabled = !(source && driving);
  at("cancel").hidden = at("progress").hidden = true;
  if (over.state === "failed") complain(new Error(`${over.error.what} ${over.error.hint}`));
  if (over.state !== "done") return;
  command = over.command;
  const address = `/api/files/${over.file}`, picture = over.name.endsWith(".gif");
  at("result").hidden = picture;
  at("moving").hidden = !picture;
  if (picture) { at("moving").src = address; at("result").removeAttribute("src"); } else at("result").src = address;
  const beside = driving.kind === "clip" && at("layout").value === "result" && at("loop").value === "none";
  at("beside").parentElement.hidden = !beside;
  if (beside) at("beside").src = `/api/files/${driving.id}`; else at("beside").removeAttribute("src");
  at("save").href = `${address}?download`;
  at("save").download = over.name;
  at("copied").textContent = "";
  at("tab-result").disabled = false;
  warn(over.warnings || []);
  show("result");
  play();
}

// The result leads, the motion follows in step.
const playing = () => !at("result").paused;
function play() {
  at("result").play().catch(() => pause());
  if (at("beside").getAttribute("src")) at("beside").play().catch(() => {});
  at("toggle").textContent = "Pause";
}
function pause() {
  at("result").pause();
  at("beside").pause();
  at("toggle").textContent = "Play";
}
at("result").addEventListener("timeupdate", () => {
  const off = at("result").currentTime - at("beside").currentTime;
  if (at("beside").getAttribute("src") && Math.abs(off) > 0.08) at("beside").currentTime = at("result").currentTime;
});

// -------------------------------------------------------------------------------------------------------- begin

at("run").addEventListener("click", run);
at("cancel").addEventListener("click", () => job && ask(`/api/jobs/${job.id}`, { method: "DELETE" }).catch(complain));
at("toggle").addEventListener("click", () => (playing() ? pause() : play()));
at("tab-preview").addEventListener("click", () => show("preview"));
at("tab-result").addEventListener("click", () => show("result"));
at("copy").addEventListener("click", async () => {
  try { await navigator.clipboard.writeText(command); at("copied").textContent = "Copied."; }
  catch { at("copied").textContent = command; } // no clipboard without https: to be copied by hand
});
at("try").addEventListener("click", () => {
  // The clip begins as the portrait looks, mouth shut.
  at("anchor").value = "first";
  use("source", state.examples[0]);
  use("driving", state.examples[1]);
});
at("frame").addEventListener("input", () => {
  const video = at("driving").querySelector("video");
  if (driving.rate && !video.hidden) video.currentTime = (+at("frame").value + 0.5) / driving.rate;
  told();
  preview();
});
at("here").addEventListener("click", () => {
  const row = at("frame").value;
  if (![...at("anchor").options].some((each) => each.value === row)) at("anchor").add(new Option(`frame ${+row + 1}`, row));
  at("anchor").value = row;
  preview();
});
at("controls").addEventListener("submit", (event) => event.preventDefault());
at("controls").addEventListener("reset", (event) => { event.preventDefault(); reset(); preview(); });
at("controls").addEventListener("input", () => {
  told();
  if (!at("live").hidden) return onCamera.steer();
  show("preview");
  preview();
});

const onCamera = live({ settings, complain, source: () => source });
function turn(camera) {
  at("go-live").setAttribute("aria-pressed", camera);
  at("go-animate").setAttribute("aria-pressed", !camera);
  at("live").hidden = !camera;
  at("stage").hidden = at("driving").hidden = camera;
  document.body.classList.toggle("camera", camera);
  if (camera) pause(); else onCamera.stop();
}
at("go-live").addEventListener("click", () => turn(true));
at("go-animate").addEventListener("click", () => turn(false));

// The pop-out: nothing but the picture, drawn by the window that opened it.
if (new URLSearchParams(location.search).has("clean")) {
  document.body.replaceChildren(Object.assign(document.createElement("canvas"), { id: "clean" }));
  document.body.classList.add("clean");
} else try {
  state = await (await ask("/api/state")).json();
  for (const name of CHOICES) at(name).replaceChildren(...state.words[name].map((word) => new Option(word)));
  at("engine").textContent = state.engine;
  reset();
} catch (error) { complain(error); }
