// Which clip drives which face, where several faces of a picture are put back: `fomm animate --drive`.

import { at, complain, upload } from "/page/api.js";

// given: change(), something was chosen
export function drives(given) {
  let known = [], chosen = [];

  const files = () => [new Option("the motion above", ""), ...known.map((file) => new Option(file.name, file.id))];

  function row(n) {
    const line = Object.assign(document.createElement("div"), { className: "row drive" });
    const label = Object.assign(document.createElement("label"), { textContent: `Face ${n + 1}`, htmlFor: `drive-${n}` });
    const select = Object.assign(document.createElement("select"), { id: `drive-${n}` });
    const own = Object.assign(document.createElement("label"), { className: "button", textContent: "Choose…" });
    const input = Object.assign(document.createElement("input"), { type: "file", accept: "video/*,image/gif,.mkv,.safetensors", ariaLabel: `Choose a clip for face ${n + 1}` });
    select.append(...files());
    select.value = chosen[n] || "";
    select.addEventListener("change", () => { chosen[n] = select.value; given.change(); });
    input.addEventListener("change", async () => {
      complain(null);
      try {
        const file = await upload(input.files[0]);
        know(file);
        chosen[n] = file.id;
        draw(chosen.length);
        given.change();
      } catch (error) { complain(error); }
    });
    own.append(input);
    line.append(label, select, own);
    return line;
  }

  function draw(count) {
    chosen = Array.from({ length: count }, (_, n) => chosen[n] || "");
    at("drive").replaceChildren(...(count > 1 ? chosen.map((_, n) => row(n)) : []));
  }

  function know(file) {
    if (known.some((each) => each.id === file.id)) return;
    known = [...known, file];
    for (const select of at("drive").querySelectorAll("select")) select.add(new Option(file.name, file.id));
  }

  return {
    know,
    // So many faces are put back.
    offer(count) { if (count !== chosen.length) draw(count); },
    forget: () => draw(0),
    // Faces with clips of their own, as N=ID.
    said: () => chosen.flatMap((id, n) => (id ? [`${n}=${id}`] : [])).join(" "),
  };
}
