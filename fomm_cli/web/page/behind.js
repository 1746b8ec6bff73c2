// What stands behind the portrait, and what of it stands before that: `fomm animate --background --mask --matte`.

import { at, complain, upload } from "/page/api.js";

// given: change(), something was chosen
export function behind(given) {
  const backgrounds = {}; // pictures that were sent: ids by their names

  const kept = () => at("background").value.trim() === "keep";

  function taken(input, use) {
    at(input).addEventListener("change", async (event) => {
      const [file] = event.target.files;
      if (!file) return;
      event.target.value = "";
      complain(null);
      try { use(await upload(file)); given.change(); } catch (error) { complain(error); }
    });
  }
  taken("background-file", (file) => {
    if (!backgrounds[file.name]) at("backgrounds").append(new Option(file.name));
    backgrounds[file.name] = file.id;
    at("background").value = file.name;
  });
  taken("mask", (file) => {
    at("matte").add(new Option(file.name, file.id));
    at("matte").value = file.id;
  });

  return {
    said() {
      const background = at("background").value.trim(), subject = kept() ? "" : at("matte").value;
      const matte = subject === "motion" ? subject : "";
      return { background: backgrounds[background] || background, matte, mask: matte ? "" : subject };
    },
    told() { at("cut").hidden = kept(); },
    // A mask is of one portrait.
    forget() {
      for (const option of [...at("matte").options].slice(2)) option.remove();
      at("matte").value = "motion";
    },
  };
}
