// The table of steps: a body for each step, a row for each distinct candidate.

/** A table body. `scale`: the log-ratio that fills half a cell; `open`: whether all numbers are shown. */
function body(step, scale, open, toggle) {
  const aside = setAside(step);
  const kept = aside || (step.kept?.length > 1 ? `leads ${step.kept.length} traces` : null);
  const fate = step.accepted || aside ? null : "thrown away";
  const n = step.candidates.length;
  const groups = distinct(step);
  const facts = [
    time(step.seconds.wall),
    groups.length < n ? `${groups.length} distinct of ${n}` : many(n, "candidate"),
    number(step.ess) === null ? null : `effective ${fixed(step.ess, 1)}`,
    kept,
  ].filter(Boolean);
  const name = [`Step ${step.step_idx + 1}`, step.writer, fate].filter(Boolean).join(", ");
  const head = h(
    "tr",
    { role: "row", class: "head" },
    h(
      "th",
      { role: "rowheader", scope: "rowgroup", colspan: 5 },
      h(
        "button",
        { class: "quiet fold", "aria-expanded": String(open), "aria-label": `${name}: all figures`, onclick: toggle },
        h("b", {}, step.step_idx + 1),
      ),
      h("span", { class: step.writer }, step.writer),
      fate && h("span", { class: "fate" }, fate),
      h("span", { class: "facts" }, facts.join(" · ")),
    ),
  );
  const classes = [`by-${step.writer}`, step.accepted ? "" : "thrown", open ? "open" : ""].filter(Boolean).join(" ");
  const rows = groups.flatMap((group) => (open ? [row(step, group, scale), details(group)] : [row(step, group, scale)]));
  if (open) rows.push(h("tr", { role: "row", class: "details" }, cell({ colspan: 5 }, h("p", {}, summary(step)))));
  return h("tbody", { role: "rowgroup", class: classes }, head, ...rows);
}

function row(step, group, scale) {
  const { lead, idxs, probability, chosen, kept } = group;
  const found = ratio(step, lead);
  const share = within(Math.abs(found) / scale, 0, 1) / 2;
  const mark = chosen ? "chosen" : kept ? "kept" : "";
  return h(
    "tr",
    { role: "row", class: mark || "other" },
    cell(
      { class: "text" },
      h("span", { class: `mark ${mark}`, "aria-hidden": "true" }),
      mark ? h("span", { class: "hidden" }, `${mark}: `) : null,
      h("span", { class: "words" }, lead.text.trim() || "(blank)"),
    ),
    cell({ class: "times" }, idxs.length > 1 ? `×${idxs.length}` : ""),
    bar("reward", fixed(lead.reward, 3), { "--w": within(lead.reward, 0, 1) }),
    bar("log p/q", signed(found), { class: found === null ? "share none" : "share ratio", "--w": share, "--from": found < 0 ? 0.5 - share : 0.5 }),
    bar("chance", probability === null && chosen ? "drawn" : percent(probability), { "--w": chance(group) }),
  );
}

/** A cell with a number and a bar; its name is shown only where there is no room for columns. */
function bar(name, text, attributes) {
  return cell({ class: "share", ...attributes }, h("b", {}, name), text);
}

/** The remaining numbers of a candidate. */
function details({ lead, idxs }) {
  const tokens = lead.token_ids?.length;
  const facts = [
    `candidate ${idxs.map((idx) => idx + 1).join(", ")}`,
    number(lead.log_p_at_most) === null ? `log p ${fixed(lead.log_p, 3)}` : `log p at most ${fixed(lead.log_p_at_most, 3)}`,
    `log q ${fixed(lead.log_q, 3)}`,
    `score ${fixed(lead.score, 3)}`,
    tokens === undefined ? null : many(tokens, "token"),
    lead.end ? `ended by ${String(lead.end).replaceAll("_", " ")}` : null,
  ];
  return h("tr", { role: "row", class: "details" }, cell({ colspan: 5 }, h("p", {}, facts.filter(Boolean).join(" · "))));
}

function cell(attributes, ...children) {
  return h("td", { role: "cell", ...attributes }, ...children);
}
