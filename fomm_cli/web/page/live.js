// The Live tab: the camera drives the portrait. One WebSocket; whenever the server asks, the newest picture goes out.

import { at, openCamera } from "/page/api.js";

const HEADER = 12;
const SOUGHT = 5; // seconds in which the best anchor is looked for
const SPAN = 60; // frames that the pace is told of
let shift = [0, 0], counting, socket, stream, recorder, popup, settings, complain, size, due = false, number = 0, seen = 0, first = 0, sent = 0, said = 0, shown = [], waits = [];

const camera = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
// What is read back from a canvas is quickest on one that the processor draws.
const own = at("own").getContext("2d", { willReadFrequently: true }), out = at("live-out").getContext("2d");

export function live(given) {
  ({ settings, complain, size } = given);
  at("live-start").addEventListener("click", () => (socket ? stop() : start(given.source())));
  at("anchor-now").addEventListener("click", () => countdown(3, 0));
  at("anchor-find").addEventListener("click", () => countdown(0, SOUGHT));
  at("record").addEventListener("click", record);
  at("pop-out").addEventListener("click", () => { popup = window.open("/?clean=1", "fomm-clean", "width=512,height=512"); });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input:not([type=range]), select, textarea");
    if (!socket || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.toLowerCase() === "x") countdown(3, 0);
    if (event.key.toLowerCase() === "f") countdown(0, SOUGHT);
  });
  movable();
  return { steer: () => tell({ type: "controls", settings: wishes() }), stop, change };
}

// Another portrait while the camera runs.
function change(source) {
  if (!socket) return;
  socket.source = source.id;
  at("overlay").src = `/api/files/${source.id}/picture`;
  if (socket.ready) tell({ type: "start", source: source.id, settings: wishes() });
}

// What of the camera is sent: `shift` is from -1 to 1 in both directions of what there is to move.
function movable() {
  const box = at("self"), bounded = (value) => Math.max(-1, Math.min(1, value));
  const move = (dx, dy) => { shift = [bounded(shift[0] + (at("mirror").checked ? -dx : dx)), bounded(shift[1] + dy)]; };
  box.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    box.focus();
    box.setPointerCapture(event.pointerId);
    const drag = ({ movementX, movementY }) => move(-2 * movementX / box.clientWidth, -2 * movementY / box.clientHeight);
    box.addEventListener("pointermove", drag);
    box.addEventListener("lostpointercapture", () => box.removeEventListener("pointermove", drag), { once: true });
  });
  box.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[event.key], zoom = { "+": 0.1, "-": -0.1 }[event.key];
    if (!by && !zoom) return;
    event.preventDefault();
    if (by) move(...by);
    else at("zoom").value = +at("zoom").value + zoom;
  });
}

function wishes() {
  const all = settings();
  return Object.fromEntries(["motion-scale", "head", "expression", "smooth", "lock", "clamp", "mode", "adapt-scale", "crop-source", "weights", "badge", "set"].map((name) => [name, all[name]]));
}

const tell = (message) => socket?.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));

