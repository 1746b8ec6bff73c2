// The page of `fomm web`: its controls, previews, jobs and tabs.

import { ask, at, complain, follow, pace, post, upload } from "/page/api.js";
import { behind } from "/page/behind.js";
import { camera } from "/page/camera.js";
import { cropper } from "/page/crop.js";
import { drives } from "/page/drives.js";
import { live } from "/page/live.js";
import { motions } from "/page/motion.js";
import { options } from "/page/options.js";
import { gallery } from "/page/results.js";

const SLIDERS = ["motion-scale", "head", "expression", "smooth", "detail", "pin", "feather"];
const CHOICES = ["mode", "loop", "lock", "layout", "format", "clamp", "mark", "badge", "colour-match", "extend"];
const TEXTS = ["crop-source", "crop-driving", "anchor", "weights", "size", "max-size", "face", "background"];
const CHECKS = ["adapt-scale", "allow-damaged", "crop-json", "paste-back"];
const PIN = "0.2"; // where nobody says
let state, job;
const chosen = { source: null, driving: null };

// ------------------------------------------------------------------------------------------------------ controls

function settings() {
  const all = { audio: at("audio").checked ? "driving" : "none", crf: +at("crf").value };
  for (const name of SLIDERS) all[name] = +at(name).value;
  for (const name of [...CHOICES, ...TEXTS]) all[name] = at(name).value.trim();
  for (const name of CHECKS) all[name] = at(name).checked;
  all.set = onOptions.said();
  Object.assign(all, onBehind.said());
  if (pasted()) {
    all.drive = onDrives.said();
    all.pin = at("pin").value === PIN ? "" : at("pin").value;
    if (!state.holds) Object.assign(all, { pin: "0", detail: 0 }); // nothing to hold borders by
  } else for (const name of ["pin", "feather", "colour-match", "extend"]) all[name] = state.defaults[name];
  if (chosen.driving?.kind === "motion") all.layout = "result";
  if (!at("trim").hidden) {
    all.start = at("start").value;
    all.end = +at("end").value < +at("end").max ? at("end").value : "";
  }
  return all;
}

const pasted = () => at("paste-back").checked || at("face").value.trim() !== "";

function reset() {
  const wanted = { ...state.defaults, pin: PIN };
  for (const name of [...SLIDERS, ...CHOICES, ...TEXTS.filter((each) => each !== "weights"), "crf"]) at(name).value = wanted[name];
  for (const name of CHECKS) at(name).checked = wanted[name];
  at("audio").checked = wanted.audio === "driving";
  at("start").value = 0;
  at("end").value = at("end").max;
  onOptions.offer(state.options);
  onDrives.forget();
  told();
  for (const side of ["source", "driving"]) crops[side].draw();
}

function told() {
  for (const name of SLIDERS) document.querySelector(`output[for=${name}]`).textContent = (+at(name).value).toFixed(2);
  for (const name of ["start", "end"]) document.querySelector(`output[for=${name}]`).textContent = `${(+at(name).value).toFixed(2)} s`;
  at("pasted").hidden = !pasted();
  onBehind.told();
  for (const name of ["pin", "detail"]) at(name).disabled = !state.holds;
  at("frame-told").textContent = `${+at("frame").value + 1} of ${+at("frame").max + 1}`;
  mark();
}

// What these weights can do; of the controls only theirs change with them.
async function know() {
  const first = !state;
  state = await (await ask(`/api/state?weights=${encodeURIComponent(at("weights").value)}`)).json();
  for (const each of first ? CHOICES : ["mode"]) at(each).replaceChildren(...state.words[each].map((word) => new Option(word)));
  at("engine").textContent = state.engine;
  for (const side of ["source", "driving"]) offer(side);
  if (first) return reset();
  at("mode").value = state.defaults.mode;
  at("adapt-scale").checked = state.defaults["adapt-scale"];
  onOptions.offer(state.options);
  told();
  for (const side of ["source", "driving"]) crops[side].draw();
}

