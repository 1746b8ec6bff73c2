// The box of a picture that the network sees: dragged, sized at its corner, moved by the arrow keys, or a face clicked.

import { at, ask, complain, post } from "/page/api.js";

const SMALLEST = 24;

// side: "source" or "driving"; aspect(): width over height of the network's frames.
export function cropper(side, aspect) {
  const drop = at(side).querySelector(".drop"), text = at(`crop-${side}`), box = document.createElement("div");
  let file = null, seen = null, shown = [];
  box.className = "box";
  box.tabIndex = 0;
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", "Crop box: arrow keys move it, plus and minus size it");
  box.append(Object.assign(document.createElement("span"), { className: "corner" }));
  drop.append(box);

  // Where the picture lies in its frame, as object-fit: contain has it.
  function fit() {
    const scale = Math.min(drop.clientWidth / file.width, drop.clientHeight / file.height);
    return { scale, left: (drop.clientWidth - scale * file.width) / 2, top: (drop.clientHeight - scale * file.height) / 2 };
  }

  function current() {
    const words = text.value.trim(), numbers = words.split(",").map(Number);
    if (numbers.length === 4 && numbers.every(Number.isFinite)) return numbers;
    return seen;
  }

  function lay(element, [x, y, width, height]) {
    const { scale, left, top } = fit();
    Object.assign(element.style, { left: `${left + x * scale}px`, top: `${top + y * scale}px`, width: `${width * scale}px`, height: `${height * scale}px` });
  }

  function draw() {
    const edges = file?.width ? current() : null;
    box.hidden = !edges;
    box.classList.toggle("own", /\d/.test(text.value));
    if (edges) lay(box, edges);
    for (const { element, edges } of shown) lay(element, edges);
  }

  function set([x, y, width], done = true) {
    width = Math.max(SMALLEST, Math.min(width, file.width, file.height * aspect()));
    const height = width / aspect();
    x = Math.max(0, Math.min(x, file.width - width));
    y = Math.max(0, Math.min(y, file.height - height));
    text.value = [x, y, width, height].map(Math.round).join(",");
    draw();
    if (done) text.dispatchEvent(new Event("input", { bubbles: true }));
  }

  box.addEventListener("pointerdown", (event) => {
    const begun = current(), { scale } = fit(), sizes = event.target !== box;
    event.preventDefault();
    box.focus();
    box.setPointerCapture(event.pointerId);
    const move = (at) => {
      const dx = (at.clientX - event.clientX) / scale, dy = (at.clientY - event.clientY) / scale;
      set(sizes ? [begun[0], begun[1], begun[2] + Math.max(dx, dy * aspect())] : [begun[0] + dx, begun[1] + dy, begun[2]], false);
    };
    box.addEventListener("pointermove", move);
    box.addEventListener("lostpointercapture", () => {
      box.removeEventListener("pointermove", move);
      text.dispatchEvent(new Event("input", { bubbles: true }));
    }, { once: true });
  });
  box.addEventListener("keydown", (event) => {
    const step = Math.max(1, file.width / 50), by = { ArrowLeft: [-step, 0, 0], ArrowRight: [step, 0, 0], ArrowUp: [0, -step, 0], ArrowDown: [0, step, 0], "+": [0, 0, step], "-": [0, 0, -step] }[event.key];
    if (!by) return;
    event.preventDefault();
    set(current().map((value, n) => value + (by[n] || 0)));
  });
  text.addEventListener("input", draw);
  new ResizeObserver(draw).observe(drop);

  async function faces() {
    forget();
    complain(null);
    try {
      const found = (await (await post("/api/faces", { file: file.id, weights: at("weights").value })).json()).faces;
      const several = side === "source" && at("paste-back").checked; // then any number of them may move
      if (found.length === 1 && !several) return set(found[0]);
      shown = found.map((edges, n) => {
        const element = Object.assign(document.createElement("button"), { type: "button", className: "face", ariaLabel: `Face ${n + 1} of ${found.length}` });
        element.addEventListener("click", () => {
          if (several) return turn(element, n);
          forget();
          set(edges);
        });
        if (several) element.setAttribute("aria-pressed", at("face").value.split(",").includes(String(n)));
        drop.append(element);
        return { element, edges };
      });
      draw();
      shown[0].element.focus();
    } catch (error) { complain(error); }
  }

  // One face more or less of those that are put back.
  function turn(element, n) {
    const chosen = new Set(at("face").value.split(",").filter((each) => /^\d+$/.test(each)).map(Number));
    if (!chosen.delete(n)) chosen.add(n);
    element.setAttribute("aria-pressed", chosen.has(n));
    text.value = "auto";
    at("face").value = [...chosen].sort((a, b) => a - b).join(",");
    at("face").dispatchEvent(new Event("input", { bubbles: true }));
  }

  function forget() {
    for (const { element } of shown) element.remove();
    shown = [];
  }

  return {
    draw,
    faces,
    // Another file: a box of the one before means nothing in it.
    use(next) {
      forget();
      if (file && /\d/.test(text.value)) text.value = "auto";
      file = next;
      seen = null;
      draw();
    },
    // What the network sees of it, where a word says so.
    told(edges) {
      seen = edges;
      draw();
    },
  };
}