async function start(source) {
  complain(null);
  if (!source) return complain(new Error("Choose a portrait first."));
  try { stream = await openCamera(); } catch (error) { return complain(error); }
  camera.srcObject = stream;
  await camera.play();
  [number, seen, first, sent, shown, waits, due] = [0, 0, 0, 0, [], [], false];
  [own.canvas.height, own.canvas.width] = size(); // as the network sees it: nothing is encoded that nobody looks at
  at("overlay").src = `/api/files/${source.id}/picture`;
  socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/api/live`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = hear;
  socket.onclose = stop;
  socket.source = source.id;
  at("live-start").textContent = "Stop";
  at("anchor-now").disabled = at("anchor-find").disabled = at("record").disabled = at("pop-out").disabled = false;
  camera.requestVideoFrameCallback(look);
}

function stop() {
  if (recorder?.state === "recording") recorder.stop();
  stream?.getTracks().forEach((track) => track.stop());
  clearTimeout(counting);
  at("count").textContent = "";
  at("overlay").hidden = true;
  const gone = socket;
  socket = stream = null;
  gone?.close();
  at("live-start").textContent = "Start the camera";
  at("anchor-now").disabled = at("anchor-find").disabled = at("record").disabled = at("pop-out").disabled = true;
}

function hear({ data }) {
  if (typeof data !== "string") return paint(data);
  const { type, place, what, hint } = JSON.parse(data);
  if (type === "next") ask();
  if (type === "wait") at("live-told").textContent = `Somebody is live already: place ${place} in the queue.`;
  if (type === "error") complain(new Error(`${what} ${hint}`));
  if (type === "ready") {
    at("live-told").textContent = "";
    tell({ type: "start", source: socket.source, settings: wishes() });
    socket.ready = true;
    ask();
  }
}

// The server wants a picture: the camera's next. Others are not looked at.
function ask() {
  due = true;
  camera.requestVideoFrameCallback(look);
}

function look(now, { captureTime, presentedFrames }) {
  if (!socket) return;
  first ||= presentedFrames;
  seen = presentedFrames - first + 1;
  draw();
  if (due) send(captureTime ?? now);
  if (!socket.ready) camera.requestVideoFrameCallback(look); // who waits sees themselves
}

// What the network will see of the camera's picture.
function draw() {
  const { width, height } = own.canvas, zoom = +at("zoom").value;
  const scale = Math.min(camera.videoWidth / width, camera.videoHeight / height) / zoom, [w, h] = [width * scale, height * scale];
  own.save();
  own.imageSmoothingQuality = scale > 2 ? "medium" : "low"; // medium averages where it shrinks
  if (at("mirror").checked) { own.translate(width, 0); own.scale(-1, 1); }
  const [left, top] = [(camera.videoWidth - w) / 2 * (1 + shift[0]), (camera.videoHeight - h) / 2 * (1 + shift[1])];
  own.drawImage(camera, left, top, w, h, 0, 0, width, height);
  own.restore();
}

function send(taken) {
  due = false;
  // At once: toBlob would wait until the page has nothing else to do.
  const jpeg = atob(own.canvas.toDataURL("image/jpeg", 0.85).split(",")[1]), message = new Uint8Array(HEADER + jpeg.length);
  const header = new DataView(message.buffer);
  header.setUint32(0, number++, true);
  header.setFloat64(4, taken, true);
  for (let n = 0; n < jpeg.length; n++) message[HEADER + n] = jpeg.charCodeAt(n);
  sent += 1;
  socket.send(message);
}

async function paint(data) {
  const captured = new DataView(data).getFloat64(4, true);
  const picture = await createImageBitmap(new Blob([new Uint8Array(data, HEADER)], { type: "image/jpeg" }));
  if (out.canvas.width !== picture.width || out.canvas.height !== picture.height) [out.canvas.width, out.canvas.height] = [picture.width, picture.height];
  out.drawImage(picture, 0, 0);
  const clean = popup && !popup.closed && popup.document.getElementById("clean");
  if (clean) {
    [clean.width, clean.height] = [picture.width, picture.height];
    clean.getContext("2d").drawImage(picture, 0, 0);
  }
  const now = performance.now();
  shown.push(now);
  waits.push(now - captured);
  if (shown.length > SPAN) { shown.shift(); waits.shift(); }
  if (shown.length > 4 && now - said > 500) { // a line laid out anew with every frame would cost more than the frame
    said = now;
    const fps = (shown.length - 1) / ((now - shown[0]) / 1000), middle = [...waits].sort((a, b) => a - b)[waits.length >> 1];
    at("live-pace").textContent = `${fps.toFixed(1)} fps · ${middle.toFixed(0)} ms · ${Math.round(100 * (1 - sent / seen))} % of frames passed over`;
  }
  at("live-out").dataset.frames = number;
}

// The portrait over the camera's picture: so many seconds until the anchor is taken, or in which the best one is sought.
function countdown(before, sought) {
  clearTimeout(counting);
  let left = before || sought;
  at("overlay").hidden = false;
  if (sought) tell({ type: "anchor", seconds: sought });
  const tick = () => {
    at("count").textContent = left || "";
    if (left-- > 0) return counting = setTimeout(tick, sought ? 1000 : 700);
    at("overlay").hidden = true;
    if (!sought) tell({ type: "anchor" });
  };
  tick();
}

function record() {
  if (recorder?.state === "recording") return recorder.stop();
  const parts = [];
  recorder = new MediaRecorder(at("live-out").captureStream(), { mimeType: "video/webm" });
  recorder.ondataavailable = (event) => parts.push(event.data);
  recorder.onstop = () => {
    at("record").textContent = "Record";
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(new Blob(parts)), download: "live.webm" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  recorder.start(1000);
  at("record").textContent = "Stop recording";
}
