// One solve on the page, running or recorded: its totals, its figure, its steps.

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

/** A solve that has just begun; `state` is "waiting", "running", "done", "stopped" or "failed". */
function begun(method, question) {
  return {
    method, question, state: "waiting", since: null, status: "", steps: [], answer: null,
    finish_reason: null, latency_s: null, time_to_first_step_s: null, usage: {}, models: {}, settings: {}, error: null,
  };
}

class Panel {
  /** `domain()` gives the end of the time axis in seconds. */
  constructor(solve, domain) {
    this.solve = solve;
    this.domain = domain;
    this.opened = new Set();
    this.drawn = [];
    this.head = h("div", { class: "totals" });
    this.canvas = h("div", { class: "canvas" });
    const names = [["", "candidate"], ["times", ""], ["", "reward"], ["", "log p/q"], ["", "chance"]];
    this.table = h(
      "table",
      { role: "table", "aria-label": `Steps of ${solve.method}` },
      h(
        "thead",
        { role: "rowgroup" },
        h("tr", { role: "row" }, names.map(([kind, name]) => h("th", { role: "columnheader", class: kind }, name))),
      ),
    );
    this.work = h("div", { class: "work" });
    this.element = h(
      "article",
      { "aria-label": `Solve with ${solve.method}` },
      this.head,
      h("figure", {}, this.canvas),
      this.table,
      this.work,
    );
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.canvas);
    this.update();
  }

  /** Show the current state of the solve. */
  update() {
    const { solve } = this;
    this.head.replaceChildren(...totals(solve));
    this.work.replaceChildren(...work(solve));
    const scale = Math.max(1, ...solve.steps.flatMap(ratios));
    solve.steps.forEach((step, idx) => {
      const open = this.opened.has(idx);
      const before = this.drawn[idx];
      if (before && before.step === step && before.open === open && before.scale === scale) return;
      const made = body(step, scale, open, () => this.toggle(idx));
      if (before) {
        const focused = before.element.contains(document.activeElement);
        before.element.replaceWith(made);
        if (focused) made.querySelector("button").focus();
      } else {
        if (solve.state === "running") made.classList.add("new");
        this.table.append(made);
      }
      this.drawn[idx] = { step, open, scale, element: made };
    });
    this.drawn.splice(solve.steps.length).forEach(({ element }) => element.remove());
    this.table.hidden = !solve.steps.length;
    this.draw();
  }

  /** Draw the figure again, for new steps or another width. */
  draw() {
    const width = Math.floor(this.canvas.clientWidth);
    if (width < 100) return;
    const point = (idx, go) => this.point(idx, go);
    this.canvas.replaceChildren(this.solve.steps.length ? figure(this.solve, width, this.domain(), point) : "");
  }

  toggle(idx) {
    if (!this.opened.delete(idx)) this.opened.add(idx);
    this.update();
  }

  /** Open or close all steps. */
  openAll(open) {
    this.opened = new Set(open ? this.solve.steps.keys() : []);
    this.update();
  }

  /** Advance the clock of a running solve. */
  tick() {
    const clock = this.head.querySelector(".clock");
    if (clock && this.solve.since) clock.textContent = time((performance.now() - this.solve.since) / 1e3);
  }

  /** Highlight a step (null for none); with `go`, also scroll to it. */
  point(idx, go) {
    this.drawn.forEach(({ element }, at) => element.classList.toggle("pointed", at === idx));
    if (go && idx !== null) this.drawn[idx].element.scrollIntoView({ block: "center" });
  }

  close() {
    this.watch.disconnect();
    this.element.remove();
  }
}

/** The absolute log-ratios of a step's candidates, without those whose probability is known to be below 1%. */
function ratios(step) {
  const likely = step.candidates.filter((one) => (number(one.probability) ?? 1) > 0.01);
  return likely.map((one) => Math.abs(ratio(step, one) ?? 0)).filter(Number.isFinite);
}

/** The heading, totals and notes of a solve. */
function totals(solve) {
  const accepted = solve.steps.filter((step) => step.accepted);
  const drafted = accepted.filter((step) => step.writer === "draft").length;
  const thrown = solve.steps.length - accepted.length;
  const ended = solve.finish_reason;
  const state = {
    waiting: solve.status,
    running: `step ${Math.max(0, ...accepted.map((step) => step.step_idx + 1)) + 1} is being written`,
    stopped: "stopped",
    failed: "failed",
    done: ended === "answer" ? "" : `ended by: ${ENDS.get(ended) ?? ended}`,
  }[solve.state];
  const fact = (name, value, note) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, value, note ? h("small", {}, note) : null));
  const first = number(solve.time_to_first_step_s) ?? number(solve.steps.find((step) => step.accepted)?.seconds.wall);
  const queued = number(solve.queue_s) > 0.0005 ? ` + ${time(solve.queue_s)} in the queue` : "";
  const busy = solve.state === "waiting" || solve.state === "running";
  return [
    h("h3", {}, solve.method, state ? h("span", { class: `state ${solve.state}` }, state) : null),
    h(
      "dl",
      { class: "facts" },
      fact("answer", h("span", { class: "answer" }, solve.answer ?? (busy ? "…" : "none"))),
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
