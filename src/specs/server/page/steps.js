// One step of the list: a line about it, the chosen candidate, and all candidates once it is open.

const MOST_ROWS = 200; // distinct candidates of a step that are shown

/**
 * The element of a step. Closed it shows the chosen candidate, or nothing but its heading if the step was thrown away.
 * `scale`: the log-ratio that fills half a cell; `idx`: its place in the list.
 */
function stepElement(step, scale, open, idx, toggle) {
  const aside = setAside(step);
  const fate = step.accepted ? null : (aside ?? (step.chosen === null ? "no candidate chosen" : "thrown away"));
  const leads = step.accepted && step.kept?.length > 1 ? `leads ${step.kept.length} traces` : null;
  const n = step.candidates.length;
  const groups = distinct(step);
  const name = [`Step ${step.step_idx + 1}`, inThinking(step) ? "thinking" : null, step.writer, fate].filter(Boolean).join(", ");
  const facts = [
    time(step.seconds.wall),
    groups.length < n ? `${groups.length} distinct` : null,
    number(step.ess) === null ? null : `effective ${fixed(step.ess, 1)}`,
    leads,
  ];
  const shown = open ? groups.slice(0, MOST_ROWS) : step.accepted ? groups.filter((group) => group.chosen) : [];
  return h(
    "section",
    {
      class: ["step", `by-${step.writer}`, inThinking(step) ? "thinking" : "", step.accepted ? "" : "thrown", open ? "open" : ""].filter(Boolean).join(" "),
      role: "listitem", "aria-label": name, "aria-posinset": idx + 1, "aria-setsize": -1,
    },
    h(
      "div",
      { class: "head" },
      h("b", {}, step.step_idx + 1),
      h("span", { class: step.writer }, step.writer),
      fate && h("span", { class: "fate" }, fate),
      h("span", { class: "facts" }, facts.filter(Boolean).join(" · ")),
      h(
        "button",
        { type: "button", class: "fold", "aria-expanded": String(open), "aria-label": `${name}: ${many(n, "candidate")}`, onclick: toggle },
        many(n, "candidate"),
      ),
    ),
    shown.length ? h("div", { role: "table", "aria-label": `Candidates of step ${step.step_idx + 1}` }, shown.map((group) => row(step, group, scale, open))) : null,
    open && groups.length > MOST_ROWS ? h("p", { class: "more" }, `${count(groups.length - MOST_ROWS)} more candidates are not shown.`) : null,
    open ? h("p", { class: "more" }, summary(step)) : null,
  );
}

function row(step, group, scale, open) {
  const { lead, idxs, probability, chosen, kept } = group;
  const found = ratio(step, lead);
  const share = within(Math.abs(found) / scale, 0, 1) / 2;
  const mark = chosen ? "chosen" : kept ? "kept" : "";
  return h(
    "div",
    { role: "row", class: `row ${mark || "other"}` },
    cell(
      { class: "text" },
      h("span", { class: `mark ${mark}`, "aria-hidden": "true" }),
      mark ? h("span", { class: "hidden" }, `${mark}: `) : null,
      h("span", { class: "words" }, lead.text.trim() || "(blank)"),
    ),
    cell({ class: "times" }, idxs.length > 1 ? `×${idxs.length}` : ""),
    bar("reward", fixed(lead.reward, 3), { "--w": within(lead.reward, 0, 1) }),
    bar("log p/q", signed(found), { class: found === null ? "share none" : "share ratio", "--w": share, "--from": found < 0 ? 0.5 - share : 0.5 }),
    probability === null
      ? bar("chance", chosen ? "drawn" : NONE, { class: "share none" })
      : bar("chance", percent(probability), { "--w": chance(group) }),
    open ? cell({ class: "details" }, details(group)) : null,
  );
}

/** A cell with a number and a bar; its name is visible only where there is no room for columns. */
function bar(name, text, attributes) {
  return cell({ class: "share", ...attributes }, h("b", {}, `${name} `), text);
}

/** The remaining numbers of a candidate, in one line. */
function details({ lead, idxs }) {
  const tokens = lead.token_ids?.length;
  const facts = [
    `candidate ${idxs.map((idx) => idx + 1).join(", ")}`,
    number(lead.log_p_at_most) === null ? `log p ${fixed(lead.log_p, 3)}` : `log p at most ${fixed(lead.log_p_at_most, 3)}`,
    `log q ${fixed(lead.log_q, 3)}`,
    `score ${fixed(lead.score, 3)}`,
    tokens === undefined ? null : many(tokens, "token"),
    lead.end ? `ended by ${lead.end.replaceAll("_", " ")}` : null,
  ];
  return facts.filter(Boolean).join(" · ");
}

function cell(attributes, ...children) {
  return h("div", { role: "cell", ...attributes }, ...children);
}