const aspect = () => state.size[1] / state.size[0];
const crops = { source: cropper("source", aspect), driving: cropper("driving", aspect) };

// ------------------------------------------------------------------------------------------------------- preview

// One question at a time; of those that come meanwhile the newest is asked next.
let asking = false, again = false, timer, still = null;

function preview() {
  clearTimeout(timer);
  timer = setTimeout(look, 60);
}

async function look() {
  if (!chosen.source || !chosen.driving) return;
  if (state.clips && chosen.source.kind === "clip") {
    at("preview").removeAttribute("src");
    at("preview").hidden = at("scrub").hidden = true;
    return warn(["A clip moves as a whole, each frame in its own picture: there is no preview of it."]);
  }
  if (asking) { again = true; return; }
  asking = true;
  at("view").setAttribute("aria-busy", "true");
  try {
    const answer = await post("/api/preview", { ...pair(), frame: +at("frame").value });
    still = JSON.parse(answer.headers.get("X-Fomm-Still"));
    const old = at("preview").src;
    at("preview").src = URL.createObjectURL(await answer.blob());
    if (old.startsWith("blob:")) URL.revokeObjectURL(old);
    for (const side of ["source", "driving"]) crops[side].told(still[`crop_${side}`]);
    onDrives.offer(still.faces.length);
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

const pair = () => ({ source: chosen.source.id, driving: chosen.driving.id, settings: settings() });

// On the strip: what is left out, the frame at hand, and the frame that stands for the portrait's pose.
function mark() {
  const { rate, duration } = chosen.driving || {};
  if (!duration) return;
  const begin = +at("start").value, share = (seconds) => `${100 * Math.min(1, seconds / duration)}%`;
  at("cut-left").style.width = share(begin);
  at("cut-right").style.width = share(duration - +at("end").value);
  at("now").style.left = share(begin + (+at("frame").value + 0.5) / rate);
  at("anchor-mark").hidden = still?.anchor == null;
  if (still?.anchor == null) return;
  at("anchor-mark").style.left = share(begin + (still.anchor + 0.5) / rate);
  at("anchor-told").textContent = `Anchor: frame ${still.anchor + 1}, pose distance ${still.pose_distance.toFixed(2)}`;
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
  if (!result) made.pause();
}

// --------------------------------------------------------------------------------------------------------- files

async function take(side, file, name) {
  const drop = at(side).querySelector(".drop");
  drop.classList.add("busy");
  complain(null);
  try { use(side, await upload(file, name)); } catch (error) { complain(error); }
  drop.classList.remove("busy");
}

function use(side, file) {
  const card = at(side), image = card.querySelector("img"), video = card.querySelector("video");
  chosen[side] = file;
  const clip = file.kind === "clip" && video;
  if (side === "driving") {
    still = null;
    at("frame").value = at("start").value = 0;
    at("start").max = at("end").max = file.duration || 0;
    at("end").value = at("end").max; // after max, which bounds it
    at("trim").hidden = at("strip").hidden = !clip || !file.duration;
    if (!at("strip").hidden) at("strip-picture").src = `/api/files/${file.id}/strip`;
    if (at("anchor").value !== "first") at("anchor").value = "auto"; // a frame's number means nothing in another clip
    onMotion.look();
    onDrives.know(file);
  } else {
    onDrives.forget();
    onBehind.forget();
    onCamera.change(file);
  }
  crops[side].use(file);
  card.querySelector(".faces").disabled = !file.width;
  if (clip) { video.src = `/api/files/${file.id}`; video.load(); }
  if (video) video.hidden = !clip;
  image.hidden = Boolean(clip) || file.kind === "motion";
  if (!image.hidden) image.src = `/api/files/${file.id}/picture`;
  card.querySelector(".drop p").hidden = file.kind !== "motion";
  if (file.kind === "motion") card.querySelector(".drop p").textContent = "A motion file";
  const size = file.width ? `${file.width} × ${file.height}` : "";
  const length = file.frames ? `${file.frames} frames` : "";
  card.querySelector(".told").textContent = [file.name, size, length].filter(Boolean).join(" · ");
  at("run").disabled = !(chosen.source && chosen.driving) || Boolean(job);
  show("preview");
  preview();
}

// People to move, and who or what may move them; first those that suit these weights.
function offer(side) {
  const own = state.examples.filter((each) => (each.kind === "picture") === (side === "source"));
  const named = (each) => each.name.replace(/(\.motion)?\.\w+$/, each.kind === "motion" ? ", a motion file" : "");
  at(side).querySelector(".example").replaceChildren(new Option("Examples", ""), ...own.map((each) => new Option(named(each), each.id)));
}

for (const side of ["source", "driving"]) {
  const card = at(side), drop = card.querySelector(".drop");
  card.querySelector("input").addEventListener("change", (event) => {
    if (event.target.files[0]) take(side, event.target.files[0]);
    event.target.value = "";
  });
  card.querySelector(".example").addEventListener("change", (event) => {
    use(side, state.examples.find((each) => each.id === event.target.value));
    event.target.value = "";
  });
  card.querySelector(".camera").addEventListener("click", () => camera(side === "source" ? "picture" : "clip", (blob, name) => take(side, blob, name)));
  card.querySelector(".faces").addEventListener("click", () => crops[side].faces());
  card.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  card.addEventListener("dragleave", () => drop.classList.remove("over"));
  card.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files[0]) take(side, event.dataTransfer.files[0]);
  });
  // A clip that this browser cannot play shows its first frame.
  card.querySelector("video")?.addEventListener("error", () => {
    if (!chosen.driving) return;
    card.querySelector("video").hidden = true;
    card.querySelector("img").hidden = false;
    card.querySelector("img").src = `/api/files/${chosen.driving.id}/picture`;
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
  made.pause();
  const asked = pair(), alike = at("layout").value === "result" && at("loop").value === "none";
  const beside = alike && chosen.driving.kind === "clip" ? chosen.driving : null;
  try {
    job = await (await post("/api/jobs", asked)).json();
  } catch (error) { return complain(error); }
  at("run").disabled = true;
  at("cancel").hidden = at("progress").hidden = false;
  const over = await follow(job, (step) => {
    at("bar").value = step.total ? step.done / step.total : 0;
    at("pace").textContent = pace(step);
  });
  job = null;
  at("run").disabled = false;
  at("cancel").hidden = at("progress").hidden = true;
  if (over.state === "failed") complain(new Error(`${over.error.what} ${over.error.hint}`));
  if (over.state !== "done") return;
  const result = { ...over, beside, start: +(asked.settings.start || 0) };
  made.remember(result);
  made.present(result);
}

// -------------------------------------------------------------------------------------------------------- begin

at("run").addEventListener("click", run);
at("cancel").addEventListener("click", () => job && ask(`/api/jobs/${job.id}`, { method: "DELETE" }).catch(complain));
at("tab-preview").addEventListener("click", () => show("preview"));
at("tab-result").addEventListener("click", () => show("result"));
at("try").addEventListener("click", () => {
  // The clip begins as the portrait looks, mouth shut.
  at("anchor").value = "first";
  use("source", state.examples[0]);
  use("driving", state.examples[1]);
});
function goTo(frame) {
  at("frame").value = frame;
  const video = at("driving").querySelector("video"), { rate } = chosen.driving;
  if (rate && !video.hidden) video.currentTime = +at("start").value + (+at("frame").value + 0.5) / rate;
  told();
  preview();
}
at("frame").addEventListener("input", () => goTo(at("frame").value));
at("strip").addEventListener("click", (event) => {
  const edges = at("strip").getBoundingClientRect(), { rate, duration } = chosen.driving;
  goTo(Math.floor(((event.clientX - edges.left) / edges.width * duration - +at("start").value) * rate));
});
for (const name of ["start", "end"]) {
  at(name).addEventListener("input", () => {
    if (+at("start").value > +at("end").value - 0.1) at(name).value = name === "start" ? +at("end").value - 0.1 : +at("start").value + 0.1;
    told();
  });
  at(name).addEventListener("change", () => { still = null; at("frame").value = 0; preview(); });
}
at("here").addEventListener("click", () => {
  const row = at("frame").value;
  if (![...at("anchor").options].some((each) => each.value === row)) at("anchor").add(new Option(`frame ${+row + 1}`, row));
  at("anchor").value = row;
  preview();
});
at("controls").addEventListener("submit", (event) => event.preventDefault());
at("controls").addEventListener("reset", (event) => { event.preventDefault(); reset(); preview(); });
at("controls").addEventListener("input", (event) => {
  if (event.target.id === "weights") return;
  told();
  if (!at("live").hidden) return onCamera.steer();
  show("preview");
  preview();
});
let picked = "", fetching = null;
at("weights").addEventListener("change", async () => {
  const option = at("weights").selectedOptions[0], wanted = at("weights").value;
  onCamera.stop();
  complain(null);
  at("engine").textContent = "Loading…";
  try {
    if (fetching) await ask(`/api/jobs/${fetching.id}`, { method: "DELETE" }); // another choice gives up the one before
    if (option.dataset.away) await download(wanted);
    if (at("weights").value !== wanted) return;
    delete option.dataset.away;
    await know();
    picked = wanted;
    preview();
  } catch (error) {
    complain(error);
    if (at("weights").value !== wanted) return;
    at("weights").value = picked;
    at("engine").textContent = state.engine;
  }
});

// Weights that are not on the server's machine yet.
async function download(name) {
  fetching = await (await post("/api/weights", { weights: name })).json();
  const over = await follow(fetching, (step) => { at("engine").textContent = pace(step); });
  fetching = null;
  if (over.state === "failed") throw new Error(`${over.error.what} ${over.error.hint}`);
}

const onOptions = options();
const onDrives = drives({ change: preview });
const onBehind = behind({ change: () => { told(); preview(); } });
const made = gallery({ warn, show });
const onCamera = live({ settings, complain, size: () => state.size, source: () => chosen.source });
const onMotion = motions({
  driving: () => chosen.driving,
  weights: () => at("weights").value,
  use: (file) => { use("driving", file); turn("animate"); },
});
function turn(tab) {
  for (const each of ["animate", "live", "motion"]) at(`go-${each}`).setAttribute("aria-pressed", each === tab);
  at("live").hidden = tab !== "live";
  at("motion").hidden = tab !== "motion";
  at("stage").hidden = tab !== "animate";
  at("source").hidden = at("controls").hidden = tab === "motion";
  at("driving").hidden = tab === "live";
  document.body.dataset.tab = tab;
  if (tab !== "animate") made.pause();
  if (tab !== "live") onCamera.stop();
  if (tab === "motion") onMotion.look();
  for (const side of ["source", "driving"]) crops[side].draw();
}
for (const tab of ["animate", "live", "motion"]) at(`go-${tab}`).addEventListener("click", () => turn(tab));

async function begin() {
  const known = await (await ask("/api/weights")).json(), here = known.weights.filter((each) => each.offered && each.name !== known.used);
  const named = (each) => `${each.name}: ${each.domain}${each.here ? "" : ", to be downloaded"}`;
  at("weights").replaceChildren(new Option(known.used, ""), ...here.map((each) => {
    const option = new Option(named(each), each.name);
    if (!each.here) option.dataset.away = "yes";
    return option;
  }));
  at("which").hidden = !here.length;
  await know();
  for (const each of await (await ask("/api/jobs")).json()) {
    if (each.file && each.motion) onMotion.take({ ...each, id: each.file });
    else if (each.file) made.remember(each);
  }
}

// The pop-out: nothing but the picture, drawn by the window that opened it.
if (new URLSearchParams(location.search).has("clean")) {
  document.body.replaceChildren(Object.assign(document.createElement("canvas"), { id: "clean" }));
  document.body.classList.add("clean");
} else begin().catch(complain);
