// The camera as a source: one picture of it, or ten seconds.

import { at, complain, openCamera } from "/page/api.js";

const SECONDS = 10;
let stream, recorder, timer, taken;

// kind: "picture" or "clip"; `take` gets a blob and its name.
export async function camera(kind, take) {
  complain(null);
  try { stream = await openCamera(); } catch (error) { return complain(error); }
  taken = take;
  at("camera-told").textContent = kind === "clip" ? `Up to ${SECONDS} seconds. Begin as the portrait looks.` : "";
  at("camera-take").textContent = kind === "clip" ? "Record" : "Take the picture";
  at("camera-take").dataset.kind = kind;
  at("camera-view").srcObject = stream;
  at("camera").showModal();
  at("camera-view").play();
}

function close() {
  clearInterval(timer);
  if (recorder?.state === "recording") { recorder.onstop = null; recorder.stop(); }
  recorder = null;
  stream?.getTracks().forEach((track) => track.stop());
  at("camera-view").srcObject = null;
}

at("camera").addEventListener("close", close);
at("camera-cancel").addEventListener("click", () => at("camera").close());
at("camera-take").addEventListener("click", () => {
  if (at("camera-take").dataset.kind === "clip") return record();
  const view = at("camera-view"), canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [view.videoWidth, view.videoHeight];
  canvas.getContext("2d").drawImage(view, 0, 0);
  canvas.toBlob((blob) => { at("camera").close(); taken(blob, "camera.png"); }, "image/png");
});

function record() {
  if (recorder) return recorder.stop();
  const parts = [], begun = performance.now();
  recorder = new MediaRecorder(stream, { mimeType: "video/webm" });
  recorder.ondataavailable = (event) => parts.push(event.data);
  recorder.onstop = () => { at("camera").close(); taken(new Blob(parts), "camera.webm"); };
  recorder.start();
  at("camera-take").textContent = "Stop";
  timer = setInterval(() => {
    const left = SECONDS - (performance.now() - begun) / 1000;
    at("camera-told").textContent = `${Math.max(0, Math.ceil(left))} seconds left`;
    if (left <= 0) recorder?.stop();
  }, 200);
}
