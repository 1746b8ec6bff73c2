// Options of these weights' family, by the schema the server gives of them: `fomm animate --set`.

import { at } from "/page/api.js";

export function options() {
  let known = {};

  function control(name, { enum: words, type, minimum, maximum, anyOf = [], default: usual }) {
    if (words) {
      const select = document.createElement("select");
      select.append(...words.map((word) => new Option(word)));
      select.value = usual;
      return select;
    }
    const input = document.createElement("input");
    const word = anyOf.find((each) => each.const)?.const;  // beside numbers
    if (type === "boolean") Object.assign(input, { type: "checkbox", checked: usual });
    else if (word) Object.assign(input, { type: "text", placeholder: `a number, or ${word}`, value: usual ?? "" });
    else Object.assign(input, { type: "number", min: minimum ?? "", max: maximum ?? "", step: "any", value: usual });
    return input;
  }

  return {
    // Anew where they are others.
    offer(schema) {
      known = schema;
      at("set").replaceChildren(...Object.entries(schema).map(([name, each]) => {
        const row = document.createElement("div"), input = control(name, each), id = `set-${name}`;
        const label = Object.assign(document.createElement("label"), { htmlFor: id, textContent: each.title, title: each.description });
        input.id = id;
        if (input.type === "checkbox") label.className = "check";
        if (input.type === "checkbox") label.prepend(input);
        row.append(label);
        if (input.type !== "checkbox") row.append(input);
        return row;
      }));
    },
    // Those that are not as usual, as KEY=VALUE.
    said() {
      return Object.entries(known).flatMap(([name, each]) => {
        const input = at(`set-${name}`), value = input.type === "checkbox" ? String(input.checked) : input.value;
        return value === "" || value === String(each.default) ? [] : [`${name}=${value}`];
      }).join(" ");
    },
  };
}
