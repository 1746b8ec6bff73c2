// The Live tab: the camera drives the portrait. One WebSocket, one frame in flight, the newest wins.

import { at, openCamera } from "/page/api.js";

const HEADER = 12;
let socket, stream, recorder, popup, settings, complain, size, busy = false, fresh = false, number = 0, seen = 0, sent = 0, shown = [], waits = [];

const camera = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
// What is read back from a canvas is quickest on one that the processor draws.
const own = at("own").getContext("2d", { willReadFrequently: true }), out = at("live-out").getContext("2d");

export function live(given) {
  ({ settings, complain, size } = given);
  at("live-start").addEventListener("click", () => (socket ? stop() : start(given.source())));
  at("anchor-now").addEventListener("click", countdown);
  at("record").addEventListener("click", record);
  at("pop-out").addEventListener("click", () => { popup = window.open("/?clean=1", "fomm-clean", "width=512,height=512"); });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input:not([type=range]), select, textarea");
    if (socket && !typing && event.key.toLowerCase() === "x" && !event.ctrlKey && !event.metaKey) countdown();
  });
  return { steer: () => tell({ type: "controls", settings: wishes() }), stop };
}

function wishes() {
  const all = settings();
  return Object.fromEntries(["motion-scale", "head", "expression", "smooth", "lock", "clamp", "mode", "adapt-scale", "crop-source", "weights", "badge"].map((name) => [name, all[name]]));
}

const tell = (message) => socket?.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));

async function start(source) {
  complain(null);
  if (!source) return complain(new Error("Choose a portrait first."));
  try { stream = await openCamera(); } catch (error) { return complain(error); }
  camera.srcObject = stream;
  await camera.play();
  [number, seen, sent, shown, waits, busy] = [0, 0, 0, [], [], false];
  [own.canvas.height, own.canvas.width] = size(); // as the network sees it: nothing is encoded that nobody looks at
  at("overlay").src = `/api/files/${source.id}/picture`;
  socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/api/live`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = hear;
  socket.onclose = stop;
  socket.source = source.id;
  at("live-start").textContent = "Stop";
  at("anchor-now").disabled = at("record").disabled = at("pop-out").disabled = false;
  camera.requestVideoFrameCallback(look);
}

function stop() {
  if (recorder?.state === "recording") recorder.stop();
  stream?.getTracks().forEach((track) => track.stop());
  const gone = socket;
  socket = stream = null;
  gone?.close();
  at("live-start").textContent = "Start the camera";
  at("anchor-now").disabled = at("record").disabled = at("pop-out").disabled = true;
}

function hear({ data }) {
  if (typeof data !== "string") return paint(data);
  const said = JSON.parse(data);
  if (said.type === "wait") at("live-told").textContent = `Somebody is live already: place ${said.place} in the queue.`;
  if (said.type === "error") complain(new Error(`${said.what} ${said.hint}`));
  if (said.type === "ready") {
    tell({ type: "start", source: socket.source, settings: wishes() });
    socket.ready = true;
  }
}

function look() {
  if (!socket) return;
  seen += 1;
  fresh = true;
  if (!busy) capture();
  camera.requestVideoFrameCallback(look);
}

// The newest picture goes out as soon as the one before is answered; what came in between is passed over.
function capture() {
  fresh = false;
  const captured = performance.now(), { width, height } = own.canvas, zoom = +at("zoom").value;
  const scale = Math.min(camera.videoWidth / width, camera.videoHeight / height) / zoom, [w, h] = [width * scale, height * scale];
  own.save();
  own.imageSmoothingQuality = "medium"; // averages where it shrinks
  if (at("mirror").checked) { own.translate(width, 0); own.scale(-1, 1); }
  own.drawImage(camera, (camera.videoWidth - w) / 2, (camera.videoHeight - h) / 2, w, h, 0, 0, width, height);
  own.restore();
  if (!socket.ready) return;
  busy = true;
  // At once: toBlob would wait until the page has nothing else to do.
  const jpeg = atob(own.canvas.toDataURL("image/jpeg", 0.85).split(",")[1]), message = new Uint8Array(HEADER + jpeg.length);
  const header = new DataView(message.buffer);
  header.setUint32(0, number++, true);
  header.setFloat64(4, captured, true);
  for (let n = 0; n < jpeg.length; n++) message[HEADER + n] = jpeg.charCodeAt(n);
  sent += 1;
  socket.send(message);
}

async function paint(data) {
  busy = false;
  if (fresh && socket) capture(); // first: the server works on while this page paints
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
  if (shown.length > 60) { shown.shift(); waits.shift(); }
  if (shown.length % 5 === 0) {
    const fps = (shown.length - 1) / ((now - shown[0]) / 1000), middle = [...waits].sort((a, b) => a - b)[waits.length >> 1];
    at("live-told").textContent = `${fps.toFixed(1)} fps · ${middle.toFixed(0)} ms · ${Math.round(100 * (1 - sent / seen))} % of frames passed over`;
  }
  at("live-out").dataset.frames = number;
}

function countdown() {
  let left = 3;
  at("overlay").hidden = false;
  const tick = () => {
    at("count").textContent = left || "";
    if (left-- > 0) return setTimeout(tick, 700);
    at("overlay").hidden = true;
    tell({ type: "anchor" });
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
