// The numbers of a solve: heading and totals above, token counts and settings below.

const ENDS = new Map([
  ["answer", "an answer"],
  ["end_of_text", "end of text"],
  ["max_steps", "cap on steps"],
  ["max_tokens", "cap on tokens"],
  ["context", "context full"],
  ["deadline", "deadline"],
  ["cancelled", "stopped"],
  ["no_support", "no candidate had support"],
  ["error", "an error"],
]);
const ROLES = ["draft", "target", "prm"];

/** The heading, totals and notes of a solve. */
function totals(solve) {
  const accepted = solve.steps.filter((step) => step.accepted);
  const drafted = accepted.filter((step) => step.writer === "draft").length;
  const thrown = solve.steps.length - accepted.length;
  const ended = solve.finish_reason;
  const state = {
    waiting: solve.status,
    running: `step ${largest(0, accepted.map((step) => step.step_idx + 1)) + 1} is being written`,
    stopped: "stopped",
    failed: "failed",
    done: ended === "answer" ? "" : `ended by: ${ENDS.get(ended) ?? ended}`,
  }[solve.state];
  const fact = (name, value, note) => h("div", {}, h("dt", {}, name), h("dd", {}, value, h("small", {}, note)));
  const first = number(solve.time_to_first_step_s) ?? number(solve.steps.find((step) => step.accepted)?.seconds.wall);
  const queued = number(solve.queue_s) > 0.0005 ? ` + queue ${time(solve.queue_s)}` : "";
  const busy = solve.state === "waiting" || solve.state === "running";
  return [
    h("h3", {}, solve.method, state ? h("span", { class: `state ${solve.state}` }, state) : null),
    h(
      "dl",
      { class: "facts" },
      fact("answer", [h("span", { class: "answer" }, solve.answer ?? (busy ? "…" : "none")), copier("answer", () => solve.answer, { disabled: solve.answer === null })]),
      fact(
        "latency",
        busy ? h("span", { class: "clock" }, "…") : time(solve.latency_s),
        number(first) === null ? null : `first step ${time(first)}${queued}`,
      ),
      fact("steps", count(accepted.length), thrown ? `${thrown} more thrown away` : null),
      fact("by the draft", accepted.length ? percent(drafted / accepted.length) : NONE, `${drafted} of ${accepted.length}`),
    ),
    solve.error ? h("p", { class: "trouble" }, solve.error) : null,
    ...(solve.notes ?? []).map((note) => h("p", { class: "note" }, note)),
    solve.text_scoring
      ? h("p", { class: "note" }, "Draft and target have different vocabularies and read each other's text: log-ratios are inexact.")
      : null,
    solve.raw_scoring
      ? h("p", { class: "note" }, "Log-probabilities are at temperature 1, steps are not: log-ratios are inexact.")
      : null,
  ].filter(Boolean);
}

/** Token counts by role, and the settings of the solve. */
function work(solve) {
  const roles = ROLES.filter((role) => solve.usage[role]);
  if (!roles.length) return [];
  const columns = [["processed", "computed"], ["cached", "reused"], ["generated", "written"], ["discarded", "unused"]];
  const guesses = total(roles.map((role) => solve.usage[role].speculated));
  const settings = Object.entries(settingsOf(solve)).filter(([, value]) => ["number", "string", "boolean"].includes(typeof value));
  return [
    h(
      "table",
      { class: "tokens" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "tokens"), columns.map(([, name]) => h("th", { scope: "col" }, name)))),
      h(
        "tbody",
        {},
        roles.map((role) =>
          h(
            "tr",
            {},
            h("th", { scope: "row", class: role }, role, h("small", {}, solve.models[role] ?? "")),
            columns.map(([key]) => h("td", {}, count(solve.usage[role][key]))),
          ),
        ),
      ),
    ),
    guesses ? h("p", { class: "note" }, `${count(guesses)} of the computed positions were guessed ahead and not needed.`) : null,
    settings.length
      ? h("p", { class: "note" }, [...settings, ["seed", solve.seed]].map(([name, value]) => `${name} ${value}`).join(" · "))
      : null,
  ].filter(Boolean);
}
