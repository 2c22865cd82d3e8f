// How each run was made: its configuration, digests and commands.

import { runs } from "./data.js";
import { byId, h, save } from "./dom.js";

export function provenance() {
  const list = (entries) => h("dl", {}, Object.entries(entries).map(([name, value]) =>
    [h("dt", {}, name), h("dd", {}, typeof value === "string" ? value : JSON.stringify(value))]).flat());
  byId("provenance").append(...runs.flatMap((own) => {
    const { again, changed, config, default: rest, digests, runs: calls } = own.provenance;
    const saveConfig = () => save("config.json", JSON.stringify(config, null, 2), "application/json");
    const checkpoints = Object.fromEntries(own.networks.map((one) => [one.name, one.checkpoint]));
    return [
      h("h3", {}, own.name),
      h("p", {}, Object.keys(changed).length
        ? "Configuration values that differ from the default:"
        : "The configuration is the default."),
      list(changed),
      h("details", {}, h("summary", {}, "Other configuration values, which are the default"), list(rest)),
      h("details", {}, h("summary", {}, "Digests of code and inputs, and SHA-256 of the networks"),
        list({ ...digests, ...checkpoints })),
      h("p", {}, "Command that reproduces this run:"),
      h("pre", { tabindex: 0 }, again),
      config ? h("p", {}, h("button", { type: "button", onclick: saveConfig }, "Save its configuration")) : "",
      ...calls.flatMap((call) => [
        h("p", {}, `Command that ran the rules ${call.rules}:`),
        h("pre", { tabindex: 0 }, call.command),
        list({ commit: commitWords(call), ...call.versions }),
      ]),
      calls.length ? "" : h("p", {}, "The commands that made this run are unknown: it has no provenance record."),
    ];
  }));
}

function commitWords({ commit, changed }) {
  if (commit === null) return "unknown: the project was not a git checkout";
  return changed.length ? `${commit}, with changes to ${changed.join(", ")}` : commit;
}
