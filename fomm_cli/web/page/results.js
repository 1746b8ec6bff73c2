// What was made: played beside its motion, kept in a list, removed.

import { ask, at, complain, copy } from "/page/api.js";

let results = [], command = "";

// given: warn(sentences), show("result")
export function gallery(given) {
  at("toggle").addEventListener("click", () => (at("result").paused ? play() : pause()));
  at("copy").addEventListener("click", () => copy(command, at("copied")));
  return { remember: (result) => remember(result, given), present: (result) => present(result, given), pause };
}

// The newest first; what an earlier visit made is still there, without the clip beside.
function remember(result, given) {
  results = [result, ...results];
  at("history").hidden = false;
  at("results").replaceChildren(...results.map((each) => {
    const row = document.createElement("li"), name = Object.assign(document.createElement("button"), { type: "button", textContent: each.name, className: "link" });
    const gone = Object.assign(document.createElement("button"), { type: "button", textContent: "Remove", ariaLabel: `Remove ${each.name}` });
    name.addEventListener("click", () => present(each, given));
    gone.addEventListener("click", async () => {
      await ask(`/api/files/${each.file}`, { method: "DELETE" }).catch(complain);
      results = results.filter((other) => other !== each);
      row.remove();
      at("history").hidden = !results.length;
    });
    row.append(name, Object.assign(document.createElement("span"), { textContent: `${each.frames} frames in ${each.seconds.toFixed(1)} s` }), gone);
    return row;
  }));
}

function present(over, given) {
  command = over.command;
  const address = `/api/files/${over.file}`, picture = /\.(gif|webp|apng)$/.test(over.name);
  at("result").hidden = picture;
  at("moving").hidden = !picture;
  if (picture) { at("moving").src = address; at("result").removeAttribute("src"); } else at("result").src = address;
  at("beside").parentElement.hidden = !over.beside;
  at("beside").dataset.start = over.start || 0;
  if (over.beside) at("beside").src = `/api/files/${over.beside.id}`; else at("beside").removeAttribute("src");
  at("save").href = `${address}?download`;
  at("save").download = over.name;
  at("save-crop").hidden = !over.crop;
  at("save-crop").href = `/api/files/${over.crop}?download`;
  at("copied").textContent = "";
  at("tab-result").disabled = false;
  at("empty").hidden = true;
  given.warn(over.warnings || []);
  given.show("result");
  play();
}

// The result leads, the motion follows in step.
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
  const there = at("result").currentTime + +at("beside").dataset.start;
  if (at("beside").getAttribute("src") && Math.abs(there - at("beside").currentTime) > 0.08) at("beside").currentTime = there;
});
