// The Motion tab: motions read from clips, looked at, edited, blended, in the words of `fomm motion`.

import { ask, at, complain, copy, follow, pace, post } from "/page/api.js";

const SHOWN = { frames: "Frames", seconds: "Seconds", rate: "Frames a second", reach_px: "Reach, px", speed_px: "Speed, px a second", jitter_px: "Jitter, px", cuts: "Cuts", private: "Movement alone", sound: "Sound", history: "Made by" };
let held = [], current = null, driving, use, weights;

// given: driving(), the clip chosen; use(file), take one as the driving; weights(), the name chosen
export function motions(given) {
  ({ driving, use, weights } = given);
  at("extract").addEventListener("click", extract);
  at("motions").addEventListener("change", () => show(held.find((file) => file.id === at("motions").value)));
  at("apply").addEventListener("click", () => make("edit", { operations: at("operations").value.trim().split(/\s+/).filter(Boolean) }));
  at("operations").addEventListener("keydown", (event) => { if (event.key === "Enter") at("apply").click(); });
  for (const button of document.querySelectorAll("#chips button")) {
    button.addEventListener("click", () => {
      at("operations").value = `${at("operations").value.trim()} ${button.value}`.trim();
      at("operations").focus();
    });
  }
  at("blend").addEventListener("click", () => make("blend", { other: at("other").value, weight: +at("weight").value }));
  at("concat").addEventListener("click", () => make("concat", { other: at("other").value }));
  at("weight").addEventListener("input", () => { at("weight-told").textContent = (+at("weight").value).toFixed(2); });
  at("use-motion").addEventListener("click", () => use(current));
  at("copy-motion").addEventListener("click", () => copy(current.command, at("motion-copied")));
  return { look, take };
}

// What the tab shows when it is opened: the driving, if that is a motion file.
function look() {
  const file = driving();
  at("extract").disabled = file?.kind !== "clip";
  at("extract-of").textContent = file?.kind === "clip" ? `of ${file.name}` : "Choose a clip or a motion file.";
  if (file?.kind === "motion" && !held.some((other) => other.id === file.id)) take(file);
}

function take(file) {
  held = [...held, file];
  const options = () => held.map((each) => new Option(`${each.name} · ${each.frames} frames`, each.id));
  at("motions").replaceChildren(...options());
  at("other").replaceChildren(...options());
  at("motions").value = file.id;
  if (held.length > 1) at("other").value = held[held.length - 2].id;
  show(file);
}

async function show(file) {
  current = file;
  at("motion-work").hidden = false;
  at("save-motion").href = `/api/files/${file.id}?download`;
  at("plot").src = `/api/motion/${file.id}/plot`;
  at("plot").hidden = file.frames < 2;
  at("copy-motion").hidden = !file.command;
  at("motion-copied").textContent = "";
  at("motion-warnings").replaceChildren(...(file.warnings || []).map((said) => Object.assign(document.createElement("li"), { textContent: said })));
  try {
    const told = await (await ask(`/api/motion/${file.id}`)).json();
    at("facts").replaceChildren(...Object.entries(SHOWN).flatMap(([key, name]) => {
      const value = told[key];
      if (value == null || value === false || value.length === 0) return [];
      const text = Array.isArray(value) ? value.join("\n") : value === true ? "yes" : String(value);
      return [Object.assign(document.createElement("dt"), { textContent: name }), Object.assign(document.createElement("dd"), { textContent: text })];
    }));
    complain(null);
  } catch (error) { complain(error); }
}

async function extract() {
  complain(null);
  at("extract").disabled = true;
  try {
    const asked = { clip: driving().id, crop: at("crop-driving").value === "auto" ? "center" : at("crop-driving").value, audio: at("keep-sound").checked ? "embed" : "none", private: at("private").checked, weights: weights() };
    const job = await (await post("/api/motion/extract", asked)).json();
    const over = await follow(job, (told) => { at("extract-told").textContent = pace(told); });
    at("extract-told").textContent = "";
    if (over.state !== "done") throw new Error(`${over.error.what} ${over.error.hint}`);
    take({ id: over.file, name: over.name, kind: "motion", frames: over.frames, rate: over.rate, command: over.command });
  } catch (error) { complain(error); }
  at("extract").disabled = driving()?.kind !== "clip";
}

async function make(verb, asked) {
  try { take(await (await post(`/api/motion/${verb}`, { motion: current.id, ...asked })).json()); } catch (error) { complain(error); }
}
