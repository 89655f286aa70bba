// One solve on the page, running or recorded: its totals, its solution, its figure, its steps.

const MOST_PARAGRAPHS = 400; // of a solution; the rest is one element

/** A solve that has just begun; `state` is "waiting", "running", "done", "stopped" or "failed". */
function begun(method, question) {
  return {
    method, question, state: "waiting", since: null, status: "", steps: [], answer: null,
    finish_reason: null, latency_s: null, time_to_first_step_s: null, usage: {}, models: {}, settings: {}, error: null,
  };
}

/** The paragraphs of a text, as elements. */
function paragraphs(text) {
  const parts = text.split(/\n\s*\n/);
  const rest = parts.splice(MOST_PARAGRAPHS).join("\n\n");
  return [...parts, rest].filter(Boolean).map((part) => h("p", {}, part));
}

/** Something under a heading that folds; once the user folds or unfolds it, it stays so. */
class Fold {
  constructor(name, content) {
    this.note = h("span", { class: "note" });
    this.element = h("details", { class: "fold-of-thinking", hidden: true }, h("summary", { onclick: () => (this.chosen = true) }, name, " ", this.note), content);
  }

  /** Hide it if it has no `content`; else show the note, unfolded if `open` unless the user chose otherwise. */
  update(content, note, open) {
    this.element.hidden = !content;
    this.note.textContent = note;
    if (!this.chosen) this.element.open = open;
  }

  open() {
    this.element.open = this.chosen = true;
  }
}

class Panel {
  /** `domain()` gives the end of the time axis in seconds. */
  constructor(solve, domain) {
    this.solve = solve;
    this.domain = domain;
    this.head = h("div", { class: "totals" });
    this.text = h("div", { class: "text", role: "group", "aria-label": "Text of the solution" });
    this.copy = copier("solution", () => solutionOf(solve));
    this.thinking = h("div", { class: "text thinking", role: "group", "aria-label": "Text of the thinking" });
    this.textFold = new Fold("The thinking before the answer", this.thinking);
    this.canvas = h("div", { class: "canvas" });
    this.thinkingList = new StepList(`Thinking steps of ${solve.method}`);
    this.list = new StepList(`Steps of ${solve.method}`);
    this.lists = [this.thinkingList, this.list];
    this.stepsFold = new Fold("Thinking", this.thinkingList.element);
    this.go = h("input", { type: "number", min: 1, step: 1, onchange: () => this.jump(Number(this.go.value)) });
    this.openAll = h("button", { type: "button", class: "small", "aria-pressed": "false", onclick: () => this.turn() }, "Open all candidates");
    this.jumper = h("label", { class: "inline" }, "Go to step ", this.go);
    this.work = h("div", { class: "work" });
    const columns = ["candidate", "", "reward", "log p/q", "chance"];
    this.steps = h(
      "section",
      { class: "steps", "aria-label": "Steps" },
      h("div", { class: "title" }, h("h4", {}, "Steps"), this.jumper, this.openAll),
      h("div", { class: "row columns", "aria-hidden": "true" }, columns.map((name) => h("span", {}, name))),
      this.stepsFold.element,
      this.list.element,
    );
    this.element = h(
      "article",
      { "aria-label": `Solve with ${solve.method}`, class: "since" in solve ? "streamed" : "" },
      this.head,
      h(
        "div",
        { class: "overview" },
        h("section", { class: "solution", "aria-label": "Solution" }, h("div", { class: "title" }, h("h4", {}, "Solution"), this.copy), this.textFold.element, this.text),
        h("figure", {}, h("figcaption", { class: "title" }, h("h4", {}, "Time line")), this.canvas),
      ),
      this.steps,
      this.work,
    );
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.canvas);
    this.update();
  }

  /** Show the current state of the solve. */
  update() {
    const { solve } = this;
    const busy = solve.state === "waiting" || solve.state === "running";
    if (busy || this.state !== solve.state) this.head.replaceChildren(...totals(solve));
    this.state = solve.state;
    this.element.classList.toggle("busy", busy);
    this.fill(busy);
    const [thinking, answers] = [solve.steps.filter(inThinking), solve.steps.filter((step) => !inThinking(step))];
    this.thinkingList.update(thinking, solve.state === "running");
    this.list.update(answers, solve.state === "running");
    const tokens = total(thinking.filter((step) => step.accepted).map((step) => step.n_tokens));
    this.stepsFold.update(thinking.length, `${many(thinking.length, "step")}, ${many(tokens, "token")}`, thinking.length <= CHUNK || !answers.length);
    this.jumper.hidden = solve.steps.length <= CHUNK;
    this.go.max = solve.steps.length;
    this.steps.hidden = !busy && !solve.steps.length;
    this.work.replaceChildren(...work(solve));
    this.draw();
  }

  /** The text of the solution; while it is being written, its end stays in view. */
  fill(busy) {
    const [text, thinking] = [solutionOf(this.solve).trim(), thinkingOf(this.solve).trim()];
    this.copy.disabled = !text;
    if (text !== this.shown) {
      this.shown = text;
      this.text.replaceChildren(...paragraphs(text));
    }
    if (thinking !== this.shownThinking) {
      this.shownThinking = thinking;
      this.thinking.replaceChildren(...paragraphs(thinking));
      if (busy) this.thinking.scrollTop = this.thinking.scrollHeight;
    }
    this.textFold.update(thinking.length, "", !text);
    if (!text) this.text.replaceChildren(h("p", { class: "note" }, busy ? "It appears here step by step." : "There is none."));
    if (busy) this.text.scrollTop = this.text.scrollHeight;
  }

  /** Draw the figure again, for new steps or another width. */
  draw() {
    const width = Math.floor(this.canvas.clientWidth);
    if (width < 100) return;
    for (const text of [this.text, this.thinking]) text.tabIndex = text.scrollHeight > text.clientHeight ? 0 : -1;
    const point = (idx, go) => this.point(idx, go);
    this.canvas.replaceChildren(this.solve.steps.length ? figure(this.solve, width, this.domain(), point) : "");
  }

  /** Highlight a step of the solve (null for none); with `go`, also scroll to it. */
  point(idx, go) {
    const step = this.solve.steps[idx];
    for (const list of this.lists) {
      const place = list.steps.indexOf(step);
      if (go && place >= 0 && list === this.thinkingList) this.stepsFold.open();
      list.point(place < 0 ? null : place, go);
    }
  }

  /** Open the candidates of all steps, or close them again. */
  turn() {
    for (const list of this.lists) list.openAll(!list.allOpen);
    this.openAll.setAttribute("aria-pressed", String(this.list.allOpen));
  }

  /** Scroll to a step; `place` counts from 1. */
  jump(place) {
    if (Number.isInteger(place) && place >= 1 && place <= this.solve.steps.length) this.point(place - 1, true);
  }

  /** Advance the clock of a running solve. */
  tick() {
    const clock = this.head.querySelector(".clock");
    if (clock && this.solve.since) clock.textContent = time((performance.now() - this.solve.since) / 1e3);
  }

  close() {
    this.watch.disconnect();
    for (const list of this.lists) list.close();
    this.element.remove();
  }
}
